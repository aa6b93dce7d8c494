"""Rows a second that top_token_rows loads with, against sqlite3's executemany in the same run.

python -m benchmarks.loading --layers 4
"""

import argparse
import sqlite3
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from neurondb import migrate
from neurondb.schema import tables
from neurondb.writing.rows import insert_columns, scale, transaction

N_NEURONS, N_LISTS, K = 8192, 12, 16
STEPS = np.arange(K) * (128_256 // K)
COLUMNS = ("neuron_id", "list_id", "rank", "token_id", "scaled_cosine")


def layer_columns(layer: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Return the columns of one layer of 8,192 neurons: 1.6 million rows."""
    n_rows = N_NEURONS * N_LISTS * K
    return {
        "neuron_id": np.repeat(np.arange(N_NEURONS) + layer * N_NEURONS, N_LISTS * K),
        "list_id": np.tile(np.repeat(np.arange(N_LISTS), K), N_NEURONS),
        "rank": np.tile(rng.permutation(K), N_NEURONS * N_LISTS),
        # In the order of the key: a list's tokens ascend.
        "token_id": rng.integers(0, 128_256 // K, n_rows) + np.tile(STEPS, N_NEURONS * N_LISTS),
        "scaled_cosine": scale(
            rng.normal(0, 0.1, n_rows).astype(np.float32), tables.top_token_rows.c.scaled_cosine
        ),
    }


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--layers", type=int, default=4)
    n_layers = parser.parse_args().layers
    rng = np.random.default_rng(0)
    layers = [layer_columns(layer, rng) for layer in range(n_layers)]
    n_rows = sum(len(columns["rank"]) for columns in layers)
    with tempfile.TemporaryDirectory() as directory:
        ours, index, size = _ours(Path(directory) / "ours.db", layers)
        peer = _executemany(Path(directory) / "peer.db", layers)
    print(
        f"{n_rows:,} rows: {n_rows / ours / 1e6:.2f} M rows/s; executemany "
        f"{n_rows / peer / 1e6:.2f} M rows/s; ratio {peer / ours:.2f}"
    )
    print(f"token index built in {index:.1f} s; {size / n_rows:.1f} bytes a row with it")
    return 0


def _ours(file: Path, layers: list[dict[str, np.ndarray]]) -> tuple[float, float, int]:
    engine = migrate.create_or_open(str(file))
    (token_index,) = tables.top_token_rows.indexes
    with transaction(engine) as connection:
        token_index.drop(connection)
    started = time.perf_counter()
    for columns in layers:
        with transaction(engine) as connection:
            insert_columns(connection, tables.top_token_rows, columns)
    loaded = time.perf_counter()
    with transaction(engine) as connection:
        token_index.create(connection)
    indexed = time.perf_counter()
    engine.dispose()
    return loaded - started, indexed - loaded, file.stat().st_size


def _executemany(file: Path, layers: list[dict[str, np.ndarray]]) -> float:
    migrate.create_or_open(str(file)).dispose()
    connection = sqlite3.connect(file, isolation_level=None)
    connection.execute("DROP INDEX ix_top_token_rows_token")
    statement = f"INSERT INTO top_token_rows ({', '.join(COLUMNS)}) VALUES (?, ?, ?, ?, ?)"
    started = time.perf_counter()
    for columns in layers:
        connection.execute("BEGIN")
        connection.executemany(
            statement, zip(*(columns[name].tolist() for name in COLUMNS), strict=True)
        )
        connection.execute("COMMIT")
    return time.perf_counter() - started


if __name__ == "__main__":
    sys.exit(main())
