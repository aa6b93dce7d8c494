"""The job `prompt`, against transformers' own passes, autograd in float64, and sorting by hand."""

import math
import sqlite3
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers

from ingest.forward.open_model import OpenModel
from ingest.interventions.explaining.session import PromptSession, open_session
from ingest.jobs.prompt import explain, list_shown, run
from neurondb import histogram
from neurondb.contracts.generate import Clamp
from neurondb.contracts.inputs import Machine, NeuronSelection
from neurondb.contracts.prompt import MEASURES, PromptRequest, PromptResult
from neurondb.errors import IngestError, LackingModelError, UnknownNameError, UsageError
from neurondb.neurons import NeuronPlace
from tests.ingest.jobs.ablation_requests import copy_of
from tests.support.frozen_norms import uncapped
from tests.support.ingested import Silent, fresh
from tests.support.real_models import BUNDLED
from tests.support.steering import held, logits, plain, stored

PROMPT = "Once upon a time there was a little"
GATED = ("llama", "gemma2", "phi3", "olmo2")
SOME = (*GATED, "gpt2", "opt", "gptj")
NAME = "tinyworld-2m"


@cache
def session(name: str) -> PromptSession:
    return open_session(stored(name).machine)


@cache
def with_activations() -> PromptSession:
    file = copy_of(BUNDLED, fresh("prompts"))
    return open_session(Machine(NAME, str(file), device="cpu"))


def explained(session: PromptSession, **how: Any) -> PromptResult:
    return explain(session, PromptRequest(session.machine, how.pop("prompt", PROMPT), **how))


@cache
def everything(name: str) -> PromptResult:
    """Every neuron at every position."""
    one = session(name)
    return explained(one, at="all", top=one.stored.n_neurons, with_gradient=True)


def wide(directory: Path) -> Any:
    loader: Any = transformers.AutoModelForCausalLM
    eager = "eager" if "gemma2" in str(directory) else None
    model = loader.from_pretrained(directory, dtype=torch.float64, attn_implementation=eager)
    return model.eval().requires_grad_(False)


@pytest.mark.parametrize("name", SOME)
def test_values_are_those_of_plain_hooks_in_canonical_sign(name: str) -> None:
    model = stored(name)
    hf, ids = plain(model.directory), model.ids(PROMPT)
    seen = values_of(hf, ids)
    gated = name in GATED
    for one in everything(name).positions:
        for neuron in one.neurons[::17]:
            place, sign = neuron.place, model.sign(neuron.place)
            gate, in_, post = (x[place.layer][one.position, place.neuron] for x in seen)
            assert neuron.hook_post == pytest.approx(float(post) * sign, abs=1e-5)
            assert neuron.in_ == pytest.approx(float(in_) * sign, abs=1e-5)
            side = "in+" if neuron.in_ > 0 else "in-"
            if gated:
                assert neuron.gate == pytest.approx(float(gate), abs=1e-5)
                side = f"gate{'+' if gate > 0 else '-'}_{side}"
            else:
                assert neuron.gate is None
            assert neuron.sign_case == side


def values_of(hf: Any, ids: list[int]) -> tuple[list[Any], list[Any], list[Any]]:
    """Return gate, in and post of every layer, in the model's own sign."""
    found: tuple[list[Any], list[Any], list[Any]] = ([], [], [])
    handles = []
    for name, module in hf.get_decoder().named_modules():
        last = name.split(".")[-1]

        def out(_m: Any, _x: Any, y: Any, last: str = last) -> None:
            flat = y.reshape(-1, y.shape[-1])
            if last == "gate_up_proj":
                gate, up = flat.chunk(2, -1)
                found[0].append(gate)
                found[1].append(up)
            else:
                found[0 if last == "gate_proj" else 1].append(flat)

        def taken(_m: Any, x: Any) -> None:
            found[2].append(x[0].reshape(-1, x[0].shape[-1]))

        if last in ("gate_proj", "up_proj", "gate_up_proj", "c_fc", "fc_in", "fc1"):
            handles.append(module.register_forward_hook(out))
        elif last in ("down_proj", "fc_out", "fc2") or name.endswith("mlp.c_proj"):
            handles.append(module.register_forward_pre_hook(taken))
    with torch.no_grad():
        hf(input_ids=torch.tensor([ids]), use_cache=False)
    for handle in handles:
        handle.remove()
    return found[0] or found[1], found[1], found[2]


@pytest.mark.parametrize("name", SOME)
def test_gradients_are_autograds_in_float64(name: str) -> None:
    model = stored(name)
    hf, ids = wide(model.directory), model.ids(PROMPT)
    posts: list[torch.Tensor] = []

    def watch(_m: Any, x: Any) -> Any:
        post = x[0].detach().requires_grad_() if not posts else x[0]
        post.requires_grad_()
        post.retain_grad()
        posts.append(post)
        return (post,)

    for module_name, module in hf.get_decoder().named_modules():
        last = module_name.split(".")[-1]
        if last in ("down_proj", "fc_out", "fc2") or module_name.endswith("mlp.c_proj"):
            module.register_forward_pre_hook(watch)
    found = everything(name)
    target = found.positions[-1].target.token_id
    out = hf(input_ids=torch.tensor([ids]), use_cache=False).logits[0, -1, target]
    torch.autograd.backward(uncapped(hf, out))
    for one in found.positions:
        for neuron in one.neurons[::13]:
            layer, number, _ = neuron.place
            post = posts[layer].reshape(-1, posts[layer].shape[-1])[one.position, number]
            grad = posts[layer].grad
            assert grad is not None
            slope = grad.reshape(-1, grad.shape[-1])[one.position, number]
            assert neuron.gradient == pytest.approx(float((post * slope).detach()), abs=2e-5)
    assert found.gradient_position == len(ids) - 1


@pytest.mark.parametrize("name", ["phi3", "gpt2"])
def test_the_norm_is_what_is_written(name: str) -> None:
    with sqlite3.connect(stored(name).database) as connection:
        rows = connection.execute("SELECT neuron_id, out_norm FROM neurons").fetchall()
    norms = dict(rows)
    for neuron in everything(name).positions[-1].neurons:
        wanted = abs(neuron.hook_post) * norms[neuron.neuron_id]
        assert neuron.norm == pytest.approx(wanted, rel=1e-6)


@pytest.mark.parametrize("by", MEASURES)
def test_the_first_are_those_of_the_largest_measure(by: str) -> None:
    one = with_activations()
    whole = explained(one, at="all", top=one.stored.n_neurons, by=by, with_gradient=True)
    found = explained(one, at="all", top=7, by=by)
    for few, all_ in zip(found.positions, whole.positions, strict=True):
        assert len(all_.neurons) == one.stored.n_neurons
        sizes = [abs(neuron.measure(by) or 0.0) for neuron in all_.neurons]
        np.testing.assert_allclose(sizes, sorted(sizes, reverse=True), rtol=1e-6, atol=1e-7)
        np.testing.assert_allclose([abs(n.measure(by) or 0) for n in few.neurons], sizes[:7])
        if by != "surprise":  # which has ties, at what one token of the dataset is
            assert [n.place for n in few.neurons] == [n.place for n in all_.neurons[:7]]
        np.testing.assert_allclose(found.heat[few.position], sum(sizes), rtol=1e-5)


def test_where_leaves_the_others_out() -> None:
    one = with_activations()
    named = NeuronSelection("neurons", "2.3,2.9,5.100")
    found = explained(one, selection=named, at="all")
    assert found.n_neurons == 3
    for position in found.positions:
        assert {n.place.name for n in position.neurons} == {"2.3", "2.9", "5.100"}
        total = sum(abs(n.effect) for n in position.neurons)
        assert found.heat[position.position] == pytest.approx(total, rel=1e-5)
    whole = explained(one, at="all", top=one.stored.n_neurons)
    for few, every in zip(found.positions, whole.positions, strict=True):
        known = {n.place: n for n in every.neurons}
        assert [known[n.place] for n in few.neurons] == list(few.neurons)
        assert few.parts == every.parts
    expression = NeuronSelection("where", "layer=5 gate_in>0.2")
    assert {n.place.layer for n in explained(one, selection=expression).positions[0].neurons} == {5}


def test_surprise_is_counted_by_hand() -> None:
    one = with_activations()
    found = explained(one, at="all", top=40, by="surprise")
    assert found.dataset == "texts"
    with sqlite3.connect(str(one.machine.database)) as connection:
        rows = connection.execute(
            "SELECT neuron_id, counts FROM activation_histograms WHERE quantity_id = 0"
        ).fetchall()
    counts = {neuron_id: histogram.unpack(packed).tolist() for neuron_id, packed in rows}
    for position in found.positions:
        for neuron in position.neurons:
            wanted = surprise_by_hand(counts[neuron.neuron_id], neuron.hook_post)
            assert neuron.surprise == pytest.approx(wanted, abs=1e-5)


def surprise_by_hand(counts: list[int], value: float) -> float:
    edges = histogram.compute_edges().tolist()
    n = sum(counts)
    inside = sum(edge <= value if edge >= 0 else edge < value for edge in edges)
    below = float(sum(counts[:inside]))
    if inside == len(edges):
        share = 0.0
    elif inside == 0:
        share = 1.0
    else:
        share = (value - edges[inside - 1]) / (edges[inside] - edges[inside - 1])
    below += share * counts[inside]
    return -math.log10(min(max(2 * min(below, n - below), 1), n) / n)


def test_targets_are_what_follows_and_at_the_end_the_most_probable() -> None:
    one = session("llama")
    ids = stored("llama").ids(PROMPT)
    wanted = logits(plain(stored("llama").directory), ids)
    found = explained(one, at="all")
    targets = [position.target.token_id for position in found.positions]
    assert targets == [*ids[1:], int(wanted[-1].argmax())]
    fixed = explained(one, at=-2, target_id=7)
    assert [p.position for p in fixed.positions] == [len(ids) - 2]
    assert fixed.positions[0].target.token_id == 7
    assert [token.token_id for token in found.tokens] == ids
    assert fixed.gradient_position == len(ids) - 2


@pytest.mark.parametrize("name", ["llama", "gemma2", "granite", "opt"])
def test_next_tokens_are_those_of_the_model(name: str) -> None:
    wanted = logits(plain(stored(name).directory), stored(name).ids(PROMPT))
    for one in everything(name).positions if name in SOME else explained(session(name)).positions:
        row = wanted[one.position]
        p = row.softmax(0)
        for token in (*one.next_tokens, one.target):
            assert token.probability == pytest.approx(float(p[token.token_id]), abs=1e-6)
            assert token.logit == pytest.approx(float(row[token.token_id]), abs=2e-5)
            assert abs(token.rank - int((row > row[token.token_id]).sum())) <= 1
        best = row.topk(len(one.next_tokens)).values
        listed = torch.tensor([token.logit for token in one.next_tokens]).double()
        torch.testing.assert_close(listed, best, atol=2e-5, rtol=0)


@pytest.mark.parametrize("name", ["llama", "gemma2", "gpt2", "opt"])
def test_without_neurons_is_a_run_of_its_own(name: str) -> None:
    model, one = stored(name), session(name)
    hf, ids = plain(model.directory), model.ids(PROMPT)
    gone, kept_at = (NeuronPlace(0, 3), NeuronPlace(1, 8)), NeuronPlace(1, 2)
    with held(hf, "hook_post", dict.fromkeys(gone, 0.0) | {kept_at: 2.5 * model.sign(kept_at)}):
        wanted = logits(hf, ids)
    found = explained(one, at="all", without=gone, clamps=(Clamp(kept_at, 2.5),))
    same = explained(one, at="all")
    assert found.positions == same.positions
    for change, position in zip(found.changed, found.positions, strict=True):
        row = wanted[change.position]
        assert change.target.before == position.target
        for token in (change.target, *change.next_tokens):
            assert token.before.token_id == token.after.token_id
            i = token.after.token_id
            assert token.after.logit == pytest.approx(float(row[i]), abs=2e-5)
            assert token.after.probability == pytest.approx(float(row.softmax(0)[i]), abs=1e-6)
        listed = {token.after.token_id for token in change.next_tokens}
        assert int(row.argmax()) in listed
        assert [t.before for t in change.next_tokens[: len(position.next_tokens)]] == list(
            position.next_tokens
        )


def test_clamped_inputs_too() -> None:
    model, place = stored("phi3"), NeuronPlace(1, 4)
    hf, ids = plain(model.directory), model.ids(PROMPT)
    with held(hf, "hook_pre_linear", {place: -3.0 * model.sign(place)}):
        wanted = logits(hf, ids)[-1]
    found = explained(session("phi3"), clamps=(Clamp(place, -3.0),), hook="hook_pre_linear")
    (change,) = found.changed
    for token in change.next_tokens:
        assert token.after.logit == pytest.approx(float(wanted[token.after.token_id]), abs=2e-5)


def test_a_session_answers_again_as_a_run_of_its_own() -> None:
    request = PromptRequest(with_activations().machine, PROMPT, with_gradient=True, at="all")
    first = explain(with_activations(), request)
    explained(with_activations(), by="surprise", without=(NeuronPlace(3, 1),))
    again, alone = explain(with_activations(), request), run(request, Silent())
    assert again.positions == first.positions
    assert alone.positions == first.positions
    np.testing.assert_array_equal(again.heat, first.heat)


# --- what people type ----------------------------------------------------------------------


def test_special_tokens_in_a_prompt_are_text() -> None:
    found = explained(with_activations(), prompt="a<|endoftext|>b<|bos|>")
    ids = [token.token_id for token in found.tokens]
    assert ids[0] == 0
    assert not {0, 1, 2} & set(ids[1:])
    assert "".join(token.text for token in found.tokens[1:]) == "a<|endoftext|>b<|bos|>"


@pytest.mark.parametrize("prompt", ["", "\x00\x1b[31m\u202e\u200d", "\U0001f438 naïve", " \n\t"])
def test_whatever_is_text_is_explained(prompt: str) -> None:
    found = explained(with_activations(), prompt=prompt)
    assert len(found.positions) == 1
    assert abs(found.positions[0].parts.rest) < 1e-4


def test_half_a_character_is_refused() -> None:
    with pytest.raises(UsageError, match=r"half of a surrogate pair at character 1"):
        explained(with_activations(), prompt="a\ud83d")


def test_a_long_prompt_is_refused_with_how_much_fits() -> None:
    with pytest.raises(
        LackingModelError, match=r"the prompt is [\d,]+ tokens, the context of .* only"
    ):
        explained(with_activations(), prompt="a dog " * 17_000)


@pytest.mark.parametrize("wrong", [{"prompt": "a dog " * 17_000}, {"at": 99}, {"target_id": 512}])
def test_what_cannot_be_is_told_before_weights_are_loaded(
    wrong: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(OpenModel, "load", None)
    one = open_session(stored("llama").machine)
    with pytest.raises((LackingModelError, IngestError, UnknownNameError)):
        explained(one, **wrong)


def test_wrong_requests() -> None:
    one = session("llama")
    place = NeuronPlace(0, 1)
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"by": "size"}, "no measure 'size'; neurons are ranked by effect, norm"),
        ({"top": 0}, "top is at least 1"),
        ({"without": (place, place)}, "a neuron is named twice"),
        ({"without": (place,), "clamps": (Clamp(place, 1.0),)}, "a neuron is named twice"),
    ]
    for how, message in wrong:
        with pytest.raises(UsageError, match=message):
            explained(one, **how)
    for at, message in ((99, r"no position 99: the prompt has \d+, 0 to"), ("first", "'first'")):
        with pytest.raises(IngestError, match=message):
            explained(one, at=at)
    with pytest.raises(UnknownNameError, match="has no token 512: its ids are 0 to 511"):
        explained(one, target_id=512)
    with pytest.raises(UnknownNameError, match=r"has no neuron 9\.1"):
        explained(one, without=(NeuronPlace(9, 1),))
    with pytest.raises(UnknownNameError, match="no neuron of m fits"):
        explained(one, selection=NeuronSelection("where", "layer>5"))
    with pytest.raises(LackingModelError, match="has no gates, so no hook_pre_linear"):
        explained(session("gpt2"), hook="hook_pre_linear")


def test_surprise_takes_activations() -> None:
    assert explained(session("llama")).dataset is None
    assert explained(session("llama")).positions[0].neurons[0].surprise is None
    with pytest.raises(IngestError, match=r"no activations.*--stages activations"):
        explained(session("llama"), by="surprise")


def test_a_model_without_weights_is_refused(tmp_path: Path) -> None:
    file = copy_of(BUNDLED, tmp_path)
    with sqlite3.connect(file) as connection:
        connection.execute("PRAGMA foreign_keys = OFF")
        connection.execute("DELETE FROM neurons WHERE layer = 3")
    with pytest.raises(IngestError, match=r"layer 3 of tinyworld-2m is not ingested"):
        run(PromptRequest(Machine(NAME, str(file)), PROMPT), Silent())


@pytest.mark.parametrize(
    ("at", "wanted"), [("last", [4]), ("all", [0, 1, 2, 3, 4]), (0, [0]), (-5, [0]), (4, [4])]
)
def test_positions_are_counted_from_either_end(at: Any, wanted: list[int]) -> None:
    assert list(list_shown(at, 5)) == wanted


def test_a_long_text_is_ranked_position_by_position() -> None:
    """More positions than logits exist of at a time."""
    one = session("gpt2")
    found = explained(one, prompt="a b c d e " * 15, at="all", top=1)
    assert len(found.positions) > 64
    last = found.positions[-1]
    alone = explained(one, prompt="a b c d e " * 15, top=1).positions[0]
    assert last.target.token_id == alone.target.token_id
    assert last.target.logit == pytest.approx(alone.target.logit, abs=1e-5)
    assert last.neurons == alone.neurons
