"""`neurondb check` finds what is not whole; `neurondb verify` what is not so."""

import shutil
import sqlite3
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from neurondb.cli import cli
from neurondb.errors import DatabaseError, IngestError, UnknownNameError
from tests.support.tiny_model import tiny_model, write_texts


@pytest.fixture(scope="module")
def ingested(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("verify")
    model = tiny_model(directory / "tiny")
    texts = write_texts(directory / "texts.txt")
    arguments = ["ingest", str(model), "--db", str(directory / "n.db"), "--dataset", str(texts)]
    assert CliRunner().invoke(cli, arguments).exit_code == 0
    return directory


@pytest.fixture
def database(ingested: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(ingested / "n.db", tmp_path / "n.db"))


def ask(command: str, database: Path, *more: str) -> Result:
    return CliRunner().invoke(cli, [command, *more, "--db", str(database)])


def change(database: Path, sql: str) -> None:
    with sqlite3.connect(database) as connection:
        connection.execute(sql)


def test_a_fresh_database_is_whole(database: Path) -> None:
    result = ask("check", database)
    assert (result.exit_code, result.stdout) == (0, "")
    assert "whole" in result.stderr


@pytest.mark.parametrize(
    ("sql", "said"),
    [
        ("DELETE FROM cosines WHERE neuron_id = 60", "layer 1 of weights is finished, but cosines"),
        ("DELETE FROM texts WHERE text_id = 1", "refers to nothing in texts"),
        ("DROP INDEX ix_top_token_rows_token", "ix_top_token_rows_token is missing"),
    ],
)
def test_what_is_missing_is_said(database: Path, sql: str, said: str) -> None:
    change(database, sql)
    result = ask("check", database)
    assert said in result.stdout
    assert isinstance(result.exception, DatabaseError)


def test_a_damaged_file_is_said(database: Path) -> None:
    with database.open("r+b") as file:
        file.seek(40_960)
        file.write(b"\xff" * 4096 * 8)
    assert isinstance(ask("check", database).exception, DatabaseError)


def test_stored_cosines_agree_with_the_weights(database: Path) -> None:
    result = ask("verify", database, "tiny")
    assert result.exit_code == 0
    assert "112 neurons of 2 layers agree" in result.stdout


def test_a_changed_cosine_is_found(database: Path) -> None:
    change(database, "UPDATE cosines SET in_out = in_out + 0.001 WHERE neuron_id = 57")
    result = ask("verify", database, "tiny")
    assert isinstance(result.exception, IngestError)
    assert "tiny 1.0: a stored cosine is off by 0.001" in str(result.exception)


def test_a_lost_cosine_is_found(database: Path) -> None:
    change(database, "UPDATE cosines SET gate_in = NULL WHERE neuron_id = 3")
    assert isinstance(ask("verify", database, "tiny").exception, IngestError)


def test_changed_weights_are_found(ingested: Path, database: Path, tmp_path: Path) -> None:
    other = tiny_model(tmp_path / "other", seed=7)
    change(database, f"UPDATE models SET source = '{other}'")
    assert "other weights" in str(ask("verify", database, "tiny").exception)


def test_an_unknown_model_is_said(database: Path) -> None:
    assert isinstance(ask("verify", database, "tinny").exception, UnknownNameError)
