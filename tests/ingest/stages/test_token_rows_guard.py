"""Rows of U and E that no token has: a model that has them has the numbers of one without."""

import re
import shutil
import sqlite3
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from ingest.text.tokenizer import Tokenizer
from ingest.weights.token_rows import TokenRows
from neurondb.cli import cli
from neurondb.contracts.compare import CompareRequest
from neurondb.contracts.ingest import IngestRequest
from neurondb.contracts.registry import load_job
from neurondb.contracts.tokens import LmHeadRequest
from neurondb.errors import CheckpointError, IngestError
from tests.support.ingested import Silent
from tests.support.padded_models import AT_THE_END, WITH_HOLES, cut, padded, write_word_tokenizer
from tests.support.random_models import VOCABULARY
from tests.support.tiny_requests import ask, run

FAMILIES = ("llama", "llama-square", "gpt_neox", "gpt2")
"""Gated and ungated, the first of each untied."""

NUMBERS = {
    "vocab_stat_rows": "*",
    "double_checking": "*",
    "property_effects": "*",
    "logit_effect_rows": "*",
    "top_token_rows": "neuron_id, list_id, rank, scaled_cosine",
    "lm_head_tokens": "neuron_id, side, probability, normalised",
    "tokens": "token, piece, unembed_norm, embed_norm",
}
IDS = {
    "top_token_rows": "neuron_id, list_id, rank",
    "lm_head_tokens": "neuron_id, side",
    "tokens": "token_id",
    "token_property_rows": "property_id, token_id",
}


def request_of(model: Path, database: Path, **options: Any) -> IngestRequest:
    return IngestRequest(
        model=str(model), name=model.name, database=str(database), device="cpu",
        stages=("weights", "vocab"), **options,
    )  # fmt: skip


class Pair:
    """A padded model, and the same without unused rows, each in a database of its own."""

    def __init__(self, directory: Path, family: str, token_ids: tuple[int, ...]) -> None:
        self.token_ids = token_ids
        self.padded = request_of(
            padded(directory / "padded", family, token_ids), directory / "padded.db"
        )
        self.cut = request_of(
            cut(directory / "padded", directory / "cut", token_ids), directory / "cut.db"
        )
        for request in (self.padded, self.cut):
            run(request)


@pytest.fixture(scope="module", params=[AT_THE_END, WITH_HOLES], ids=["end", "holes"])
def token_ids(request: pytest.FixtureRequest) -> tuple[int, ...]:
    return tuple(request.param)


@pytest.fixture(scope="module", params=FAMILIES)
def pair(
    request: pytest.FixtureRequest,
    token_ids: tuple[int, ...],
    tmp_path_factory: pytest.TempPathFactory,
) -> Pair:
    return Pair(tmp_path_factory.mktemp("pair"), request.param, token_ids)


@pytest.mark.parametrize("table", NUMBERS)
def test_every_number_is_that_of_the_model_without_unused_rows(pair: Pair, table: str) -> None:
    sql = f"SELECT {NUMBERS[table]} FROM {table} ORDER BY 1, 2, 3"
    found, expected = ask(pair.padded, sql), ask(pair.cut, sql)
    assert found == expected
    assert (table == "double_checking") or found


@pytest.mark.parametrize("table", IDS)
def test_tokens_keep_the_ids_of_their_rows(pair: Pair, table: str) -> None:
    sql = f"SELECT token_id FROM {table} ORDER BY {IDS[table]}"
    expected = [(pair.token_ids[int(str(place))],) for (place,) in ask(pair.cut, sql)]
    assert ask(pair.padded, sql) == expected
    assert expected


@pytest.mark.parametrize("fraction", [0.0, 1.0])
def test_any_token_decodes_as_without_unused_rows(pair: Pair, fraction: float) -> None:
    """With the stored top tokens to go by, and without."""
    places = (0, 17, len(pair.token_ids) - 1)
    found = []
    for request, wanted in (
        (pair.padded, tuple(pair.token_ids[place] for place in places)),
        (pair.cut, places),
    ):
        copy = Path(f"{request.database}-{fraction}.db")
        shutil.copy(str(request.database), copy)
        if fraction:
            with sqlite3.connect(copy) as connection:
                connection.execute("DELETE FROM lm_head_tokens")
        asked = LmHeadRequest(str(request.name), wanted, str(copy), device="cpu")
        found.append(load_job("tokens")(asked, Silent()))
    for one, other in zip(*found, strict=True):
        np.testing.assert_array_equal(one.probability, other.probability)
        np.testing.assert_array_equal(one.normalised, other.normalised)


def test_an_unused_row_is_no_token(pair: Pair) -> None:
    unused = min(set(range(VOCABULARY)) - set(pair.token_ids))
    asked = LmHeadRequest("padded", (unused,), str(pair.padded.database), device="cpu")
    with pytest.raises(CheckpointError, match=rf"#{unused}\b"):
        load_job("tokens")(asked, Silent())
    said = command("tokens", "padded", f"#{unused}", "--db", str(pair.padded.database))
    assert re.search(rf"#{unused}\b.*\bembedding\b", said)


def test_unused_rows_are_counted(pair: Pair) -> None:
    n_unused = VOCABULARY - len(pair.token_ids)
    sql = "SELECT d_vocab, n_unused_rows FROM models"
    assert ask(pair.padded, sql) == [(VOCABULARY, n_unused)]
    assert ask(pair.cut, sql) == [(len(pair.token_ids), 0)]


def command(*arguments: str) -> str:
    result = CliRunner().invoke(cli, arguments)
    return f"{result.stdout}{result.stderr}{result.exception or ''}"


def test_unused_rows_are_said(pair: Pair) -> None:
    database, n_unused = str(pair.padded.database), VOCABULARY - len(pair.token_ids)
    again = command(
        *("ingest", pair.padded.model, "--name", "padded", "--db", database),
        *("--stages", "vocab", "--device", "cpu"),
    )
    said = rf"\b{n_unused} of 512 rows\b"
    assert len(re.findall(said, again)) == 1
    assert re.search(said, command("status", "--db", database))
    listed = command("models", "--db", database, "--format", "csv").splitlines()
    row = dict(zip(*(line.split(",") for line in listed[:2]), strict=False))
    assert row["n_unused_rows"] == str(n_unused)
    shown = command("show", "padded", "0.3", "--db", database)
    assert re.search(rf"\b{n_unused} rows\b", shown)
    of_cut = command("status", "--db", str(pair.cut.database))
    assert not re.search(r"\d+ of \d+ rows\b", of_cut)


def test_without_a_tokenizer_every_row_counts(tmp_path: Path) -> None:
    model = padded(tmp_path / "model", "llama", AT_THE_END)
    (model / "tokenizer.json").unlink()
    request, progress = request_of(model, tmp_path / "n.db"), Silent()
    load_job("ingest")(request, progress)
    assert any("no tokenizer" in note for note in progress.notes)
    assert ask(request, "SELECT n_unused_rows FROM models") == [(None,)]
    assert ask(request, "SELECT COUNT(*) FROM tokens") == [(VOCABULARY,)]
    unused = "SELECT COUNT(*) FROM top_token_rows WHERE token_id >= 400"
    assert int(str(ask(request, unused)[0][0])) > 1000


# --- which rows are a token's --------------------------------------------------------------


def test_ids_beyond_the_rows_are_no_tokens_of_the_model(tmp_path: Path) -> None:
    """Tokens added to a vocabulary for which the embedding was never widened."""
    model = padded(tmp_path / "model", "llama", range(VOCABULARY))
    write_word_tokenizer(model, range(VOCABULARY), ["<beyond>"])
    rows = TokenRows.from_tokenizer(Tokenizer(model), VOCABULARY)
    assert (rows.n_unused, rows.token_ids) == (0, None)
    run(request_of(model, tmp_path / "n.db"))


def test_rows_at_the_end_are_cut_off_without_a_copy() -> None:
    table = torch.arange(20.0).view(10, 2)
    found = TokenRows(10, np.arange(7)).select(table)
    assert found.data_ptr() == table.data_ptr()
    assert torch.equal(found, table[:7])
    assert TokenRows(10).select(table) is table
    assert torch.equal(TokenRows(10, np.array([1, 4])).select(table), table[[1, 4]])


def test_places_and_ids_lead_to_each_other() -> None:
    rows = TokenRows(10, np.array([1, 4, 9]))
    assert rows.to_places([9, 1]) == [2, 0]
    np.testing.assert_array_equal(rows.to_token_ids(np.array([[2, -1], [0, 1]])), [[9, -1], [1, 4]])


# --- databases of earlier versions ---------------------------------------------------------

OUTDATED = r"\bpadded\b.*\b112 rows\b.*--stages vocab --force"
"""Which model counts how many rows too many, and what to run."""


@pytest.fixture
def earlier(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> IngestRequest:
    """A database whose lists count every row, as versions before 0006 wrote them."""
    model = padded(tmp_path / "padded", "llama", AT_THE_END)
    request = request_of(model, tmp_path / "n.db")
    with monkeypatch.context() as patch:
        patch.setattr(TokenRows, "from_tokenizer", lambda tokenizer, n_rows: TokenRows(n_rows))
        spelled = Tokenizer.list_tokens

        def every_row(self: Tokenizer, d_vocab: int) -> Any:
            known = spelled(self, d_vocab)
            return [*known, *(known[0]._replace(piece=None) for _ in range(d_vocab - len(known)))]

        patch.setattr(Tokenizer, "list_tokens", every_row)
        run(request)
    with sqlite3.connect(str(request.database)) as connection:
        connection.execute("UPDATE models SET n_unused_rows = NULL")
    return replace(request, stages=("vocab",))


def test_lists_of_an_earlier_version_are_not_mixed_with_others(earlier: IngestRequest) -> None:
    before = Path(str(earlier.database)).read_bytes()
    for asked in (earlier, replace(earlier, layers=(1,))):
        with pytest.raises(IngestError, match=r"\b112\b.*force.*\bvocab\b.*name"):
            run(asked)
    with pytest.raises(IngestError, match=r"force .*vocab of layer 0\b.*\b112\b"):
        run(replace(earlier, force=True, layers=(1,)))
    assert len(before) == len(Path(str(earlier.database)).read_bytes())


def test_what_does_not_look_at_the_vocabulary_goes_on(earlier: IngestRequest) -> None:
    run(replace(earlier, stages=("weights",)))


def test_with_force_an_earlier_database_becomes_a_new_one(
    earlier: IngestRequest, tmp_path: Path
) -> None:
    stored = LmHeadRequest("padded", (3,), str(earlier.database), device="cpu", store=True)
    load_job("tokens")(stored, Silent())
    run(replace(earlier, force=True))
    new = replace(earlier, database=str(tmp_path / "new.db"), stages=("weights", "vocab"))
    run(new)
    for table, columns in NUMBERS.items():
        sql = f"SELECT {columns} FROM {table} ORDER BY 1, 2, 3"
        assert ask(earlier, sql) == ask(new, sql)
    assert ask(earlier, "SELECT n_unused_rows FROM models") == [(112,)]
    assert ask(earlier, "SELECT COUNT(*) FROM lm_head_rows") == [(0,)]
    assert ask(earlier, "SELECT COUNT(*) FROM ingest_steps WHERE stage = 'lm_head'") == [(0,)]


def test_check_and_verify_tell_lists_of_an_earlier_version(earlier: IngestRequest) -> None:
    database = str(earlier.database)
    assert re.search(OUTDATED, command("check", "--db", database))
    result = CliRunner().invoke(cli, ["verify", "padded", "--db", database])
    assert result.exit_code == 1
    assert re.search(OUTDATED, str(result.exception))
    run(replace(earlier, force=True))
    assert "whole" in command("check", "--db", database)
    assert CliRunner().invoke(cli, ["verify", "padded", "--db", database]).exit_code == 0


def test_an_earlier_database_decodes_a_token_as_a_new_one_does(earlier: IngestRequest) -> None:
    asked = LmHeadRequest("padded", (3, 40), str(earlier.database), device="cpu")
    before = load_job("tokens")(asked, Silent())
    run(replace(earlier, force=True))
    for one, other in zip(before, load_job("tokens")(asked, Silent()), strict=True):
        np.testing.assert_allclose(one.normalised, other.normalised, rtol=1e-4)


def test_top_tokens_of_an_earlier_version_are_not_compared(
    earlier: IngestRequest, tmp_path: Path
) -> None:
    other = padded(tmp_path / "other", "llama", AT_THE_END, seed=1)
    run(replace(request_of(other, Path(str(earlier.database)))))
    progress, asked = Silent(), CompareRequest("padded", "other", str(earlier.database))
    load_job("compare")(asked, progress)
    share = "SELECT share_same_token FROM comparisons"
    assert ask(earlier, share) == [(None,)]
    assert any(re.match("padded: .*--stages vocab --force", note) for note in progress.notes)
    run(replace(earlier, force=True))
    command("compare", "padded", "other", "--db", str(earlier.database))
    ((found,),) = ask(earlier, share)
    assert found is not None


def test_one_tokenizer_is_one_whatever_the_rows(tmp_path: Path) -> None:
    """A model that was padded, and its relative that was not."""
    database, ids = tmp_path / "n.db", AT_THE_END
    one = padded(tmp_path / "padded", "llama", ids)
    other = cut(one, tmp_path / "cut", ids)
    for model in (one, other):
        run(request_of(model, database))
    said = command("compare", "padded", "cut", "--db", str(database), "--format", "table")
    assert "tokenizer" not in said
    request = request_of(one, database)
    assert ask(request, "SELECT share_same_token FROM comparisons") == [(1.0,)]
