"""Messages name parameters as they are typed to who types, and as Python calls them to Python."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

import neurondb as ndb
from neurondb.cli import cli
from neurondb.spelling import binding, by_option, option, spelling_options
from tests.support.sample_facts import Sample

Call = Callable[[ndb.Database], object]
LLAMA = "sample-llama"
CALLS: list[tuple[Call, list[str], str]] = [
    (lambda db: db.query("weakening-often", model=LLAMA, nothing=1), [], ""),
    (lambda db: db.query("examples-of-neuron"), ["query", "examples-of-neuron"], "--param"),
    (lambda db: db.sql("SELECT :x"), ["sql", "SELECT :x"], "--param"),
    (lambda db: db.ablate(LLAMA, dataset="sample"), ["ablate", LLAMA], "--where"),
    (lambda db: db.ablate(LLAMA, where="dead"), ["ablate", LLAMA, "--where", "dead"], "--dataset"),
    (
        lambda db: db.ablate(LLAMA, where="dead", dataset="sample", mode="fix"),
        ["ablate", LLAMA, "--where", "dead", "--dataset", "sample", "--mode", "fix"],
        "--value",
    ),
    (
        lambda db: db.ablate(LLAMA, where="dead", dataset="sample", draw=3),
        ["ablate", LLAMA, "--where", "dead", "--dataset", "sample", "--draw", "3"],
        "--class",
    ),
]
COMMANDS = re.compile(r"`neurondb [^`]*`")


@pytest.mark.parametrize(("call", "typed", "named"), CALLS)
def test_python_is_told_no_options_and_the_command_line_is(
    call: Call, typed: list[str], named: str, sample: Sample
) -> None:
    with ndb.open(sample.path) as db, pytest.raises(ndb.NeuronDBError) as raised:
        call(db)
    assert "--" not in COMMANDS.sub("", str(raised.value))
    if typed:
        ended = CliRunner().invoke(cli, [*typed, "--db", sample.url])
        assert isinstance(ended.exception, ndb.NeuronDBError)
        assert named in str(ended.exception)


def test_a_database_that_is_not_there_is_told_alike(tmp_path: Path) -> None:
    path = str(tmp_path / "none.db")
    with pytest.raises(ndb.NeuronDBError) as raised:
        ndb.open(path)
    assert "--db" not in str(raised.value)
    ended = CliRunner().invoke(cli, ["models", "--db", path])
    assert "--db" in str(ended.exception)


def test_what_a_job_needs_is_told_alike(tmp_path: Path) -> None:
    with pytest.raises(ndb.NeuronDBError) as raised:
        ndb.ingest("none", str(tmp_path / "n.db"), stages=("activations",))
    assert "dataset" in str(raised.value)
    assert "--" not in str(raised.value)


def test_spellings() -> None:
    def spelled() -> list[str]:
        return [
            option("max_len"),
            option("class_"),
            option("dtype", "float32"),
            binding("freq", "0.5"),
            by_option("db"),
        ]

    in_python = ["max_len", "class_", "dtype='float32'", "freq=0.5", ""]
    assert spelled() == in_python
    with spelling_options():
        typed = ["--max-len", "--class", "--dtype float32", "--param freq=0.5", " with --db"]
        assert spelled() == typed
    assert spelled() == in_python
