"""`neurondb compare` end to end."""

import csv
import json
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

import neurondb.cli.compare
from neurondb.cli import cli
from neurondb.errors import (
    DatabaseError,
    IngestError,
    NeuronDBError,
    UnknownNameError,
    UsageError,
)
from tests.support.model_pairs import JITTERED, NEGATED, REPLACED, STILLED, tiny_pair

Compare = Callable[..., Result]


@pytest.fixture(scope="module")
def ingested(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database of a model and its changed copy, compared by nobody yet."""
    directory = tmp_path_factory.mktemp("compare")
    for model in tiny_pair(directory):
        given = ["ingest", str(model), "--db", str(directory / "n.db"), "--tau", "0.2"]
        assert CliRunner().invoke(cli, given).exit_code == 0
    with sqlite3.connect(directory / "n.db") as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return directory / "n.db"


@pytest.fixture
def database(ingested: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(ingested, tmp_path / "n.db"))


@pytest.fixture
def compare(database: Path) -> Compare:
    def invoke(*arguments: str, columns: int = 80) -> Result:
        given = ["compare", "--db", str(database), *arguments]
        return CliRunner().invoke(cli, given, env={"COLUMNS": str(columns)})

    return invoke


def no_job(name: str) -> object:
    raise AssertionError(name)


def test_the_page_says_what_stayed_and_what_moved(compare: Compare) -> None:
    result = compare("base", "tuned", "--format", "table")
    assert result.exit_code == 0
    assert "112 neurons" in result.stderr
    page = result.stdout
    assert page.startswith("base → tuned\nllama · 2 layers × 56 gated neurons")
    assert "95.45% keep the top token of in (LM head): 105 of 110 neurons" in page
    assert "2 neurons have in and out both negated" in page
    moved = page[page.index("moved most") :]
    names = [line.split()[0] for line in moved.splitlines()[2:-1] if line[0].isdigit()]
    assert sorted(names[:2]) == [f"{layer}.{NEGATED}" for layer in (0, 1)]
    assert sorted(names[2:4]) == [f"{layer}.{REPLACED}" for layer in (0, 1)]
    assert sorted(names[4:]) == [f"{layer}.{JITTERED}" for layer in (0, 1)]


@pytest.mark.parametrize("columns", [60, 80, 120, 160])
def test_no_line_of_the_page_runs_over(compare: Compare, columns: int) -> None:
    page = compare("base", "tuned", "--format", "table", columns=columns).stdout
    too_long = [line for line in page.splitlines() if len(line.rstrip()) > max(columns, 80)]
    assert too_long == []


def test_a_pipe_gets_a_row_for_every_neuron(compare: Compare) -> None:
    lines = compare("base", "tuned").stdout.split("\n")  # a token may be another end of line
    rows = list(csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE))
    assert len(rows) == 112
    moved = [float(row["moved"]) for row in rows]
    assert moved == sorted(moved, reverse=True)
    stilled = next(row for row in rows if row["name"] == f"0.{STILLED}")
    assert (stilled["in_cosine"], stilled["same_token"], stilled["class_b"]) == (
        *("", ""),
        "undefined",
    )


def test_rows_in_a_format_and_no_more_than_wanted(compare: Compare, tmp_path: Path) -> None:
    found = json.loads(compare("base", "tuned", "--format", "json", "--limit", "3").stdout)
    assert len(found) == 3
    assert found[0]["name"] in {f"0.{NEGATED}", f"1.{NEGATED}"}
    assert (found[0]["in_cosine"], found[0]["moved"]) == (-1, 2)
    assert (found[0]["model_a"], found[0]["model_b"]) == ("base", "tuned")
    everything = json.loads(compare("base", "tuned", "--format", "json", "--limit", "0").stdout)
    assert len(everything) == 112
    file = tmp_path / "moved.csv"
    assert compare("base", "tuned", "-o", str(file)).stdout == ""
    with file.open(encoding="utf-8", newline="") as stream:
        assert len(list(csv.DictReader(stream))) == 112


def test_a_second_time_it_is_answered_from_the_store(
    compare: Compare, database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = compare("base", "tuned", "--format", "table").stdout
    with sqlite3.connect(database) as connection:
        connection.execute("UPDATE models SET source = '/nowhere'")
    assert isinstance(compare("base", "tuned", "--force").exception, NeuronDBError)
    monkeypatch.setattr(neurondb.cli.compare, "load_job", no_job)
    assert compare("base", "tuned", "--format", "table").stdout == first


def test_force_compares_again(compare: Compare, database: Path) -> None:
    compare("base", "tuned")
    with sqlite3.connect(database) as connection:
        connection.execute("UPDATE comparison_neurons SET moved = 7")
    assert '"moved": 7' in compare("base", "tuned", "--format", "json").stdout
    assert '"moved": 7' not in compare("base", "tuned", "--format", "json", "--force").stdout


def test_a_copy_has_no_neuron_that_moved(database: Path, compare: Compare) -> None:
    base = str(database.parent / "base")
    with sqlite3.connect(database) as connection:
        ((source,),) = connection.execute("SELECT source FROM models WHERE name = 'base'")
    shutil.copytree(source, base)
    given = ["ingest", base, "--name", "copy", "--db", str(database), "--tau", "0.2"]
    assert CliRunner().invoke(cli, given).exit_code == 0
    page = compare("base", "copy", "--format", "table").stdout
    assert "100.00% keep the top token of in (LM head): 112 of 112 neurons" in page
    assert "median cosine: gate 1, in 1, out 1" in page
    assert "0.00% changed class" in page
    assert "no neuron: all cosines are 1" in page


def test_missing_tokens_are_told_with_the_command(tmp_path: Path) -> None:
    database = tmp_path / "n.db"
    for model in tiny_pair(tmp_path):
        given = ["ingest", str(model), "--db", str(database), "--stages", "weights"]
        assert CliRunner().invoke(cli, given).exit_code == 0
    for form, stream in (("table", "stdout"), ("csv", "stderr")):
        given = ["compare", "base", "tuned", "--db", str(database), "--format", form]
        said = getattr(CliRunner().invoke(cli, given), stream)
        for name in ("base", "tuned"):
            command = f"`neurondb ingest {tmp_path / name} --name {name} --stages vocab`"
            assert command in said


@pytest.mark.parametrize(
    ("given", "error", "said"),
    [
        (("base", "base"), UsageError, "'base'"),
        (("base", "BASE"), UsageError, "'BASE'"),
        (("base", "tunned"), UnknownNameError, "'tuned'"),
    ],
)
def test_refusals(
    compare: Compare, given: tuple[str, str], error: type[Exception], said: str
) -> None:
    result = compare(*given)
    assert isinstance(result.exception, error)
    assert said in str(result.exception)
    assert result.stdout == ""


def test_a_database_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    given = ["compare", "a", "b", "--db", str(tmp_path / "no.db")]
    error = CliRunner().invoke(cli, given).exception
    assert isinstance(error, DatabaseError)
    assert str(tmp_path / "no.db") in str(error)
    assert list(tmp_path.iterdir()) == []


def test_another_shape_is_refused_before_a_checkpoint_is_opened(
    compare: Compare, database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(neurondb.cli.compare, "load_job", no_job)
    with sqlite3.connect(database) as connection:
        connection.execute("UPDATE models SET d_model = 33 WHERE name = 'tuned'")
    result = compare("base", "tuned")
    assert isinstance(result.exception, IngestError)
    assert "d_model 32 and 33" in str(result.exception)
