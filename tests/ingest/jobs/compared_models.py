"""Requests of the job `compare` on pairs of tiny models; what it stored, read back."""

import sqlite3
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ingest.jobs import compare
from neurondb.contracts.compare import CompareRequest
from neurondb.contracts.ingest import IngestRequest
from neurondb.contracts.registry import load_job
from neurondb.reading.comparisons import read_comparison_page
from neurondb.reading.models import open_readonly
from neurondb.reading.pairs import find_pair, find_stored_comparison
from tests.support.ingested import Silent

TAU = 0.2
"""So that a random model has neurons of several classes."""

only_llama = pytest.mark.parametrize("compared_pair", ["llama"], indirect=True)


def ingest(database: Path, *models: Path, stages: tuple[str, ...] = (), **options: Any) -> None:
    for model in models:
        request = IngestRequest(
            str(model),
            database=str(database),
            stages=stages or ("weights", "vocab"),
            thresholds=options.pop("thresholds", (TAU,)),
            device="cpu",
            **options,
        )
        load_job("ingest")(request, Silent())


def compared(database: Path, before: str = "base", after: str = "tuned") -> int:
    return compare.run(CompareRequest(before, after, str(database)), Silent())


def ask(database: Path, sql: str, *values: object) -> list[tuple[Any, ...]]:
    with sqlite3.connect(database) as connection:
        return connection.execute(sql, values).fetchall()


def grid(database: Path, columns: str) -> np.ndarray:
    """Columns of the comparison as layers × neurons × columns; NULL is NaN."""
    rows = ask(database, f"SELECT {columns} FROM compared_neurons ORDER BY layer, neuron")
    return np.array(rows, dtype=np.float64).reshape(2, -1, len(rows[0]))


def page_of(database: Path, before: str = "base", after: str = "tuned") -> Any:
    with open_readonly(str(database)) as connection:
        found = find_pair(connection, before, after)
        stored = find_stored_comparison(connection, found)
        assert stored is not None
        return read_comparison_page(connection, found, stored)
