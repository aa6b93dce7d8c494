"""`neurondb heads` end to end on a small stored model, and its pages of the sample's run."""

import csv
import io
import shutil
import sqlite3
from contextlib import closing
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from rich.cells import cell_len

import neurondb as ndb
from neurondb.cli import cli
from neurondb.reading.heads import read_head_page
from neurondb.reading.models import find_model, open_readonly
from neurondb.terminal.console import open_console
from neurondb.terminal.heads import draw_head_page
from tests.support.ingested import TEXTS, text_file
from tests.support.sample_facts import Sample
from tests.support.steering import Stored, stored


def this_checkouts(_name: str) -> Any:
    return import_module("ingest.jobs.heads").run


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stored:
    """A random model in a database of its own; the job is this checkout's."""
    for module in ("neurondb.cli.heads", "neurondb.api.jobs"):
        monkeypatch.setattr(import_module(module), "load_job", this_checkouts)
    whole = stored("llama")
    shutil.copy(whole.database, tmp_path / "n.db")
    return Stored(whole.directory, str(tmp_path / "n.db"))


def invoke(model: Stored, *arguments: str) -> Result:
    common = ("--db", model.database, "--device", "cpu", "--random", "50")
    return CliRunner().invoke(cli, ["heads", "m", *common, *arguments])


def test_the_page_and_the_rows(model: Stored) -> None:
    texts = str(text_file(TEXTS[:6]))
    result = invoke(model, "--dataset", texts, "--n-pairs", "3", "--format", "table")
    assert result.exit_code == 0, result.output
    for part in ("deactivates", "activates", "path ablation", "median ratio", "BOS is #1"):
        assert part in result.stdout
    assert "run 1, stored" in result.stderr
    again = invoke(model, "--dataset", texts, "--n-pairs", "3", "--format", "csv", "--limit", "2")
    assert "stored already" in again.stderr
    rows = list(csv.DictReader(io.StringIO(again.stdout)))
    every = invoke(model, "--dataset", texts, "--n-pairs", "3", "--format", "csv", "--limit", "0")
    of_heads = "SELECT COUNT(*) FROM neuron_head_rows WHERE head_rank IS NOT NULL"
    with closing(sqlite3.connect(model.database)) as connection:
        ((n,),) = connection.execute(of_heads).fetchall()
    assert len(list(csv.DictReader(io.StringIO(every.stdout)))) == n > len(rows)
    assert sum(bool(row["n"]) for row in rows) == 3
    with closing(sqlite3.connect(model.database)) as connection:
        known = dict(
            connection.execute(
                "SELECT name || ':' || head_name, score FROM neuron_heads"
            ).fetchall()
        )
    for row in rows:
        assert float(row["score"]) == pytest.approx(known[f"{row['neuron']}:{row['head']}"])
        assert (row["effect"] == "deactivates") == (float(row["score"]) > 0)


def test_from_python(model: Stored) -> None:
    with ndb.open(model.database) as db:
        found = db.heads("m", random=50, device="cpu", per_neuron=1)
        assert len(found) == len(db.sql("SELECT * FROM neuron_heads"))
        with pytest.raises(TypeError, match="heads has no option 'neurons'"):
            db.heads("m", neurons="1.2")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--pairs", "1.2"), "is no pair of a neuron and a head"),
        (("--pairs", "1.2:1.0"), "must be in a layer after the neuron's"),
        (("--pairs", "0.2:1.0"), "give --dataset"),
        (("--dataset", "nowhere"), "nowhere"),
    ],
)
def test_what_is_wrong_is_one_line(model: Stored, arguments: tuple[str, ...], said: str) -> None:
    result = invoke(model, *arguments)
    assert result.exit_code in (1, 2)
    assert said in str(result.exception) + result.output


@pytest.mark.parametrize("width", [80, 120])
def test_no_line_of_the_page_runs_over(sample: Sample, width: int) -> None:
    with open_readonly(sample.url) as connection:
        page = read_head_page(connection, find_model(connection, "sample-llama"), 4)
    assert page is not None
    stream = io.StringIO()
    open_console(stream, width).print(draw_head_page(page, width))
    lines = stream.getvalue().splitlines()
    assert max(map(cell_len, lines)) <= width
    assert any(line.startswith("0.6 ") for line in lines)


def test_a_neurons_page_has_its_heads(sample: Sample) -> None:
    result = CliRunner().invoke(cli, ["show", "sample-llama", "0.6", "--db", sample.url])
    assert "attention heads that it turns off and on" in result.stdout
    last = CliRunner().invoke(cli, ["show", "sample-llama", "3.6", "--db", sample.url])
    assert "attention heads" not in last.stdout
