"""Peak tokens of a model of 8B: seconds a layer to count and load them, bytes a row, the index.

python -m benchmarks.peaks --layers 4

Examples are drawn: texts of tokens as frequent as words are (Zipf), a peak anywhere in 16 of them
for each of four sign cases, at a token of the neuron's own in some of them. What a question costs
is that of the token with the most rows, and of one with a thousand.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
from sqlalchemy import Connection, Engine, text

from ingest.activations.peak_tokens import PeakPositions, TokenisedTexts, count_peak_tokens
from neurondb import migrate
from neurondb.contracts.peaks import DEFAULT_PEAK_COUNT, PeakTokensRecord
from neurondb.schema import tables
from neurondb.writing.rows import insert_columns, transaction

N_NEURONS, N_CASES, K, VOCABULARY = 14_336, 4, 16, 128_256
N_TEXTS, N_TOKENS = 20_000, 200
LAYERS = 32
"""Of the model of 8B that sizes are extrapolated to."""
OWN_SHARE = 0.15
"""Share of a list's examples whose peak is at the neuron's own token."""
QUESTION = """SELECT DISTINCT neuron_id FROM peak_token_rows
WHERE token_id = :token AND list_id IN (0, 3, 6, 9) AND dataset_id = 1"""


class Seconds(NamedTuple):
    """What one layer took."""

    counting: float
    loading: float


def draw_texts(draw: np.random.Generator) -> TokenisedTexts:
    """Return texts of one length; the r-th most frequent token has a share as 1/r."""
    weights = 1 / np.arange(1, VOCABULARY + 1)
    ids = draw.choice(VOCABULARY, N_TEXTS * N_TOKENS, p=weights / weights.sum())
    return TokenisedTexts(ids, np.arange(N_TEXTS + 1) * N_TOKENS)


def draw_peaks(draw: np.random.Generator, texts: TokenisedTexts) -> PeakPositions:
    """Return the peaks of a layer's examples."""
    shape = (N_NEURONS, N_CASES, K)
    place = draw.integers(0, len(texts.token_ids), shape)
    order = np.argsort(texts.token_ids, kind="stable")
    first = np.searchsorted(texts.token_ids[order], np.arange(VOCABULARY + 1))
    own = texts.token_ids[draw.integers(0, len(texts.token_ids), shape[:2])][..., None]
    there = first[own] + (draw.random(shape) * (first[own + 1] - first[own])).astype(np.int64)
    place = np.where(draw.random(shape) < OWN_SHARE, order[there], place)
    neuron, case, rank = (a.ravel() for a in np.indices(shape))
    return PeakPositions(neuron, case, rank, *np.divmod(place.ravel(), N_TOKENS))


def load(connection: Connection, layer: int, record: PeakTokensRecord) -> int:
    """Insert a layer's rows; return how many."""
    columns = {
        "neuron_id": record.neuron + layer * N_NEURONS,
        "dataset_id": np.ones(len(record.neuron), dtype=np.int64),
        **{name: getattr(record, name) for name in
           ("list_id", "rank", "token_id", "count", "best_rank")},
    }  # fmt: skip
    return insert_columns(connection, tables.peak_token_rows, columns)


def fill(engine: Engine, n_layers: int) -> tuple[list[Seconds], int]:
    """Load some layers; return what each took, and the rows of all."""
    draw, seconds, n_rows = np.random.default_rng(0), [], 0
    texts = draw_texts(draw)
    for layer in range(n_layers):
        peaks = draw_peaks(draw, texts)
        started = time.perf_counter()
        record = count_peak_tokens(peaks, texts, DEFAULT_PEAK_COUNT)
        counted = time.perf_counter()
        with transaction(engine) as connection:
            n_rows += load(connection, layer, record)
        seconds.append(Seconds(counted - started, time.perf_counter() - counted))
    return seconds, n_rows


def ask(connection: Connection, token: int) -> str:
    """Return how long a question on a token takes, the median of five."""
    times = []
    for _ in range(5):
        started = time.perf_counter()
        n = len(connection.execute(text(QUESTION), {"token": token}).all())
        times.append(time.perf_counter() - started)
    return f"{n:,} neurons fire on a token: {1000 * np.median(times):.1f} ms"


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--layers", type=int, default=4)
    n_layers = parser.parse_args().layers
    with tempfile.TemporaryDirectory() as directory:
        engine = migrate.create_or_open(str(Path(directory) / "peaks.db"))
        (index,) = tables.peak_token_rows.indexes
        with transaction(engine) as connection:
            index.drop(connection)
        seconds, n_rows = fill(engine, n_layers)
        started = time.perf_counter()
        with transaction(engine) as connection:
            index.create(connection)
        indexing = time.perf_counter() - started
        counting, loading = (float(np.median(one)) for one in zip(*seconds, strict=True))
        a_neuron = n_rows / n_layers / N_NEURONS
        print(f"{n_rows:,} rows, {a_neuron:.1f} a neuron; index in {indexing:.1f} s")
        print(
            f"a layer of {N_NEURONS:,} neurons: counted in {counting:.2f} s, loaded {loading:.2f}"
        )
        with engine.connect() as connection:
            size = 0
            for name in ("peak_token_rows", str(index.name)):
                query = text("SELECT SUM(pgsize) FROM dbstat WHERE name = :name")
                pages = connection.execute(query, {"name": name}).scalar() or 0
                size += pages
                print(f"{name}: {pages / n_rows:.1f} bytes a row")
            all_rows = n_rows / n_layers * LAYERS
            print(f"{LAYERS} layers: {all_rows:,.0f} rows, {size / n_layers * LAYERS / 1e6:.0f} MB")
            for token in (0, 20, 1000):
                print(ask(connection, token))
        engine.dispose()
    return 0


if __name__ == "__main__":
    sys.exit(main())
