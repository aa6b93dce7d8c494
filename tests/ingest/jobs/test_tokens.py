"""The job `tokens`: any token under the LM head, against brute force in float64."""

import re
import shutil
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner

import ingest.jobs.tokens
from ingest.checkpoint.reader import Checkpoint
from ingest.jobs.tokens import Tile, decode_tokens, run
from neurondb.cli import cli
from neurondb.contracts.ingest import Preprocessing
from neurondb.contracts.tokens import LmHeadRequest
from neurondb.errors import CheckpointError, IngestError, UnknownNameError
from neurondb.schema.codes import SIDES
from neurondb.writing.vocabulary import write_lm_head
from tests.support.arrays import Array
from tests.support.ingested import Silent
from tests.support.real_models import REAL, real_directory
from tests.support.reference import Reference
from tests.support.tiny_model import tiny_model
from tests.support.vocabulary_reference import lm_head

RELATIVE = 1e-4
"""Logits in float32 are off by some 10⁻⁶ of their size, which is in the tens."""


def expected(
    unembed: Array, read: Array, tokens: Sequence[int], sides: Sequence[int] = SIDES
) -> Array:
    """Probability and normalised probability × tokens × sides × neurons."""
    by_side = []
    for side in sides:
        probabilities, mean = lm_head(unembed, side * read)
        chosen = probabilities[:, list(tokens)].T
        by_side.append(np.stack([chosen, chosen / mean]))
    return np.stack(by_side, axis=2)


@pytest.mark.parametrize("which", REAL)
def test_real_models_agree_with_float64(which: str) -> None:
    directory = real_directory(which)
    reference = Reference(Path(directory), Preprocessing.raw())
    checkpoint = Checkpoint.open(Path(directory))
    tokens = [0, 5, 261, 400]

    for layer, raw in enumerate(reference.raw_layers):
        found = decode_tokens(
            checkpoint.read_layer(layer).in_.float(), checkpoint.read_unembedding().float(), tokens
        )
        np.testing.assert_allclose(
            found, expected(reference.raw_unembed, raw.read, tokens), rtol=RELATIVE
        )


@pytest.mark.parametrize("tile", [Tile(3, 40), Tile(7, 1700), Tile(100, 2500)])
def test_tiles_change_nothing(tile: Tile, monkeypatch: pytest.MonkeyPatch) -> None:
    draw = torch.Generator().manual_seed(1)
    read, unembed = torch.randn(20, 12, generator=draw), torch.randn(5003, 12, generator=draw)
    monkeypatch.setattr(ingest.jobs.tokens, "SMALL_TILE", tile)

    found = decode_tokens(read, unembed, [0, 5002])

    wanted = expected(unembed.double().numpy(), read.double().numpy(), [0, 5002])
    np.testing.assert_allclose(found, wanted, rtol=RELATIVE)


@pytest.mark.parametrize("sides", [(1,), (-1,), (-1, 1)])
def test_any_sides_in_any_order(sides: tuple[int, ...]) -> None:
    draw = torch.Generator().manual_seed(1)
    read, unembed = torch.randn(20, 12, generator=draw), torch.randn(503, 12, generator=draw)
    found = decode_tokens(read, unembed, [0, 502], sides)
    wanted = expected(unembed.double().numpy(), read.double().numpy(), [0, 502], sides)
    np.testing.assert_allclose(found, wanted, rtol=RELATIVE)


def test_ties_among_the_hundred_count_as_often_as_they_occur() -> None:
    read = torch.tensor([[2.0, 0.0]])
    unembed = torch.zeros(3000, 2)
    unembed[::2, 0] = 1  # 1,500 equals at the top, spread over all groups

    probability, normalised = decode_tokens(read, unembed, [0, 1])[:, :, 0, 0]

    total = 1500 * (np.exp(2) + 1)
    np.testing.assert_allclose(probability, [np.exp(2) / total, 1 / total], rtol=1e-6)
    np.testing.assert_allclose(normalised, [1, np.exp(-2)], rtol=1e-6)


def test_fewer_tokens_than_a_hundred_are_all_in_the_mean() -> None:
    read, unembed = torch.tensor([[1.0]]), torch.tensor([[0.0], [1.0], [2.0]])
    powers = np.exp([0, 1, 2])
    np.testing.assert_allclose(
        decode_tokens(read, unembed, [2])[:, 0, 0, 0],
        [powers[2] / powers.sum(), powers[2] / powers.mean()],
        rtol=1e-6,
    )


def test_large_logits_do_not_overflow() -> None:
    read, unembed = torch.tensor([[300.0]]), torch.tensor([[0.0], [1.0], [2.0]])
    for i, side in enumerate(([[1, 0], [3, 0]], [[0, 1], [0, 3]])):
        np.testing.assert_allclose(
            decode_tokens(read, unembed, [2, 0])[:, :, i, 0], side, atol=1e-12
        )


def test_a_zero_vector_has_no_decoding() -> None:
    read = torch.tensor([[0.0, 0.0], [1.0, 0.0]])
    found = decode_tokens(read, torch.eye(2), [1])
    assert np.isnan(found[..., 0]).all()
    assert not np.isnan(found[..., 1]).any()


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_a_gpu_agrees() -> None:
    draw = torch.Generator().manual_seed(1)
    read, unembed = torch.randn(300, 64, generator=draw), torch.randn(40_000, 64, generator=draw)
    found = decode_tokens(read.cuda(), unembed.cuda(), [7, 39_999])
    np.testing.assert_allclose(found, decode_tokens(read, unembed, [7, 39_999]), rtol=RELATIVE)


# --- the job -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def ingested(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("lm_head")
    for name, family in (("tiny", "llama"), ("ungated", "gpt2")):
        model = tiny_model(directory / name, family)
        arguments = ["ingest", str(model), "--db", str(directory / "n.db"), "--name", name]
        assert CliRunner().invoke(cli, arguments).exit_code == 0
    return directory


@pytest.fixture
def database(ingested: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(ingested / "n.db", tmp_path / "n.db"))


def rows(database: Path, sql: str) -> list[Any]:
    with sqlite3.connect(database) as connection:
        return connection.execute(sql).fetchall()


def asked(database: Path, model: str = "tiny", **more: Any) -> LmHeadRequest:
    return LmHeadRequest(model, (3, 40), str(database), device="cpu", **more)


@pytest.mark.parametrize(("model", "sides"), [("tiny", (1, -1)), ("ungated", (1,))])
@pytest.mark.parametrize("known", [True, False])
def test_every_neuron_of_every_layer(
    model: str, sides: tuple[int, ...], known: bool, ingested: Path, database: Path
) -> None:
    """With the stored top tokens to go by, and without."""
    if not known:
        with sqlite3.connect(database) as connection:
            connection.execute("DELETE FROM lm_head_tokens")
    reference = Reference(ingested / model, Preprocessing.raw())
    found = run(asked(database, model), Silent())
    assert [one.token_id for one in found] == [3, 40]
    for layer, raw in enumerate(reference.raw_layers):
        wanted = expected(reference.raw_unembed, raw.read, [3, 40], sides)
        for i, one in enumerate(found):
            assert one.sides == sides
            np.testing.assert_allclose(one.probability[:, layer], wanted[0, i], rtol=RELATIVE)
            np.testing.assert_allclose(one.normalised[:, layer], wanted[1, i], rtol=RELATIVE)


def test_the_most_probable_token_is_the_one_that_the_vocab_stage_stored(database: Path) -> None:
    sql = "SELECT token_id, side, neuron_id, probability, normalised FROM lm_head_tokens"
    best = rows(database, f"{sql} WHERE neuron_id < 60")
    tokens = tuple(sorted({row[0] for row in best}))
    found = {d.token_id: d for d in run(LmHeadRequest("tiny", tokens, str(database)), Silent())}
    assert {row[1] for row in best} == {1, -1}
    for token_id, side, neuron_id, *values in best:
        one = found[token_id]
        of_side = one.sides.index(side)
        by_neuron = one.probability[of_side].ravel(), one.normalised[of_side].ravel()
        at = [of_all[neuron_id - 1] for of_all in by_neuron]
        assert at == pytest.approx(values, rel=RELATIVE)


@pytest.mark.parametrize("lacking", ["neuron_id = 5", "neuron_id = 5 AND side = -1"])
def test_the_vocabulary_is_not_summed_over_again(
    lacking: str, database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded: list[object] = []

    def counting(*given: Any) -> Array:
        decoded.append(given)
        return decode_tokens(*given)

    monkeypatch.setattr(ingest.jobs.tokens, "decode_tokens", counting)
    known = run(asked(database), Silent())
    assert decoded == []

    with sqlite3.connect(str(database)) as connection:
        connection.execute(f"DELETE FROM lm_head_tokens WHERE {lacking}")
    again = run(asked(database), Silent())
    assert len(decoded) == 1  # the layer that lacks one
    for one, other in zip(known, again, strict=True):
        np.testing.assert_allclose(one.probability, other.probability, rtol=RELATIVE)
        np.testing.assert_allclose(one.normalised, other.normalised, rtol=RELATIVE)


def test_only_the_layers_asked_for(database: Path) -> None:
    (one, _) = run(asked(database, layers=(1,)), Silent())
    assert np.isnan(one.normalised[:, 0]).all()
    assert not np.isnan(one.normalised[:, 1]).any()


def test_nothing_is_stored_unless_asked(database: Path) -> None:
    before = database.read_bytes()
    run(asked(database), Silent())
    assert database.read_bytes() == before


def test_storing_twice_leaves_one_of_each(database: Path) -> None:
    found = run(asked(database, store=True), Silent())
    stored = "SELECT * FROM lm_head_rows ORDER BY token_id, side DESC, neuron_id"
    once = rows(database, stored)
    run(asked(database, store=True), Silent())
    assert rows(database, stored) == once
    assert len(once) == 2 * 2 * 2 * 56
    assert [row[4] for row in once] == [*found[0].normalised.flat, *found[1].normalised.flat]


def test_the_ledger_names_all_tokens_that_are_stored(database: Path) -> None:
    run(asked(database, store=True), Silent())
    run(LmHeadRequest("tiny", (7, 40), str(database), store=True), Silent())
    steps = "SELECT layer, settings, n_rows FROM ingest_steps WHERE stage = 'lm_head'"
    assert rows(database, steps) == [(-1, '{"tokens": [3, 7, 40]}', 3 * 2 * 2 * 56)]
    unfinished = "SELECT * FROM ingest_runs WHERE finished_at IS NULL"
    assert rows(database, unfinished) == []


def test_all_tokens_are_stored_or_none(database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[object] = []

    def write(*arguments: Any) -> None:
        written.append(arguments)
        if len(written) == 3:
            raise KeyboardInterrupt
        write_lm_head(*arguments)

    monkeypatch.setattr(ingest.jobs.tokens, "write_lm_head", write)
    with pytest.raises(KeyboardInterrupt):
        run(asked(database, store=True), Silent())
    assert rows(database, "SELECT COUNT(*) FROM lm_head_rows") == [(0,)]


def test_a_checkpoint_that_moved_away_is_told(database: Path) -> None:
    with sqlite3.connect(database) as connection:
        connection.execute("UPDATE models SET source = '/nowhere/tiny' WHERE name = 'tiny'")
    with pytest.raises(IngestError, match=r"tiny .*/nowhere/tiny"):
        run(asked(database), Silent())


def test_other_weights_are_told(database: Path, tmp_path: Path) -> None:
    other = tiny_model(tmp_path / "other", seed=7)
    with sqlite3.connect(database) as connection:
        connection.execute("UPDATE models SET source = ? WHERE name = 'tiny'", (str(other),))
    with pytest.raises(IngestError, match=rf"{re.escape(str(other))} .*\btiny\b.*name"):
        run(asked(database), Silent())


def test_what_is_not_there_is_told(database: Path) -> None:
    with pytest.raises(UnknownNameError, match=r"'tinny'.*'tiny'"):
        run(asked(database, "tinny"), Silent())
    with pytest.raises(CheckpointError, match="#512"):
        run(LmHeadRequest("tiny", (512,), str(database)), Silent())
