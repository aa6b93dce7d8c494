"""An empty database, made once: each import of a test begins with a copy of it."""

import gzip
import json
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from neurondb import migrate
from neurondb.exchange.imports.facts import Reader
from neurondb.exchange.imports.report import ImportReport
from neurondb.exchange.imports.storing import FactsRequest, import_facts
from neurondb.exchange.imports.target import ModelRequest

Ask = Callable[..., list[tuple[Any, ...]]]


@pytest.fixture(scope="session")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database without models; to be copied only."""
    path = tmp_path_factory.mktemp("empty") / "empty.db"
    migrate.create_or_open(str(path)).dispose()
    return path


@pytest.fixture
def db(empty: Path, tmp_path: Path) -> Path:
    """A database without models, of this test."""
    return Path(shutil.copy(empty, tmp_path / "n.db"))


@pytest.fixture
def ask(db: Path) -> Ask:
    """A function that runs SQL on that database."""

    def run(sql: str, *values: Any) -> list[tuple[Any, ...]]:
        with closing(sqlite3.connect(db)) as connection:
            return connection.execute(sql, values).fetchall()

    return run


SAID = (
    "SELECT n.layer, n.neuron, a.source, a.key, a.value, a.note FROM annotations a "
    "JOIN neurons n USING (neuron_id) ORDER BY a.annotation_id"
)


@pytest.fixture
def store(db: Path) -> Callable[..., ImportReport]:
    """A function that stores what a reader yields as what is said of the model `toy`."""

    def run(reader: Reader, files: list[Path], form: str = "table", **options: Any) -> ImportReport:
        numbered = options.pop("numbered", True)
        asked: dict[str, Any] = {"name": "toy", "gated": False} | options
        model = ModelRequest(**asked)
        return import_facts(
            str(db), "a file", reader, FactsRequest(model, form, "texts", files, numbered)
        )

    return run


def write_lines(path: Path, rows: list[dict[str, Any]]) -> Path:
    """Write a JSON object a line, compressed where the name says so."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = "".join(f"{json.dumps(row)}\n" for row in rows)
    if path.suffix == ".gz":
        path.write_bytes(gzip.compress(text.encode()))
    else:
        path.write_text(text, encoding="utf-8")
    return path
