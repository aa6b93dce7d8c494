"""`neurondb check` finds what is not whole; `neurondb verify` what is not so."""

import re
import shutil
import sqlite3
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner, Result

import ingest.forward.hooks
import ingest.jobs.verify
from neurondb.cli import cli
from neurondb.errors import DatabaseError, IngestError, UnknownNameError
from tests.support.tiny_model import tiny_model, write_texts

WORST_DIFFERENCE = re.compile(r"TransformerBridge\D* (\d\S*)")


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
        ("DELETE FROM cosines WHERE neuron_id = 60", r"\blayer 1\b.* cosines\b"),
        ("DELETE FROM texts WHERE text_id = 1", r"\btexts\b"),
        ("DELETE FROM double_checking WHERE neuron_id = 60", r"\bdouble_checking\b.* 55\b.* 56\b"),
        ("UPDATE tokens SET unembed_norm = NULL", r"\btiny\b.* norms\b"),
        ("DROP INDEX ix_top_token_rows_token", "ix_top_token_rows_token"),
    ],
)
def test_what_is_missing_is_said(database: Path, sql: str, said: str) -> None:
    change(database, sql)
    result = ask("check", database)
    assert re.search(said, result.stdout)
    assert isinstance(result.exception, DatabaseError)


def test_a_damaged_file_is_said(database: Path) -> None:
    with database.open("r+b") as file:
        file.seek(40_960)
        file.write(b"\xff" * 4096 * 8)
    assert isinstance(ask("check", database).exception, DatabaseError)


def test_stored_cosines_agree_with_the_weights(database: Path) -> None:
    result = ask("verify", database, "tiny")
    assert result.exit_code == 0
    assert re.search(r"\b112 .*\b2 ", result.stdout)


def test_a_changed_cosine_is_found(database: Path) -> None:
    change(database, "UPDATE cosines SET in_out = in_out + 0.001 WHERE neuron_id = 57")
    result = ask("verify", database, "tiny")
    assert isinstance(result.exception, IngestError)
    assert re.search(r"\btiny 1\.0\b.* 0\.001", str(result.exception))


def test_a_lost_cosine_is_found(database: Path) -> None:
    change(database, "UPDATE cosines SET gate_in = NULL WHERE neuron_id = 3")
    assert isinstance(ask("verify", database, "tiny").exception, IngestError)


def test_changed_weights_are_found(ingested: Path, database: Path, tmp_path: Path) -> None:
    other = tiny_model(tmp_path / "other", seed=7)
    change(database, f"UPDATE models SET source = '{other}'")
    error = ask("verify", database, "tiny").exception
    assert isinstance(error, IngestError)
    assert re.search(rf"{re.escape(str(other))} .*\btiny\b.*name", str(error))


def test_an_unknown_model_is_said(database: Path) -> None:
    assert isinstance(ask("verify", database, "tinny").exception, UnknownNameError)


# --- verify --activations --------------------------------------------------------------------


def test_activations_equal_the_bridges(database: Path) -> None:
    result = ask("verify", database, "tiny", "--activations", "--device", "cpu")
    assert result.exit_code == 0
    said = WORST_DIFFERENCE.search(flat(result.stderr))
    assert said is not None
    assert 0 <= float(said[1]) < 1e-5
    assert re.search(r"\b112 .*\b2 ", result.stdout)


@pytest.mark.parametrize("seed", [1, 2])
def test_activations_of_an_ungated_model_equal_the_bridges(seed: int, tmp_path: Path) -> None:
    model = tiny_model(tmp_path / "opt", "opt")
    database = tmp_path / "n.db"
    assert ask("ingest", database, str(model), "--stages", "weights").exit_code == 0
    more = ("opt", "--activations", "--device", "cpu", "--seed", str(seed))
    assert WORST_DIFFERENCE.search(flat(ask("verify", database, *more).stderr))


@pytest.mark.parametrize("wrong", [1.01, float("nan")])
def test_an_activation_that_differs_is_found(
    wrong: float, database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hook that gives something else, as one on a wrong module would."""
    real = ingest.forward.hooks._by_text

    def scaled(values: torch.Tensor, shape: tuple[int, int]) -> torch.Tensor:
        return real(values, shape) * (wrong if values.shape[-1] == 56 else 1)

    monkeypatch.setattr(ingest.forward.hooks, "_by_text", scaled)
    result = ask("verify", database, "tiny", "--activations", "--device", "cpu")
    assert isinstance(result.exception, IngestError)
    assert re.search(r"hook_\w+ .*layer \d .*TransformerBridge", str(result.exception))
    assert result.stdout == ""


def test_the_model_is_run_only_when_asked(database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(ingest.jobs.verify, "compare_activations")
    assert ask("verify", database, "tiny").exit_code == 0


def test_no_such_device_is_one_line(database: Path) -> None:
    result = ask("verify", database, "tiny", "--activations", "--device", "abacus")
    assert "'abacus'" in str(result.exception)


def flat(text: str) -> str:
    return " ".join(text.split())
