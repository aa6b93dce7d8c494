"""One neuron edited in the middle of a matrix: whoever comes back to the model is told."""

from __future__ import annotations

import re
import shutil
import sqlite3
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from torch import Tensor

from ingest.checkpoint.reader import Checkpoint
from neurondb.cli import cli
from neurondb.errors import IngestError
from tests.support.model_files import edit_tensors
from tests.support.tiny_model import tiny_model, write_texts

COMMANDS: dict[str, list[str]] = {
    "ingest": ["ingest", "DIR/tiny", "--dataset", "DIR/texts.txt"],
    "ingest by name": ["ingest", "tiny", "--dataset", "DIR/texts.txt"],
    "verify": ["verify", "tiny"],
    "ablate": ["ablate", "tiny", "--neurons", "0.3", "--dataset", "DIR/texts.txt"],
    "entropy": ["entropy", "tiny", "--neurons", "1.3", "--dataset", "DIR/texts.txt"],
    "generate": ["generate", "tiny", "The cat", "--greedy"],
    "clamp": ["clamp", "tiny", "0.3", "The cat"],
    "lm head": ["tokens", "tiny", "#300", "--lm-head"],
    "compare": ["compare", "tiny", "other"],
}


def edit(tensors: dict[str, Tensor]) -> None:
    tensors["model.layers.1.mlp.up_proj.weight"][28] *= 2


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    write_texts(tmp_path / "texts.txt")
    for name, seed in (("tiny", 0), ("other", 1)):
        tiny_model(tmp_path / name, seed=seed)
        result = ask(tmp_path, "ingest", f"DIR/{name}", "--stages", "weights,vocab")
        assert result.exit_code == 0, result.exception
    return tmp_path


def ask(directory: Path, *words: str) -> Result:
    arguments = [word.replace("DIR", str(directory)) for word in words]
    return CliRunner().invoke(cli, [*arguments, "--db", str(directory / "n.db")])


def test_every_command_refuses(directory: Path) -> None:
    edit_tensors(directory / "tiny", edit)
    for name, words in COMMANDS.items():
        error = ask(directory, *words).exception
        assert isinstance(error, IngestError), (name, error)
        said = rf"{re.escape(str(directory / 'tiny'))} .*\btiny\b.*name"
        assert re.match(said, str(error)), name
        assert "\n" not in str(error), name


def rows(directory: Path, sql: str) -> list[tuple[object, ...]]:
    with sqlite3.connect(directory / "n.db") as connection:
        return connection.execute(sql).fetchall()


def make_old(directory: Path) -> None:
    """Put in place what was stored before whole tensors were hashed."""
    old = Checkpoint.open(directory / "tiny").edge_fingerprint()
    with sqlite3.connect(directory / "n.db") as connection:
        connection.execute("UPDATE models SET fingerprint = ? WHERE name = 'tiny'", (old,))


def test_an_old_fingerprint_is_renewed_after_all_neurons_agree(directory: Path) -> None:
    make_old(directory)
    assert "112 neurons" in ask(directory, "verify", "tiny").stdout  # all of them
    result = ask(directory, "ingest", "tiny", "--stages", "weights")
    assert result.exit_code == 0
    renewed = r"\btiny: .*\bfingerprint\b"
    assert re.search(renewed, result.stderr.replace("\n", " "))
    new = Checkpoint.open(directory / "tiny").fingerprint()
    assert rows(directory, "SELECT fingerprint FROM models WHERE name = 'tiny'") == [(new,)]
    again = ask(directory, "ingest", "tiny", "--stages", "weights")
    assert not re.search(renewed, again.stderr.replace("\n", " "))


def test_an_old_fingerprint_of_an_edited_model_is_not_renewed(directory: Path) -> None:
    edit_tensors(directory / "tiny", edit_direction)
    make_old(directory)  # such that it does not see the edit
    for words in (["verify", "tiny"], ["ingest", "tiny", "--stages", "weights"]):
        error = ask(directory, *words).exception
        assert isinstance(error, IngestError)
        assert re.search(r"\btiny 1\.28\b", str(error))


def edit_direction(tensors: dict[str, Tensor]) -> None:
    tensors["model.layers.1.mlp.up_proj.weight"][28] = tensors["model.layers.1.mlp.up_proj.weight"][
        27
    ]


def test_an_edited_copy_is_a_model_of_its_own(directory: Path) -> None:
    shutil.copytree(directory / "tiny", directory / "edited")
    edit_tensors(directory / "edited", edit)
    assert ask(directory, "ingest", "DIR/edited", "--stages", "weights").exit_code == 0
    assert rows(directory, "SELECT count(DISTINCT fingerprint) FROM models") == [(3,)]
