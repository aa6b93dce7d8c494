"""The job `families`: planted neurons are found with the right tests, and what is stored."""

import random
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers

import ingest.forward.batching
from ingest.jobs import families
from neurondb.contracts.families import FamiliesReport, FamiliesRequest, FamilySettings
from neurondb.contracts.ingest import IngestRequest
from neurondb.contracts.inputs import Machine, TextsRequest
from neurondb.errors import IngestError, UnknownNameError, UsageError
from tests.support.ingested import Silent, fresh
from tests.support.planted_models import AFTER, BEFORE, ON, PEAK, WORDS, write_gated, write_ungated
from tests.support.tiny_requests import run as ingest_model

N_TEXTS = 60
FIRST = 12
"""The neuron that fires at the first position of a text, planted in the ungated model."""


@cache
def planted(gated: bool) -> Path:
    """A database with a model whose neurons are planted, and the weights of all its layers."""
    directory = fresh("families")
    (write_gated if gated else write_ungated)(directory / "m")
    if not gated:
        plant_position(directory / "m")
    texts(directory)
    ingest_weights(directory / "m", directory / "n.db")
    return directory


def ingest_weights(model: Path, database: Path, **more: Any) -> None:
    where: dict[str, Any] = {"name": "tiny", "database": str(database), "stages": ("weights",)}
    ingest_model(IngestRequest(str(model), **where, **more))


def plant_position(directory: Path) -> None:
    """Have a neuron fire at position 1 alone, whose angles it reads."""
    model: Any = transformers.GPT2LMHeadModel.from_pretrained(directory)
    mlp = model.transformer.h[0].mlp
    with torch.no_grad():
        mlp.c_fc.weight[:, FIRST] = 0
        mlp.c_fc.weight[:8, FIRST] = 4 * model.transformer.wpe.weight[1, :8]
        mlp.c_fc.bias[FIRST] = -24  # more than the next position comes to
    model.save_pretrained(directory)


def texts(directory: Path) -> None:
    """Texts of ten words, the planted ones among them, of two labels in folders of their own."""
    draw = random.Random(0)
    for number in range(N_TEXTS):
        words = [
            draw.choice((PEAK, BEFORE, *WORDS[10:24])) for _ in range(draw.choice((9, 10, 12)))
        ]
        folder = directory / "texts" / ("a" if number % 3 else "b")
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{number:02}.txt").write_text(" ".join(words), encoding="utf-8")


def asked(directory: Path, **settings: Any) -> FamiliesRequest:
    return FamiliesRequest(
        Machine("tiny", str(directory / "n.db"), "cpu"),
        TextsRequest(str(directory / "texts"), skip_bos=True),
        FamilySettings(**{"min_count": 10, "n_words": 30, "tagger": None} | settings),
    )


def run(request: FamiliesRequest) -> tuple[FamiliesReport, Silent]:
    progress = Silent()
    return families.run(request, progress), progress


def ask(directory: Path, sql: str, *values: object) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(directory / "n.db")) as connection:
        return connection.execute(sql, values).fetchall()


def explain(directory: Path, neuron: int, case: str = "all") -> list[tuple[Any, ...]]:
    """(family, test, score, sign, share) of a neuron of layer 0, by rank."""
    sql = """SELECT f.family, f.test, f.score, f.sign, f.share FROM families f
             JOIN neurons n USING (neuron_id)
             WHERE n.layer = 0 AND n.neuron = ? AND f.sign_case = ? ORDER BY f.rank"""
    return ask(directory, sql, neuron, case)


@pytest.mark.parametrize(("gated", "case"), [(True, "gate+_in+"), (False, "in+")])
def test_a_neuron_that_fires_on_a_word_is_of_this_word(gated: bool, case: str) -> None:
    directory = planted(gated)
    run(asked(directory))
    for which in ("all", case):
        family, test, score, sign, share = explain(directory, ON, which)[0]
        assert (family, test, sign) == ("unigram", f"word: {PEAK}", 1)
        assert score > 0.8
        assert 0.03 < share < 0.1


def test_a_neuron_that_fires_after_a_word_is_of_the_previous_token() -> None:
    directory = planted(gated=False)
    run(asked(directory))
    family, test, score, sign, _ = explain(directory, AFTER)[0]
    assert (family, test, sign) == ("previous_token", f"previous: word: {BEFORE}", 1)
    assert score > 0.7


def test_a_neuron_that_fires_at_a_position_is_of_this_position() -> None:
    directory = planted(gated=False)
    run(asked(directory))
    family, test, score, sign, _ = explain(directory, FIRST)[0]
    assert (family, test, sign) == ("position", "position: 1", 1)
    assert score > 0.9
    sql = """SELECT neuron FROM position_information JOIN neurons USING (neuron_id)
             ORDER BY information DESC LIMIT 1"""
    assert ask(directory, sql) == [(FIRST,)]


def hook_post(directory: Path, neuron: int) -> tuple[list[str], np.ndarray]:
    """Words and hook_post of a neuron of layer 0 of the gated model, straight from its weights.

    Its attention does nothing, so that the MLP reads the norm of the token's embedding.
    """
    model: Any = transformers.LlamaForCausalLM.from_pretrained(directory / "m").double()
    words, values = [], []
    for file in sorted((directory / "texts").rglob("*.txt")):
        of_text = file.read_text(encoding="utf-8").split()
        ids = torch.tensor([WORDS.index(word) + 2 for word in of_text])
        x = model.model.embed_tokens.weight[ids]
        x = x / (x.square().mean(-1, keepdim=True) + model.config.rms_norm_eps).sqrt()
        mlp = model.model.layers[0].mlp
        x = x * model.model.layers[0].post_attention_layernorm.weight
        gate, up = x @ mlp.gate_proj.weight[neuron], x @ mlp.up_proj.weight[neuron]
        values.append((torch.nn.functional.silu(gate) * up).detach().numpy())
        words += of_text
    return words, np.concatenate(values)


def test_scores_are_those_of_a_forward_pass_by_hand_in_float64() -> None:
    directory = planted(gated=True)
    run(asked(directory))
    for neuron in (ON, 0, 1, 7):
        words, v = hook_post(directory, neuron)
        best = max(
            (1 - ((~y).mean() * v[~y].var() + y.mean() * v[y].var()) / v.var(), word)
            for word in set(words)
            if (y := np.array(words) == word).sum() >= 10
        )
        found = {family: (test, score) for family, test, score, *_ in explain(directory, neuron)}
        assert found["unigram"][0] == f"word: {best[1]}"
        assert found["unigram"][1] == pytest.approx(best[0], abs=1e-6)


def test_positions_labels_and_distributions_are_stored() -> None:
    directory = planted(gated=False)
    report, _ = run(asked(directory))
    tests = ask(directory, "SELECT name, n, share FROM token_tests WHERE run_id = ?", report.run_id)
    (n_tokens,) = ask(directory, "SELECT n_tokens FROM family_runs")[0]
    counted = {name: n for name, n, _ in tests}
    assert counted["position: 1"] == N_TEXTS
    n_words = {
        file: len(file.read_text(encoding="utf-8").split())
        for file in (directory / "texts").rglob("*.txt")
    }
    assert n_tokens == sum(n_words.values())
    in_a = sum(n for file, n in n_words.items() if file.parent.name == "a")
    assert counted["label: a"] == in_a
    assert all(share == n / n_tokens for _, n, share in tests)
    known = "SELECT count(*) FROM position_information WHERE information >= 0"
    assert ask(directory, known) == [(16,)]
    parts = ask(
        directory,
        """SELECT a.part, a.n, a.q05, a.q50, a.q95 FROM family_activations a
           JOIN neurons USING (neuron_id)
           WHERE neuron = ? AND split = 'test' ORDER BY place""",
        AFTER,
    )
    assert [part for part, *_ in parts] == ["holds", "elsewhere"]
    assert sum(n for _, n, *_ in parts) == n_tokens
    assert parts[0][3] > parts[1][4]
    assert all(low <= middle <= high for _, _, low, middle, high in parts)


def test_the_same_request_is_answered_from_what_is_stored_and_another_replaces_it() -> None:
    directory = planted(gated=True)
    first, _ = run(replace(asked(directory), force=True))
    again, progress = run(asked(directory))
    assert first.is_new
    assert (again.run_id, again.is_new) == (first.run_id, False)
    assert progress.stages == {}
    fewer, _ = run(asked(directory, n_words=3))
    assert fewer.is_new
    assert ask(directory, "SELECT count(*) FROM family_runs") == [(1,)]
    rows = ask(directory, "SELECT DISTINCT run_id FROM neuron_families")
    assert rows == [(fewer.run_id,)]
    words = "SELECT count(*) FROM token_tests WHERE family = 'unigram'"
    assert ask(directory, words) == [(3,)]


def test_passes_over_few_layers_and_small_batches_find_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    directory = planted(gated=True)
    sql = "SELECT neuron_id, case_id, rank, test, score FROM neuron_families"
    run(replace(asked(directory), force=True))
    whole = ask(directory, sql)
    monkeypatch.setitem(ingest.forward.batching.BATCH_TOKENS, "cpu", 100)
    _, progress = run(replace(asked(directory), memory=1e-6, force=True))
    assert any("2 passes of 1 layers" in note for note in progress.notes)
    again = ask(directory, sql)
    assert [row[:4] for row in again] == [row[:4] for row in whole]
    assert [row[4] for row in again] == pytest.approx([row[4] for row in whole], abs=1e-6)


def refused(change: Callable[[FamiliesRequest], FamiliesRequest]) -> None:
    families.run(change(asked(planted(gated=True))), Silent())


def test_what_makes_no_sense_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match="nobody"):
        refused(lambda one: replace(one, machine=replace(one.machine, model="nobody")))
    with pytest.raises(UsageError, match="min_count 0"):
        refused(lambda one: replace(one, settings=replace(one.settings, min_count=0)))
    database = tmp_path / "n.db"
    model = write_gated(tmp_path / "m")
    ingest_weights(model, database, layers=(1,))
    with pytest.raises(IngestError, match="only 16 of the 32 neurons"):
        refused(lambda one: replace(one, machine=Machine("tiny", str(database), "cpu")))
