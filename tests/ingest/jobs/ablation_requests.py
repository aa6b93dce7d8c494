"""Requests of the jobs that ablate, on copies of databases that are ready; their rows read back."""

import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from ingest.bundled import MODEL_NAME
from ingest.jobs import ablate
from neurondb.contracts.ablate import AblationReport, AblationRequest
from neurondb.contracts.inputs import NeuronSelection, TextsRequest
from tests.support.ingested import Silent, subject

MODEL = MODEL_NAME
N_TEXTS = 6


def copy_of(name: str, directory: Path) -> Path:
    path = directory / "neurondb.db"
    with closing(sqlite3.connect(path)) as copy:
        subject(name).connection.backup(copy)
    return path


def rows(file: Path, sql: str, *values: object) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(file)) as connection:
        return connection.execute(sql, values).fetchall()


def dataset(file: Path) -> str:
    ((name,),) = rows(file, "SELECT name FROM dataset_rows")
    return str(name)


def request(file: Path, selection: NeuronSelection | None = None, **more: Any) -> AblationRequest:
    texts = TextsRequest(dataset(file), max_texts=N_TEXTS, max_len=60)
    chosen = selection or NeuronSelection("neurons", "1.3,1.5,3.100")
    return AblationRequest(
        MODEL, chosen, **{"texts": texts, "device": "cpu", "database": str(file), **more}
    )


def run(asked: AblationRequest) -> AblationReport:
    return ablate.run(asked, Silent())


@contextmanager
def refused(kind: type[Exception], said: str) -> Iterator[None]:
    started = time.monotonic()
    with pytest.raises(kind, match=said) as caught:
        yield
    assert "\n" not in str(caught.value)
    assert time.monotonic() - started < 60
