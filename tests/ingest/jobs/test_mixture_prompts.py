"""Prompts on mixtures of experts, against transformers' own models (METHODS notation)."""

import io
from collections import defaultdict
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from rich.console import Console

from ingest.interventions.explaining.session import PromptSession, open_session
from ingest.jobs import clamp, live
from ingest.jobs.activations import watch
from ingest.jobs.prompt import explain
from neurondb.contracts.clamp import ClampRequest
from neurondb.contracts.live import (
    ExamplesQuestion,
    ExamplesReply,
    LiveRequest,
    PromptQuestion,
    PromptReply,
)
from neurondb.contracts.prompt import ActivationsRequest, PromptRequest, PromptResult
from neurondb.errors import UsageError
from neurondb.explore.pages.live.pieces import colour_by_neuron
from neurondb.neurons import NeuronPlace
from neurondb.reading.models import open_readonly
from neurondb.reading.text_activations import ActivationsPage, read_activations_pages
from neurondb.terminal.console import THEME
from neurondb.terminal.text_activations import (
    ACTIVATION_COLUMNS,
    draw_activations_page,
    make_activation_rows,
)
from tests.support.frozen_norms import Freezable
from tests.support.ingested import Silent
from tests.support.mixture_reference import PlainMixture, plain_mixture, store_mixture
from tests.support.random_mixtures import MIXTURES, N_EXPERTS

PROMPT = "Once upon a time there was a little"
KINDS = pytest.mark.parametrize("kind", MIXTURES)


@cache
def session(kind: str) -> PromptSession:
    return open_session(store_mixture(kind).machine)


def explained(kind: str, **how: Any) -> PromptResult:
    asked = PromptRequest(session(kind).machine, PROMPT, at="all", top=10_000, **how)
    return explain(session(kind), asked)


def last_layer(kind: str) -> int:
    return session(kind).stored.n_layers - 1


def choose(kind: str) -> list[NeuronPlace]:
    """Return neurons of experts of the last layer, of the shared one too where there is one."""
    experts = session(kind).stored.experts
    assert experts is not None
    return [NeuronPlace(last_layer(kind), 3, expert) for expert in range(experts.n_experts)]


@KINDS
def test_all_parts_add_up_to_the_logit(kind: str) -> None:
    wanted = plain_mixture(kind).logits(store_mixture(kind).ids(PROMPT)).detach()
    for one in explained(kind).positions:
        parts = one.parts
        size = sum(
            map(abs, (*parts.neurons, *parts.attention, parts.embeddings, parts.mlp_bias, 1))
        )
        assert abs(parts.rest) < 2e-6 * size
        assert parts.logit == pytest.approx(
            float(wanted[one.position, one.target.token_id]), abs=2e-4
        )
        by_layer: dict[int, float] = defaultdict(float)
        for neuron in one.neurons:
            by_layer[neuron.place.layer] += neuron.effect
        own = [by_layer[layer] for layer in range(len(parts.neurons))]
        np.testing.assert_allclose(own, parts.neurons, atol=1e-5)
    assert (kind == "gpt_oss") == any(one.parts.mlp_bias for one in explained(kind).positions)


@KINDS
def test_neurons_are_ranked_where_their_expert_runs(kind: str) -> None:
    ids = store_mixture(kind).ids(PROMPT)
    routes = plain_mixture(kind).routes(last_layer(kind), ids)
    experts = session(kind).stored.experts
    assert experts is not None
    for by in ("effect", "norm", "surprise"):
        for one in explained(kind, by=by).positions:
            seen = {n.place.expert for n in one.neurons if n.place.layer == last_layer(kind)}
            shared = {N_EXPERTS} if experts.shared_width else set()
            assert seen == {*routes.chosen[one.position].tolist(), *shared}
            assert all(np.isfinite(n.hook_post) for n in one.neurons)


@KINDS
def test_a_neuron_of_the_last_layer_has_no_other_effect(kind: str) -> None:
    other = PlainMixture(kind, store_mixture(kind).directory)
    ids = store_mixture(kind).ids(PROMPT)
    clean = other.logits(ids).detach()
    found = explained(kind).positions
    for place in choose(kind):
        parameter, at = other.out(place)
        kept = parameter.data[at].clone()
        with Freezable(other.model).frozen(ids), torch.no_grad():
            parameter.data[at] = 0
            without = other.logits(ids)
        parameter.data[at] = kept
        for one in found:
            target = one.target.token_id
            wanted = float(clean[one.position, target] - without[one.position, target])
            effects = [n.effect for n in one.neurons if n.place == place]
            assert sum(effects) == pytest.approx(wanted, abs=2e-5)
            norms = [n for n in one.neurons if n.place == place]
            for n in norms:
                assert n.weight is not None
                length = abs(n.hook_post * n.weight) * float(kept.norm())
                assert n.norm == pytest.approx(length, rel=1e-4)


@KINDS
def test_gradients_are_those_of_scaling_what_neurons_write(kind: str) -> None:
    """Σ over tokens of post · ∂logit/∂post is ∂logit/∂s, where s multiplies the neuron's out."""
    other = PlainMixture(kind, store_mixture(kind).directory)
    ids = store_mixture(kind).ids(PROMPT)
    found = explained(kind, by="gradient")
    target = found.positions[-1].target.token_id
    other.logits(ids)[-1, target].backward()  # type: ignore[no-untyped-call]
    sums: dict[NeuronPlace, float] = defaultdict(float)
    for one in found.positions:
        for neuron in one.neurons:
            assert neuron.gradient is not None
            sums[neuron.place] += neuron.gradient
    divided = [NeuronPlace(0, 5)] if session(kind).stored.dense_layers != "[]" else []
    for place in (*choose(kind), *divided):
        parameter, at = other.out(place)
        assert parameter.grad is not None
        wanted = float((parameter.grad[at] * parameter.data[at]).sum())
        assert sums[place] == pytest.approx(wanted, abs=2e-5)


@KINDS
def test_without_neurons_is_the_model_whose_neurons_write_nothing(kind: str) -> None:
    other = PlainMixture(kind, store_mixture(kind).directory)
    places = tuple(choose(kind))
    for place in places:
        parameter, at = other.out(place)
        parameter.data[at] = 0
    wanted = other.logits(store_mixture(kind).ids(PROMPT)).detach()
    for one in explained(kind, without=places).changed:
        token = one.target.after
        assert token.logit == pytest.approx(float(wanted[one.position, token.token_id]), abs=2e-4)


@KINDS
def test_activations_are_those_of_the_tokens_that_are_routed(kind: str) -> None:
    plain, stored = plain_mixture(kind), store_mixture(kind)
    places = tuple(choose(kind))
    routes = plain.routes(last_layer(kind), stored.ids(PROMPT))
    asked = ActivationsRequest(stored.machine, places, PROMPT)
    for place, one in zip(places, watch(session(kind), asked).neurons, strict=True):
        sign = session(kind).find_signs([place])[place]
        chosen = routes.chosen.eq(-1 if place.expert is None else place.expert)
        is_routed = chosen.any(1) | (place.expert == N_EXPERTS)
        assert one.place == place
        assert one.routed is not None
        assert one.routed.tolist() == is_routed.tolist()
        gate, in_, post = (x.double().numpy() for x in plain.activations(place, routes.states))
        at = one.routed
        assert one.gate is not None
        assert one.weight is not None
        for seen, wanted in ((one.gate, gate), (one.in_, sign * in_), (one.post, sign * post)):
            np.testing.assert_allclose(seen[at], wanted[at], atol=2e-5)
            assert np.isnan(seen[~at]).all()
        assert [case is None for case in one.sign_cases] == (~at).tolist()
        if place.expert != N_EXPERTS:
            weights = (routes.weights * chosen).sum(1).double().numpy()
        elif kind == "qwen2_moe":
            shared_gate = plain.mlp(place.layer).shared_expert_gate
            weights = torch.sigmoid(shared_gate(routes.states)).detach().double().numpy()[:, 0]
        else:
            weights = np.ones(len(at))
        np.testing.assert_allclose(one.weight[at], weights[at], atol=1e-6)


@KINDS
@pytest.mark.parametrize("position", ["all", "last"])
def test_a_sweep_at_zero_is_the_model_whose_neuron_writes_nothing(kind: str, position: str) -> None:
    stored, other = store_mixture(kind), PlainMixture(kind, store_mixture(kind).directory)
    ids, layer = stored.ids(PROMPT), last_layer(kind)
    expert = int(plain_mixture(kind).routes(layer, ids).chosen[-1, 0])
    place = NeuronPlace(layer, 2, expert)
    request = ClampRequest(stored.machine, PROMPT, (place,), (0.0,), (7,), hook="hook_post")
    found = clamp.run(replace(request, position=position, store=True), Silent())
    parameter, at = other.out(place)
    before = other.logits(ids).detach()[-1].softmax(-1)[7]
    parameter.data[at] = 0
    after = other.logits(ids).detach()[-1].softmax(-1)[7]
    assert found.clean.probability[0, 0] == pytest.approx(float(before), rel=1e-4)
    assert found.clamped.probability[0, 0] == pytest.approx(float(after), rel=1e-4)
    assert float(before) != float(after)
    numbered = session(kind).stored.locate(found_id(kind, place))
    again = clamp.run(
        replace(request, position=position, store=True, neurons=(NeuronPlace(*numbered),)), Silent()
    )
    assert again.run_id == found.run_id


def found_id(kind: str, place: NeuronPlace) -> int:
    model = session(kind).stored
    assert place.expert is not None
    assert model.experts is not None
    number = model.experts.find_number(place.layer, place.expert, place.neuron)
    assert number is not None
    return model.first_neuron_id + place.layer * model.d_mlp + number


def test_one_neuron_by_two_names_is_named_twice() -> None:
    stored = store_mixture("olmoe")
    twice = (NeuronPlace(1, 27), NeuronPlace(1, 3, 2))
    with pytest.raises(UsageError, match="twice"):
        watch(session("olmoe"), ActivationsRequest(stored.machine, twice, PROMPT))
    with pytest.raises(UsageError, match="twice"):
        explained("olmoe", without=twice)
    with pytest.raises(UsageError, match="twice"):
        clamp.run(ClampRequest(stored.machine, PROMPT, twice, (0.0,), (7,)), Silent())


def pages(kind: str) -> list[ActivationsPage]:
    """Return the pages of `neurondb activations` of neurons of the last layer."""
    stored = store_mixture(kind)
    asked = ActivationsRequest(stored.machine, tuple(choose(kind)), PROMPT)
    with open_readonly(stored.database) as connection:
        model = session(kind).stored
        return list(read_activations_pages(connection, model, watch(session(kind), asked)))


def test_pages_say_where_no_token_is_routed() -> None:
    found = pages("olmoe")
    rows = list(make_activation_rows(found).rows)
    for page in found:
        own = [
            dict(zip(ACTIVATION_COLUMNS, row, strict=True)) for row in rows if row[1] == page.name
        ]
        pieces = colour_by_neuron(page)
        for row, piece, token in zip(own, pieces, page.tokens, strict=True):
            values = [row[name] for name in ("hook_pre", "hook_pre_linear", "hook_post", "weight")]
            assert row["neuron"] == 12 * int(page.name.split(".")[1]) + 3
            assert (row["routed"], row["routed"]) == (token.routed, values != [None] * 4)
            assert ("not routed" in piece.values) == (not token.routed)
            assert ("weight" in piece.values) == token.routed
        drawn = draw(page)
        n_without = sum(token.routed is False for token in page.tokens)
        if n_without == len(page.tokens):
            assert "None of the 9 tokens is routed to its expert." in drawn
        else:
            assert drawn.count("not routed") == n_without
        assert "0.0000" not in drawn
    assert {token.routed for page in found for token in page.tokens} == {True, False}


def draw(page: ActivationsPage) -> str:
    console = Console(width=100, record=True, file=io.StringIO(), theme=THEME)
    console.print(draw_activations_page(page, 100, marks=True))
    return console.export_text()


def test_a_live_model_answers_of_experts() -> None:
    stored = store_mixture("qwen2_moe")
    answerer = live.run(LiveRequest(stored.machine), Silent())
    place = choose("qwen2_moe")[1]
    reply = answerer(ExamplesQuestion(place, (tuple(stored.ids(PROMPT)),)))
    assert isinstance(reply, ExamplesReply)
    (one,) = reply.activations
    assert one.routed is not None
    assert np.isnan(one.post).tolist() == (~one.routed).tolist()
    prompt = PromptRequest(stored.machine, PROMPT)
    found = answerer(PromptQuestion(prompt, place))
    assert isinstance(found, PromptReply)
    assert found.along is not None
    assert found.along.neurons[0].place == place
