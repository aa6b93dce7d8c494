"""`neurondb verify --published` end to end: its page, its rows, its exit codes."""

import csv
import io
import json
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner, Result

from neurondb.cli import cli
from neurondb.errors import DatabaseError, ModelError, UsageError
from tests.support.published_models import build
from tests.support.sample_facts import Sample


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pythia-14M as published, under its own name."""
    path = tmp_path_factory.mktemp("published") / "p.db"
    build(path, "pythia-14m", "EleutherAI/pythia-14m", "ungated").dispose()
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return path


@pytest.fixture
def wrong(published: Path, tmp_path: Path) -> Path:
    """The same with two neurons of layer 3 turned around, and under another name."""
    shutil.copyfile(published, tmp_path / "w.db")
    with sqlite3.connect(tmp_path / "w.db") as connection:
        connection.execute("UPDATE models SET name = 'mine'")
        connection.execute(
            "UPDATE cosines SET in_out = .8 WHERE neuron_id IN (SELECT neuron_id FROM neurons"
            " WHERE layer = 3 AND neuron < 2)"
        )
    return tmp_path / "w.db"


def verify(database: Path, model: str, *options: str) -> Result:
    given = ["verify", model, "--published", "--db", str(database), *options]
    return CliRunner().invoke(cli, given)


def test_what_agrees_ends_with_0(published: Path) -> None:
    result = verify(published, "pythia-14m")
    assert result.exit_code == 0
    assert "pythia-14m against what was published of pythia-14m" in result.stdout
    assert "22 published figures: 22 agree, 0 differ, 0 not in this database" in result.stdout
    assert "e39ce36" in result.stdout, "the source is named"
    lines = [line.split() for line in result.stdout.splitlines()]
    assert ["weakening", "204", "204", "0", "exactly", "agrees"] in lines
    assert not any(line[:1] == ["layer"] for line in lines)


def test_what_differs_ends_with_1_and_is_named(wrong: Path) -> None:
    result = verify(wrong, "mine", "--as", "EleutherAI/pythia-14m")
    assert isinstance(result.exception, DatabaseError)
    assert str(result.exception) == "5 of 22 published figures differ from the database's"
    assert "differing: 3" in result.stdout
    assert "17 agree, 5 differ" in result.stdout


def test_layers_are_listed_where_they_are_asked_for(published: Path) -> None:
    result = verify(published, "pythia-14m", "--layers", "0,-1")
    layers = [line.split()[1] for line in result.stdout.splitlines() if line.startswith("layer ")]
    assert layers == ["0"] * 3 + ["5"] * 3


@pytest.mark.parametrize("form", ["json", "ndjson", "csv", "tsv", "markdown"])
def test_rows_have_every_layer(published: Path, form: str) -> None:
    result = verify(published, "pythia-14m", "--format", form)
    assert result.exit_code == 0
    n = {"json": 24, "markdown": 24, "ndjson": 22}.get(form, 23)
    assert len(result.stdout.splitlines()) == n
    assert "22 agree" in result.stderr
    if form == "json":
        row = json.loads(result.stdout)[-1]
        assert (row["item"], row["layer"], row["published"], row["ours"]) == (
            "weakening",
            5,
            20,
            20,
        )
    if form == "csv":
        rows = list(csv.DictReader(io.StringIO(result.stdout)))
        assert rows[0]["figure"] == "class count"
        assert {row["verdict"] for row in rows} == {"agrees"}


def test_rows_go_into_a_file(published: Path, tmp_path: Path) -> None:
    assert verify(published, "pythia-14m", "-o", str(tmp_path / "f.parquet")).exit_code == 0
    table = pq.read_table(tmp_path / "f.parquet")
    assert table.num_rows == 22
    assert table["layer"].to_pylist().count(None) == 4


def test_a_model_of_no_table_gets_the_patterns(sample: Sample) -> None:
    result = verify(sample.path, "sample-llama")
    assert isinstance(result.exception, DatabaseError)
    assert "sample-llama is in no published table" in result.stdout
    assert "Weakening neurons are few." in result.stdout
    assert "share of all neurons (OLMo-7B: 526 of 352,256, .0015)" in result.stdout
    assert "20 patterns: " in result.stdout
    rows = verify(sample.path, "sample-llama", "--format", "json")
    patterns = json.loads(rows.stdout)
    assert len(patterns) == 20
    assert patterns[2]["pattern"] == "more-than-random"
    assert (
        f"of 20 patterns {'do not' if 'patterns do' in str(result.exception) else 'does not'}"
        in (str(result.exception))
    )


def test_a_model_of_a_table_gets_them_when_asked(published: Path) -> None:
    result = verify(published, "pythia-14m", "--patterns")
    assert "against what was published" not in result.stdout.splitlines()[-1]
    assert "patterns: " in result.stdout.splitlines()[-1]


def test_nothing_to_compare_ends_with_1(published: Path, tmp_path: Path) -> None:
    shutil.copyfile(published, tmp_path / "e.db")
    with sqlite3.connect(tmp_path / "e.db") as connection:
        connection.execute("DELETE FROM cosines")
    result = verify(tmp_path / "e.db", "pythia-14m")
    assert isinstance(result.exception, DatabaseError)
    assert str(result.exception).startswith("nothing could be compared")
    assert "run `neurondb ingest" in result.stdout


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        (["--as", "nobody"], UsageError, "no published table has a model 'nobody'"),
        (["--as", "llama-3.2-3b"], ModelError, "that model has 28 layers of 8,192 gated neurons"),
        (["--seed", "3"], UsageError, "--seed is about weights, not about --published"),
        (["--activations"], UsageError, "--activations is about weights"),
    ],
)
def test_what_cannot_be_is_refused(
    published: Path, options: list[str], error: type[Exception], message: str
) -> None:
    result = verify(published, "pythia-14m", *options)
    assert isinstance(result.exception, error)
    assert message in str(result.exception)
    assert result.stdout == ""


@pytest.mark.parametrize("option", [["--as", "gpt2"], ["--patterns"], ["--format", "csv"]])
def test_options_of_the_literature_need_published(published: Path, option: list[str]) -> None:
    result = CliRunner().invoke(cli, ["verify", "pythia-14m", "--db", str(published), *option])
    assert isinstance(result.exception, UsageError)
    assert str(result.exception) == f"{option[0]} needs --published"


def test_it_takes_neither_torch_nor_ingest(published: Path) -> None:
    code = (
        "import sys; sys.argv = ['neurondb', 'verify', 'pythia-14m', '--published', '--db', "
        f"{str(published)!r}]\nfrom neurondb.cli import main\ntry:\n    main()\nfinally:\n"
        "    assert not {'torch', 'ingest', 'altair', 'datasette'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
