"""`neurondb compare A B C` end to end."""

import csv
import json
import shutil
import sqlite3
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

import neurondb as ndb
import neurondb.cli.compare
from neurondb.cli import cli
from neurondb.errors import IngestError, UnknownNameError, UsageError
from tests.support.planted_series import NAMES, PATHS, planted_series


@pytest.fixture(scope="module")
def ingested(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database of the planted models, compared once."""
    directory = tmp_path_factory.mktemp("series")
    database = directory / "n.db"
    for model in planted_series(directory):
        given = ["ingest", str(model), "--db", str(database), "--stages", "weights"]
        assert CliRunner().invoke(cli, given).exit_code == 0
    assert compare(database, *NAMES).exit_code == 0
    with sqlite3.connect(database) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return database


def compare(database: Path, *arguments: str, columns: int = 80) -> Result:
    given = ["compare", "--db", str(database), *arguments]
    return CliRunner().invoke(cli, given, env={"COLUMNS": str(columns)})


def no_job(name: str) -> object:
    raise AssertionError(name)


def test_the_page_has_paths_and_who_moved(ingested: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neurondb.cli.compare, "load_job", no_job)  # all is stored
    page = compare(ingested, *NAMES, "--format", "table").stdout
    assert page.startswith("step0 → step1 → step2 → step3\nllama · 2 layers × 56 gated neurons")
    assert "91.07% keep their class at every step: 102 of 112 neurons" in page
    assert "4   3.57%  orth×2 → weak×2" in page
    moved = page[page.index("moved most") :]
    names = [line.split()[0] for line in moved.splitlines()[2:] if line[:1].isdigit()]
    assert len(names) == 10
    assert names[:2] == ["0.0", "0.1"]
    assert "orth → c-str → str×2" in moved


@pytest.mark.parametrize("columns", [60, 80, 120, 160])
def test_no_line_of_the_page_runs_over(ingested: Path, columns: int) -> None:
    page = compare(ingested, *NAMES, "--format", "table", columns=columns).stdout
    assert [line for line in page.splitlines() if len(line.rstrip()) > max(columns, 80)] == []


def test_a_pipe_gets_a_row_for_every_neuron_and_step(ingested: Path) -> None:
    rows = list(csv.DictReader(compare(ingested, *NAMES).stdout.splitlines(), delimiter="\t"))
    assert len(rows) == 112 * len(NAMES)
    of_first = rows[: len(NAMES)]
    assert [row["model"] for row in of_first] == list(NAMES)
    assert [row["class"] for row in of_first] == list(PATHS[0])
    assert of_first[0]["moved"] == of_first[0]["first_moved"] == ""
    two = json.loads(compare(ingested, *NAMES, "--format", "json", "--limit", "2").stdout)
    assert [row["name"] for row in two] == ["0.0"] * len(NAMES) + ["0.1"] * len(NAMES)


def test_python_gets_the_same_rows(ingested: Path) -> None:
    piped = json.loads(compare(ingested, *NAMES, "--format", "json").stdout)
    with ndb.open(ingested) as db:
        found = db.compare(*NAMES)
        rows = {(row[4], row[3], row[1]): row for row in found}
        columns = found.columns
    assert len(rows) == len(piped)
    assert {tuple(row[name] for name in ("name", "step", "class", "moved")) for row in piped} == {
        tuple(row[columns.index(name)] for name in ("name", "step", "class", "moved"))
        for row in rows.values()
    }


@pytest.mark.parametrize(
    ("names", "error"),
    [
        (NAMES[:1], UsageError),
        ((*NAMES, "step1"), UsageError),
        ((*NAMES, "absent"), UnknownNameError),
    ],
)
def test_what_cannot_be_compared(ingested: Path, names: tuple[str, ...], error: type) -> None:
    result = compare(ingested, *names)
    assert isinstance(result.exception, error)


def test_a_model_whose_files_are_gone_leaves_what_is_stored(ingested: Path, tmp_path: Path) -> None:
    database = Path(shutil.copy(ingested, tmp_path / "n.db"))
    shutil.move(ingested.parent / NAMES[3], tmp_path / "elsewhere")
    try:
        assert compare(database, *NAMES).exit_code == 0
        assert isinstance(compare(database, *NAMES[1:]).exception, IngestError)
    finally:
        shutil.move(tmp_path / "elsewhere", ingested.parent / NAMES[3])
