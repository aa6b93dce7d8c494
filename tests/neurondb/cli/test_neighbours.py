"""`neurondb neighbours` end to end on a tiny model; what `show`, `find` and `query` then have."""

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from rich.cells import cell_len

from ingest.jobs import neighbours
from neurondb.cli import cli
from neurondb.contracts.ingest import IngestRequest
from neurondb.contracts.registry import load_job
from neurondb.errors import NeuronDBError, UnknownNameError, UsageError
from tests.support.ingested import Silent
from tests.support.tiny_model import tiny_model

Invoke = Callable[..., Result]


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tiny_model(tmp_path_factory.mktemp("tiny") / "tiny")
    file = directory.parent / "n.db"
    request = IngestRequest(str(directory), database=str(file), stages=("weights",), device="cpu")
    load_job("ingest")(request, Silent())
    return file


@pytest.fixture
def invoke(database: Path, monkeypatch: pytest.MonkeyPatch) -> Invoke:
    monkeypatch.setattr("neurondb.cli.neighbours.load_job", lambda _name: neighbours.run)

    def run(*arguments: str, columns: int = 120) -> Result:
        given = [*arguments, "--db", str(database)]
        return CliRunner().invoke(cli, given, env={"COLUMNS": str(columns)})

    return run


def rows(result: Result) -> list[dict[str, str]]:
    assert result.exit_code == 0, result.exception
    return list(csv.DictReader(io.StringIO(result.stdout)))


def test_what_is_missing_comes_with_the_command(invoke: Invoke) -> None:
    """Before the first run; the tests below have theirs."""
    found = invoke("find", "downstream(0.3) model=tiny")
    assert "run `neurondb neighbours tiny`" in found.stderr
    page = json.loads(invoke("show", "tiny", "0.3", "--format", "json").stdout)
    if page["relations"] is None:
        asked = invoke("query", "duplicate-neurons")
        assert "run `neurondb neighbours tiny`" in asked.stderr


def test_a_page_and_then_what_is_stored(invoke: Invoke) -> None:
    first = invoke("neighbours", "tiny", "--device", "cpu", "--format", "table")
    assert first.exit_code == 0, first.exception
    assert "run 1, stored" in first.stderr
    for said in ("neighbours, of all layers", "downstream", "upstream", "strongest connections"):
        assert said in first.stdout
    again = invoke("neighbours", "tiny", "--device", "cpu", "--format", "table")
    assert again.stdout == first.stdout
    assert "stored already; --force runs it again" in again.stderr


@pytest.mark.parametrize("columns", [60, 80, 160])
def test_no_line_runs_over(invoke: Invoke, columns: int) -> None:
    page = invoke("neighbours", "tiny", "--format", "table", columns=columns).stdout
    assert max(map(cell_len, page.splitlines())) <= max(columns, 80)
    shown = invoke("show", "tiny", "0.3", columns=columns).stdout
    _, panel = shown.split("other neurons, by weights")
    assert max(map(cell_len, panel.splitlines()[1:])) <= columns


def test_rows_are_the_strongest_pairs(invoke: Invoke) -> None:
    invoke("neighbours", "tiny", "--device", "cpu")
    found = rows(invoke("neighbours", "tiny", "--limit", "2", "--format", "csv"))
    kinds = {(row["relation"], row["vector"], row["side"]) for row in found}
    assert len(kinds) == 3 * 2 + 2 * 2 * 2
    assert len(found) == 2 * len(kinds)
    for row in found:
        assert (float(row["cosine"]) > 0) == (row["side"] == "nearest")
        assert (row["n_beyond"] == "") == (row["relation"] != "neighbour")
    everyone = rows(invoke("neighbours", "tiny", "--limit", "0", "--format", "csv"))
    assert len(everyone) > len(found)


def test_find_lists_them(invoke: Invoke) -> None:
    invoke("neighbours", "tiny", "--device", "cpu")
    page = json.loads(invoke("show", "tiny", "0.3", "--format", "json").stdout)
    wanted = {one["other"]["name"] for one in page["relations"]["downstream"]}
    found = rows(invoke("find", "downstream(0.3)", "--columns", "name", "--format", "csv"))
    assert wanted <= {row["name"] for row in found}


@pytest.mark.parametrize(
    ("given", "error", "said"),
    [
        (("nobody",), UnknownNameError, "no model 'nobody'"),
        (("tiny", "--top", "61"), UsageError, "--top 61: a list has 1 to 60 entries"),
        (("tiny", "--threshold", "2"), UsageError, "--threshold 2: give a |cosine|"),
    ],
)
def test_mistakes_are_one_line(
    invoke: Invoke, given: tuple[str, ...], error: type[NeuronDBError], said: str
) -> None:
    result = invoke("neighbours", *given)
    assert isinstance(result.exception, error)
    assert said in str(result.exception)
    assert "\n" not in str(result.exception)
