"""The job `entropy`, against one plain run of transformers' model for each neuron and value."""

import sqlite3
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import ingest.forward.batching
from ingest.jobs.entropy import run
from neurondb.contracts.entropy import EntropyCurves, EntropyRequest
from neurondb.contracts.inputs import TextsRequest
from neurondb.errors import (
    IngestError,
    LackingModelError,
    NeuronDBError,
    TextError,
    UnknownNameError,
    UsageError,
)
from neurondb.interventions import ENTROPY_METRICS
from neurondb.neurons import NeuronPlace
from tests.support.ingested import TEXTS, Silent, text_file
from tests.support.real_models import BUNDLED
from tests.support.steering import Stored, held, plain, stored

NEURONS = (NeuronPlace(1, 3), NeuronPlace(0, 17), NeuronPlace(1, 40))
VALUES = (-3.0, 0.0, 5.0)
FINAL = ("model.norm", "transformer.ln_f", "gpt_neox.final_layer_norm", "model.final_layernorm")
OTHERS = ("model.decoder.final_layer_norm",)
SHIFTED = ("gemma",)
"""Families whose gain is 1 + w."""


def curves(model: Stored, **more: Any) -> EntropyCurves:
    texts = TextsRequest(str(text_file(TEXTS)), **more.pop("texts", {}))
    asked: dict[str, Any] = {"neurons": NEURONS, "values": VALUES, "n_baseline": 0, "force": True}
    return run(EntropyRequest(model.machine, texts=texts, **(asked | more)), Silent())


def by_hand(
    model: Stored, name: str, values: dict[NeuronPlace, float], freeze: bool
) -> dict[str, float]:
    hf = plain(model.directory)
    modules = dict(hf.named_modules())
    norm = next(modules[place] for place in (*FINAL, *OTHERS) if place in modules)
    found: dict[str, list[float]] = {metric: [] for metric in ENTROPY_METRICS}
    for text in map(str.strip, TEXTS):
        ids = model.ids(text)[:256]
        clean = _scale(hf, norm, ids, {}, name)
        handle = norm.register_forward_hook(
            lambda _, x, y, c=clean: _normed(norm, x[0], name, c) if freeze else y
        )
        with held(hf, "hook_post", values), torch.no_grad():
            logits = hf(input_ids=torch.tensor([ids]), use_cache=False).logits[0].double()
        handle.remove()
        scale = clean if freeze else _scale(hf, norm, ids, values, name)
        found["scale"] += scale.tolist()
        p = logits.softmax(-1)
        found["entropy"] += (-(p * p.clamp_min(1e-300).log()).sum(-1)).tolist()
        for position, following in enumerate(ids[1:]):
            found["loss"].append(float(-logits[position].log_softmax(0)[following]))
            larger = logits[position] > logits[position, following] + 1e-9
            found["rank"].append(float(larger.sum()))
    return {metric: float(np.mean(values)) for metric, values in found.items()}


def _is_rms(norm: Any) -> bool:
    return "RMS" in type(norm).__name__


def _eps(norm: Any) -> float:
    return float(getattr(norm, "variance_epsilon", getattr(norm, "eps", 1e-5)))


def _divisor(norm: Any, x: Tensor) -> Tensor:
    x = x.double()
    square = x.square() if _is_rms(norm) else (x - x.mean(-1, keepdim=True)).square()
    return (square.mean(-1) + _eps(norm)).sqrt()


def _scale(
    hf: Any, norm: Any, ids: list[int], values: dict[NeuronPlace, float], name: str
) -> Tensor:
    seen: list[Tensor] = []
    handle = norm.register_forward_pre_hook(lambda _, x: seen.append(_divisor(norm, x[0])[0]))
    with held(hf, "hook_post", values), torch.no_grad():
        hf(input_ids=torch.tensor([ids]), use_cache=False)
    handle.remove()
    return seen[0]


def _normed(norm: Any, x: Tensor, name: str, scale: Tensor) -> Tensor:
    """What the norm would give, did it divide by this scale."""
    x = x.double()
    centred = x if _is_rms(norm) else x - x.mean(-1, keepdim=True)
    gain = getattr(norm, "weight", None)
    bias = getattr(norm, "bias", None)
    one = torch.tensor(1.0) if gain is None else gain.double() + name.startswith(SHIFTED)
    shift = torch.tensor(0.0) if bias is None else bias.double()
    return (centred / scale[None, :, None] * one + shift).float()


def agree(found: dict[str, float], wanted: dict[str, float]) -> None:
    found, wanted = dict(found), dict(wanted)
    # A logit that float32 cannot tell from the correct one counts or does not.
    assert found.pop("rank") == pytest.approx(wanted.pop("rank"), abs=0.02)
    assert found == pytest.approx(wanted, rel=1e-5, abs=1e-5)


@pytest.mark.parametrize("name", ["llama", "gemma2", "gemma", "gpt2", "olmo", "opt", "gpt_neox"])
def test_every_neuron_and_value_agrees_with_runs_of_its_own(name: str) -> None:
    model = stored(name)
    found = curves(model)
    clean = by_hand(model, name, {}, freeze=False)
    agree(found.clean, clean)
    for i, place in enumerate(NEURONS):
        for j, value in enumerate(VALUES):
            own = {place: value * model.sign(place)}
            for freeze, means in ((False, found.fixed), (True, found.frozen)):
                wanted = by_hand(model, name, own, freeze=freeze)
                agree({metric: float(means[metric][i, j]) for metric in ENTROPY_METRICS}, wanted)


def test_total_is_direct_and_through_the_norm() -> None:
    found = curves(stored(BUNDLED))
    for metric in ENTROPY_METRICS:
        both = found.direct(metric) + found.through_norm(metric)
        np.testing.assert_allclose(both, found.total(metric), rtol=0, atol=1e-15)
    np.testing.assert_array_equal(found.direct("scale"), 0)
    # One number divides all logits, so that their order stays.
    np.testing.assert_allclose(found.through_norm("rank"), 0, atol=0.02)


def test_few_places_a_pass_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    model = stored("gpt2")
    whole = curves(model)
    monkeypatch.setitem(ingest.forward.batching.BATCH_TOKENS, "cpu", 90)
    parts = curves(model)
    for metric in ENTROPY_METRICS:
        np.testing.assert_allclose(parts.fixed[metric], whole.fixed[metric], atol=1e-5)
        np.testing.assert_allclose(parts.frozen[metric], whole.frozen[metric], atol=1e-5)


def test_without_first_positions_there_are_fewer_tokens() -> None:
    model = stored("llama")
    whole, fewer = curves(model), curves(model, texts={"skip_bos": True})
    assert whole.n_tokens - fewer.n_tokens == len(TEXTS)
    assert whole.clean != fewer.clean


# --- the random neurons --------------------------------------------------------------------


def vocabulary() -> Stored:
    return stored(BUNDLED, ("weights", "vocab"))


def test_random_neurons_are_ordinary_ones_of_the_last_layers() -> None:
    model = vocabulary()
    found = curves(model, n_baseline=20, values=(1.0,), texts={"max_texts": 2})
    assert len(set(found.baseline)) == 20
    assert not set(found.baseline) & set(NEURONS)
    with sqlite3.connect(model.database) as connection:
        rows = connection.execute(
            "SELECT layer, neuron, out_norm, variance FROM neurons JOIN vocab_stats USING "
            "(neuron_id) WHERE vector = 'out' AND layer >= 4"
        ).fetchall()
    norm, variance = np.array(rows)[:, 2], np.array(rows)[:, 3]
    by_place = {NeuronPlace(*row[:2]): row[2:] for row in rows}
    for place in found.baseline:
        assert place.layer in (4, 5)
        assert by_place[place][0] <= np.quantile(norm, 0.9)
        assert by_place[place][1] >= np.quantile(variance, 0.1)


def test_a_seed_says_which_random_neurons() -> None:
    model = vocabulary()
    how: dict[str, Any] = {"n_baseline": 5, "values": (1.0,), "texts": {"max_texts": 1}}
    one = curves(model, **how).baseline
    assert one == curves(model, **how | {"texts": {"max_texts": 1}}).baseline
    assert one != curves(model, **how | {"seed": 1, "texts": {"max_texts": 1}}).baseline


# --- refusals ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("more", "error", "said"),
    [
        ({"neurons": ()}, UsageError, "nothing"),
        ({"neurons": (NEURONS[0],) * 2}, UsageError, "twice"),
        ({"neurons": (NeuronPlace(7, 0),)}, UnknownNameError, r"\b7\.0\b.*\b0 to 1\b"),
        ({"n_baseline": 3}, IngestError, "`neurondb ingest .*--stages vocab`"),
        ({"texts": {"max_len": 4000}}, LackingModelError, r"max_len 4000\b.* 256\b"),
    ],
)
def test_refusals(more: dict[str, Any], error: type[NeuronDBError], said: str) -> None:
    with pytest.raises(error, match=said):
        curves(stored("llama"), **more)


def test_texts_that_are_not_there() -> None:
    model = stored("llama")
    request = EntropyRequest(model.machine, NEURONS, VALUES, TextsRequest("/none.txt"), 0)
    with pytest.raises(TextError, match=r"'/none.txt'"):
        run(request, Silent())


def test_two_workers_find_what_one_finds_and_are_answered_from_what_it_stored(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(ingest.forward.batching.BATCH_TOKENS, "cpu", 40)
    model = stored("llama")
    one = curves(model)
    machine = replace(model.machine, device="cpu,cpu")
    texts = TextsRequest(str(text_file(TEXTS)))
    asked = EntropyRequest(machine, NEURONS, VALUES, texts, 0)
    answered = run(asked, Silent())
    assert not answered.is_new
    assert answered.run_id == one.run_id
    two = run(replace(asked, force=True), Silent())
    assert two.is_new
    assert two.clean == one.clean
    for metric in ENTROPY_METRICS:
        assert np.array_equal(two.fixed[metric], one.fixed[metric])
        assert np.array_equal(two.frozen[metric], one.frozen[metric])
