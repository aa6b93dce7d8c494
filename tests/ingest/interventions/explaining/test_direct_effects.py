"""Direct effects: all parts add up, and a neuron of the last layer has exactly that effect."""

from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch

from ingest.interventions.explaining.session import PromptSession, open_session
from ingest.jobs.prompt import explain
from neurondb.contracts.prompt import PromptPosition, PromptRequest, PromptResult
from neurondb.neurons import NeuronPlace
from tests.support.frozen_norms import Freezable, uncapped
from tests.support.random_models import FAMILIES
from tests.support.real_models import REAL
from tests.support.steering import held, logits, plain, stored

PROMPT = "Once upon a time there was a little"


@cache
def session(name: str) -> PromptSession:
    return open_session(stored(name).machine)


def explained(name: str, **how: Any) -> PromptResult:
    return explain(session(name), PromptRequest(session(name).machine, PROMPT, **how))


@pytest.mark.parametrize("name", [*REAL, *FAMILIES])
def test_all_parts_add_up_to_the_logit(name: str) -> None:
    found = explained(name, at="all")
    model = stored(name)
    wanted = logits(plain(model.directory), model.ids(PROMPT))
    before_cap = uncapped(plain(model.directory), wanted)
    for one in found.positions:
        parts, target = one.parts, one.target.token_id
        size = sum(map(abs, (*parts.neurons, *parts.attention, parts.embeddings, parts.bias, 1)))
        assert abs(parts.rest) < 2e-6 * size
        assert parts.total == pytest.approx(parts.logit, abs=2e-6 * size)
        assert parts.logit == pytest.approx(float(before_cap[one.position, target]), abs=2e-4)
        assert parts.capped == pytest.approx(float(wanted[one.position, target]), abs=2e-4)


@pytest.mark.parametrize("name", ["llama", "gemma2", "gptj", "bloom"])
def test_in_float64_the_rest_is_that_of_a_float32_norm(name: str) -> None:
    """transformers computes RMSNorm in float32 whatever the model's precision."""
    wide = open_session(replace(stored(name).machine, dtype="float64"))
    found = explain(wide, PromptRequest(wide.machine, PROMPT, at="all"))
    assert max(abs(one.parts.rest) for one in found.positions) < 1e-6


@pytest.mark.parametrize("name", FAMILIES)
def test_a_neuron_of_the_last_layer_has_no_other_effect(name: str) -> None:
    model, hf = stored(name), plain(stored(name).directory)
    ids = model.ids(PROMPT)
    last = session(name).stored.n_layers - 1
    found = explained(name, at="all", top=session(name).stored.n_neurons)
    clean = uncapped(hf, logits(hf, ids))
    for neuron in (0, 5):
        place = NeuronPlace(last, neuron)
        with Freezable(hf).frozen(ids), held(hf, "hook_post", {place: 0.0}):
            without = uncapped(hf, logits(hf, ids))
        for one in found.positions:
            target = one.target.token_id
            wanted = float(clean[one.position, target] - without[one.position, target])
            assert effect_of(one, place) == pytest.approx(wanted, abs=2e-5)


def effect_of(position: PromptPosition, place: NeuronPlace) -> float:
    return next(one.effect for one in position.neurons if one.place == place)


@pytest.mark.parametrize("name", ["llama", "gemma2", "olmo2", "granite", "gpt2", "gptj", "opt"])
def test_a_neuron_of_the_first_layer_writes_past_all_others(name: str) -> None:
    """Its effect by the definition: the logit of the final stream without what it writes."""
    model = stored(name)
    hf = plain(model.directory)
    ids, freezable = model.ids(PROMPT), Freezable(hf)
    place = NeuronPlace(0, 3)
    streams: list[torch.Tensor] = []
    hook = freezable.blocks[0].register_forward_hook(
        lambda _m, _i, out: streams.append(out[0] if isinstance(out, tuple) else out)
    )
    clean = uncapped(hf, logits(hf, ids))
    with Freezable(hf).frozen(ids), held(hf, "hook_post", {place: 0.0}):
        logits(hf, ids)
    hook.remove()
    written = streams[0] - streams[-1]  # nothing in the first layer reads its own MLP
    with freezable.frozen(ids):
        take = freezable.final.register_forward_pre_hook(lambda _m, x: (x[0] - written,))
        without = uncapped(hf, logits(hf, ids))
        take.remove()
    found = explained(name, at="all", top=session(name).stored.n_neurons)
    for one in found.positions:
        target = one.target.token_id
        wanted = float(clean[one.position, target] - without[one.position, target])
        assert effect_of(one, place) == pytest.approx(wanted, abs=2e-5)


def test_parts_by_layer_are_the_sums_of_their_neurons() -> None:
    found = explained("phi3", at="all", top=session("phi3").stored.n_neurons)
    for one in found.positions:
        for layer, total in enumerate(one.parts.neurons):
            own = [n.effect for n in one.neurons if n.place.layer == layer]
            assert len(own) == session("phi3").stored.d_mlp
            np.testing.assert_allclose(sum(own), total, atol=1e-5)


@pytest.mark.parametrize("name", ["llama", "gemma2", "gpt2", "opt"])
def test_in_bfloat16_parts_add_up_as_well_as_that_can_tell(name: str) -> None:
    narrow = open_session(replace(stored(name).machine, dtype="bfloat16"))
    request = PromptRequest(narrow.machine, PROMPT, at="all", with_gradient=True)
    for one in explain(narrow, request).positions:
        parts = one.parts
        size = sum(map(abs, (*parts.neurons, *parts.attention, parts.embeddings, parts.bias)))
        assert abs(parts.rest) < 0.02 * size
        assert all(np.isfinite(n.gradient or 0.0) for n in one.neurons)
