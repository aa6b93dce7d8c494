"""What `ingest` is given as a model: a directory, a stored or known model's name, or a hub id."""

from __future__ import annotations

import re
import sqlite3
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

import ingest.checkpoint.fingerprint_check
import ingest.checkpoint.naming
from ingest.checkpoint.hub import LocatedModel
from ingest.checkpoint.naming import locate_requested
from neurondb.cli import cli
from neurondb.contracts.ingest import IngestRequest
from neurondb.errors import IngestError, ModelError
from tests.support.tiny_model import tiny_model


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A database with a model called mine, read from a directory of another name."""
    tiny_model(tmp_path / "tiny")
    assert run(tmp_path, str(tmp_path / "tiny"), "--name", "mine").exit_code == 0
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(home: Path, *words: str) -> Result:
    arguments = ["ingest", *words, "--stages", "weights", "--db", str(home / "n.db")]
    return CliRunner().invoke(cli, arguments)


def asked(home: Path, model: str, name: str | None = None) -> tuple[str, str]:
    located, called = locate_requested(IngestRequest(model, str(home / "n.db"), name))
    return located.source, called


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str | None]]:
    """What was asked of the hub, which has everything."""
    calls: list[tuple[str, str | None]] = []

    def locate(model: str, revision: str | None = None) -> LocatedModel:
        calls.append((model, revision))
        return LocatedModel(Path(model), f"hub/{model}", revision, model)

    monkeypatch.setattr(ingest.checkpoint.naming, "locate_model", locate)
    monkeypatch.setattr(ingest.checkpoint.fingerprint_check, "locate_model", locate)
    return calls


def change(home: Path, sql: str) -> None:
    with sqlite3.connect(home / "n.db") as connection:
        connection.execute(sql)


def test_a_stored_name_goes_on_from_its_source(home: Path) -> None:
    result = run(home, "mine")
    assert result.exit_code == 0
    assert re.search(r"\bmine: .*\b4 steps\b", result.stderr.replace("\n", " "))
    assert asked(home, "MINE") == (str(home / "tiny"), "mine")


def test_under_another_name_it_is_stored_anew(home: Path) -> None:
    assert asked(home, "mine", "twin") == (str(home / "tiny"), "twin")


def test_a_directory_goes_before_a_stored_name(home: Path) -> None:
    (home / "mine").mkdir()
    assert asked(home, "mine") == (str(home / "mine"), "mine")


def test_a_source_that_has_moved_is_one_line(home: Path) -> None:
    (home / "tiny").rename(home / "elsewhere")
    error = run(home, "mine").exception
    assert isinstance(error, IngestError)
    assert re.match(rf"mine .*{re.escape(str(home / 'tiny'))}\b", str(error))
    assert "\n" not in str(error)


def test_a_known_name_goes_on_from_the_commit_that_was_read(
    home: Path, hub: list[tuple[str, str | None]]
) -> None:
    change(home, "UPDATE models SET name = 'gpt2-small', source = 'openai-community/gpt2'")
    change(home, "UPDATE models SET revision = 'abc'")
    assert asked(home, "gpt2-small")[1] == "gpt2-small"
    assert hub == [("openai-community/gpt2", "abc")]


def test_a_stored_name_goes_before_a_known_one_unless_it_gets_another(
    home: Path, hub: list[tuple[str, str | None]]
) -> None:
    change(home, "UPDATE models SET name = 'gpt2-small'")
    asked(home, "gpt2-small")
    asked(home, "gpt2-small", "from-hub")
    assert hub == [(str(home / "tiny"), None), ("gpt2-small", None)]


@pytest.mark.parametrize("content", [None, b""])
def test_without_a_database_nothing_is_stored(tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / "new.db"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(ModelError, match=r"'mine'.*owner/name"):
        locate_requested(IngestRequest("mine", str(file)))
    assert file.exists() == (content is not None)
