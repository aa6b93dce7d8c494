"""What imports cost: GLUScope's activation dataset, and a table of universal-neurons.

    python -m benchmarks.imports --layers 2

Writes a Parquet of the columns of GLUScope's dataset, layers of 11,008 neurons, and a CSV of
universal-neurons, layers of 4,096, with drawn numbers, and imports both into SQLite. GLUScope's
rows are loaded with and without the statement of rows that repeat, one run after the other. Prints
seconds by the clock and of the processor, rows a second, and peak memory.
"""

import argparse
import csv
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from sqlalchemy import Table

from neurondb.exchange.imports import universal_neurons
from neurondb.exchange.imports.gluscope.activation_dataset import ActivationDataset
from neurondb.exchange.imports.gluscope.columns import ALL_EXTREMES, CASES, LIST_LENGTH
from neurondb.exchange.imports.gluscope.storing import ActivationRequest, import_activations
from neurondb.exchange.imports.report import ImportReport
from neurondb.exchange.imports.storing import FactsRequest, import_facts
from neurondb.exchange.imports.target import ModelRequest
from neurondb.schema.codes import QUANTITIES
from neurondb.writing import repeated_rows
from tests.support.ingested import Silent

NEURONS, TEXTS, TOKENS = 11_008, 45_734, 20_000_000
"""A layer of OLMo-7B, and GLUScope's texts."""
TABLE_NEURONS: Final = 4096
TABLE_COLUMNS: Final = (
    *("layer", "neuron", "w_in_norm", "w_out_norm", "input_bias", "l2_penalty", "in_out_sim"),
    *("vocab_mean", "vocab_var", "vocab_skew", "vocab_kurt", "mean", "var", "skew", "kurt"),
    *("sparsity", "max_corr", "mean_corr", "excess_corr", "feature"),
)


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--layers", type=int, default=2)
    n_layers = parser.parse_args().layers
    with tempfile.TemporaryDirectory() as directory:
        folder = Path(directory)
        dataset = _write_dataset(folder / "activations.parquet", n_layers)
        divide, repeated_rows.divide = repeated_rows.divide, _divide_nothing
        plain = _measure("plain statements", lambda: _import_dataset(dataset, folder / "p.db"))
        repeated_rows.divide = divide
        ours = _measure("gluscope", lambda: _import_dataset(dataset, folder / "g.db"))
        print(f"processor time with rows that repeat: {ours / plain:.2f} of that without")
        table = _write_table(folder / "universal.csv", n_layers)
        _measure("universal-neurons", lambda: _import_table(table, folder / "u.db"))
    return 0


def _divide_nothing(table: Table, columns: Mapping[str, Any]) -> list[repeated_rows.Stretch]:
    del table
    return [repeated_rows.Stretch(0, len(next(iter(columns.values()))), 0)]


def _measure(what: str, run: Callable[[], ImportReport]) -> float:
    clock, processor = time.perf_counter(), time.process_time()
    report = run()
    clock, processor = time.perf_counter() - clock, time.process_time() - processor
    n_rows = report.rows.total()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"{what}: {n_rows:,} rows, {clock:.1f} s, {processor:.1f} s of the processor, "
        f"{n_rows / clock / 1e6:.2f} M rows/s, peak {peak:.0f} MiB"
    )
    return processor


def _import_dataset(file: Path, db: Path) -> ImportReport:
    request = ActivationRequest(ModelRequest("olmo-7b"), "dolma-small")
    return import_activations(str(db), ActivationDataset(file), request, Silent())


def _import_table(file: Path, db: Path) -> ImportReport:
    model = ModelRequest("gpt2-medium", gated=False)
    request = FactsRequest(model, universal_neurons.FORM, "pile", [file])
    reader = universal_neurons.make_reader([file], universal_neurons.FORM)
    return import_facts(str(db), file.name, reader, request)


def _write_dataset(path: Path, n_layers: int) -> Path:
    rng = np.random.default_rng(0)
    layers = (_draw_layer(layer, rng) for layer in range(n_layers))
    first = next(layers)
    with pq.ParquetWriter(path, first.schema) as writer:
        writer.write_table(first, row_group_size=1000)
        for layer in layers:
            writer.write_table(layer, row_group_size=1000)
    return path


def _draw_layer(layer: int, rng: np.random.Generator) -> pa.Table:
    counts = np.rint(rng.dirichlet([0.3] * len(CASES), NEURONS) * TOKENS).astype(np.float32)
    columns: dict[str, Any] = {"layer": np.full(NEURONS, layer), "neuron": np.arange(NEURONS)}
    for i, case in enumerate(CASES):
        columns[f"{case}_freq"] = counts[:, i] / np.float32(TOKENS)
    for one in ALL_EXTREMES:
        case, quantity = CASES[one.case], QUANTITIES[one.quantity]
        columns[f"{case}_{quantity}_mean"] = rng.normal(size=NEURONS).astype(np.float32)
        if quantity == "swish" and case.startswith("gate+"):
            continue
        drawn = np.abs(rng.normal(1, 1, (NEURONS, LIST_LENGTH))).astype(np.float32)
        columns[one.values] = list(-np.sort(-drawn, axis=1))
        columns[one.indices] = list(rng.integers(0, TEXTS, (NEURONS, LIST_LENGTH)))
    return pa.table(columns)


def _write_table(path: Path, n_layers: int) -> Path:
    rng = np.random.default_rng(0)
    with path.open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(TABLE_COLUMNS)
        for layer in range(n_layers):
            for neuron, numbers in enumerate(rng.random((TABLE_NEURONS, len(TABLE_COLUMNS) - 3))):
                writer.writerow([layer, neuron, *numbers.tolist(), "none"])
    return path


if __name__ == "__main__":
    sys.exit(main())
