"""GLUScope's activation dataset: a row a neuron, in Parquet that the hub's `datasets` loads.

The layout is that of `summary_dict_to_hf_dataset.py` of sjgerstner/gluscope, published for OLMo-7B
as sjgerstner/OLMo-7B-0424-hf_neuron-activations: `layer`, `neuron`, and for each sign case
`{case}_freq` (share of all tokens), `{case}_{quantity}_mean` over the case's tokens, and the lists
`{case}_{quantity}_max_values` and `…_max_indices`. Cases are `gate+_in+` and so on; quantities
`hook_post`, `hook_pre_linear`, `hook_pre` and `swish`, whose lists exist where the gate is negative
(METHODS §5). Indices are numbers of texts in their dataset, from 0; values are signed, and ordered
by their size. Rows are in order of layer and neuron, as GLUScope looks them up by place: it needs
all of a model's neurons. Lists have sixteen entries, or fewer where fewer texts qualify.
"""

from collections import defaultdict
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq
from sqlalchemy import Connection, select

from neurondb.contracts.progress import Progress
from neurondb.errors import LackingModelError
from neurondb.exchange.exports.chosen import iterate_neurons
from neurondb.exchange.exports.evidence import ChosenModel
from neurondb.exchange.parquet.exporting import write_folder
from neurondb.reading.models import Model, match_neurons
from neurondb.reading.texts import Dataset, find_dataset
from neurondb.schema import codes, tables
from neurondb.schema.columns import unscale

FILE: Final = "data/train-00000-of-00001.parquet"
CASES: Final = tuple(codes.GATED_CASES)
"""Codes of the sign cases of gated neurons."""


_LISTS: Final = {
    int(row[0]): f"{row[1]}_{row[2]}_max"
    for row in codes.EXAMPLE_LISTS
    if str(row[1]).startswith("gate") and (row[2] != "swish" or str(row[1]).startswith("gate-"))
}
"""Code of a list of examples → the stem of its columns."""


def make_schema() -> pa.Schema:
    """Return the columns, in the order of the published dataset's kinds."""
    fields = [pa.field("layer", pa.int64()), pa.field("neuron", pa.int64())]
    for case in CASES:
        name = codes.SIGN_CASES[case]
        fields.append(pa.field(f"{name}_freq", pa.float32()))
        for quantity, called in enumerate(codes.QUANTITIES):
            fields.append(pa.field(f"{name}_{called}_mean", pa.float32()))
            if codes.encode_example_list(case, quantity) in _LISTS:
                stem = f"{name}_{called}_max"
                fields.append(pa.field(f"{stem}_values", pa.list_(pa.float32())))
                fields.append(pa.field(f"{stem}_indices", pa.list_(pa.int64())))
    return pa.schema(fields)


def export_gluscope(chosen: ChosenModel, folder: Path, progress: Progress) -> int:
    """Write the chosen neurons into a new folder; return how many.

    Raises:
        LackingModelError: when the model has no gate, or no activations on the dataset.
        NeuronDBError: when the folder is there, or cannot be written.
    """
    model, connection = chosen.model, chosen.connection
    if not model.gated:
        raise LackingModelError(
            f"{model.name} has no gate; GLUScope's dataset is of the sign cases of gated neurons"
        )
    dataset = find_dataset(connection, model, chosen.dataset)
    if dataset is None:
        raise LackingModelError(
            f"{model.name} has no activations to export; "
            f"`neurondb ingest {model.name} --stages activations` stores them"
        )
    wanted: dict[int, list[tuple[int, int]]] = defaultdict(list)
    for row in iterate_neurons(chosen.engine, chosen.choice, ("layer", "neuron", "neuron_id")):
        wanted[row["layer"]].append((row["neuron"], row["neuron_id"]))
    n = 0
    with write_folder(folder) as partial:
        file = partial / FILE
        file.parent.mkdir()
        with (
            pq.ParquetWriter(file, make_schema(), compression="zstd") as writer,
            progress.stage("exporting", len(wanted), "layers") as advance,
        ):
            for layer in sorted(wanted):
                rows = _read_layer(connection, model, dataset, layer, sorted(wanted[layer]))
                writer.write_table(pa.Table.from_pylist(rows, schema=make_schema()))
                n += len(rows)
                advance(1, f"layer {layer}")
    return n


def _read_layer(
    connection: Connection,
    model: Model,
    dataset: Dataset,
    layer: int,
    neurons: list[tuple[int, int]],
) -> list[dict[str, Any]]:
    """Return the rows of the neurons of a layer, which are given as number and id."""
    rows: dict[int, dict[str, Any]] = {
        key: {"layer": layer, "neuron": number} for number, key in neurons
    }
    _add_cases(connection, model, dataset, layer, rows)
    _add_examples(connection, model, dataset, layer, rows)
    for row in rows.values():
        for stem in _LISTS.values():
            row.setdefault(f"{stem}_values", [])
            row.setdefault(f"{stem}_indices", [])
    return list(rows.values())


def _add_cases(
    connection: Connection, model: Model, dataset: Dataset, layer: int, rows: dict[int, Any]
) -> None:
    s = tables.sign_case_rows.c
    means = [s[f"{name.removeprefix('hook_')}_mean"] for name in codes.QUANTITIES]
    query = select(s.neuron_id, s.sign_case_id, s.freq, *means).where(
        match_neurons(s.neuron_id, model, layer) & (s.dataset_id == dataset.dataset_id)
    )
    for key, case, freq, *values in connection.execute(query):
        if key in rows and case in CASES:
            name = codes.SIGN_CASES[case]
            rows[key][f"{name}_freq"] = freq
            for called, value in zip(codes.QUANTITIES, values, strict=True):
                rows[key][f"{name}_{called}_mean"] = value


def _add_examples(
    connection: Connection, model: Model, dataset: Dataset, layer: int, rows: dict[int, Any]
) -> None:
    e, t = tables.example_rows.c, tables.texts.c
    query = (
        select(e.neuron_id, e.list_id, t.ordinal, unscale(e.scaled_value))
        .join_from(tables.example_rows, tables.texts, t.text_id == e.text_id)
        .where(match_neurons(e.neuron_id, model, layer) & (e.dataset_id == dataset.dataset_id))
        .order_by(e.neuron_id, e.list_id, e.rank)
    )
    for key, list_id, ordinal, value in connection.execute(query):
        if key in rows and list_id in _LISTS:
            stem = _LISTS[list_id]
            rows[key].setdefault(f"{stem}_values", []).append(value)
            rows[key].setdefault(f"{stem}_indices", []).append(ordinal)
