"""Jobs on mixtures of experts, against transformers' own models and brute force."""

import sqlite3
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
import transformers

import neurondb
from ingest.checkpoint.reader import Checkpoint
from ingest.forward import activation_check
from ingest.forward.experts import RunningExperts
from ingest.jobs import ablate_each, attribution, entropy, generate, verify
from ingest.weights.preprocess import preprocess_neurons
from neurondb.contracts.entropy import EntropyRequest
from neurondb.contracts.generate import GenerateRequest, Sampling
from neurondb.contracts.ingest import Preprocessing
from neurondb.contracts.inputs import NeuronSelection, TextsRequest
from neurondb.contracts.single_neuron import EffectRequest
from neurondb.errors import IngestError, UnsupportedModelError
from neurondb.neurons import NeuronPlace
from tests.support.ingested import TEXTS, Silent, text_file
from tests.support.mixture_reference import NAME, PlainMixture, plain_mixture, store_mixture
from tests.support.random_mixtures import MIXTURES

KINDS = pytest.mark.parametrize("kind", MIXTURES)
SOME = pytest.mark.parametrize("kind", ["qwen2_moe", "gpt_oss", "deepseek_v3"])
CASE = "gate+_post+"


@cache
def database(kind: str) -> neurondb.Database:
    return neurondb.open(store_mixture(kind).database)


def last_layer(kind: str) -> int:
    return int(Checkpoint.open(store_mixture(kind).directory).architecture.n_layers) - 1


def places(kind: str) -> list[NeuronPlace]:
    experts = Checkpoint.open(store_mixture(kind).directory).architecture.experts
    assert experts is not None
    return [NeuronPlace(last_layer(kind), 3, expert) for expert in range(experts.n_experts)]


def where(kind: str) -> str:
    return ",".join(place.name for place in places(kind))


@KINDS
def test_verify_compares_activations_with_transformers_own(kind: str) -> None:
    progress = Silent()
    with database(kind).connect() as connection:
        verify.run(connection, NAME, 0, progress, activations_on="cpu")
    assert "activations: equal to transformers' own, and so are the experts" in progress.notes[-1]


@pytest.mark.parametrize("wrong", ["post", "route"])
def test_verify_tells_a_wrong_activation(wrong: str, monkeypatch: pytest.MonkeyPatch) -> None:
    receive = activation_check.MixtureComparison.consume_expert

    def disturb(self: Any, batch: Any, layer: int, activations: Any) -> None:
        changed = (
            replace(activations, post=activations.post * 1.001)
            if wrong == "post"
            else replace(activations, token=activations.token[1:])
        )
        receive(self, batch, layer, changed)

    monkeypatch.setattr(activation_check.MixtureComparison, "consume_expert", disturb)
    with (
        database("olmoe").connect() as connection,
        pytest.raises(IngestError, match="hook_post" if wrong == "post" else "routing to expert"),
    ):
        verify.run(connection, NAME, 0, Silent(), activations_on="cpu")


@KINDS
def test_vectors_are_those_of_the_files(kind: str) -> None:
    chosen = database(kind).select(NAME, neurons=where(kind))
    found = chosen.read_vectors()
    for i, place in enumerate(places(kind)):
        parameter, at = plain_mixture(kind).out(place)
        np.testing.assert_allclose(found.out[i], parameter.data[at].numpy(), atol=1e-7)


def texts_of(kind: str) -> list[list[int]]:
    return [store_mixture(kind).ids(text) for text in TEXTS[:4]]


def losses(model: Any, ids: list[list[int]]) -> torch.Tensor:
    """Return the loss of every next token, one text after the other."""
    found = []
    for text in ids:
        logits = model(input_ids=torch.tensor([text])).logits[0].double()
        found.append(
            torch.nn.functional.cross_entropy(logits[:-1], torch.tensor(text[1:]), reduction="none")
        )
    return torch.cat(found)


def effects(kind: str, run: Any, table: str) -> dict[str, float]:
    """Return what a job says of each neuron: the mean of clean − ablated of the loss."""
    asked = EffectRequest(
        NAME,
        TextsRequest(str(text_file(TEXTS[:4]))),
        ("loss",),
        NeuronSelection("neurons", where(kind)),
        device="cpu",
        database=store_mixture(kind).database,
    )
    (run_id,) = run(asked, Silent()).run_ids
    with sqlite3.connect(store_mixture(kind).database) as connection:
        return dict(
            connection.execute(
                f"SELECT n.name, e.mean FROM {table} e JOIN named_neurons n USING (neuron_id)"
                " WHERE e.run_id = ?",
                (run_id,),
            )
        )


@KINDS
def test_one_neuron_at_a_time_is_a_model_whose_neuron_writes_nothing(kind: str) -> None:
    ids = texts_of(kind)
    other = PlainMixture(kind, store_mixture(kind).directory)
    with torch.no_grad():
        clean = losses(other.model, ids)
    found = effects(kind, ablate_each.run, "neuron_effects")
    assert set(found) == {place.name for place in places(kind)}
    for place in places(kind):
        parameter, at = other.out(place)
        kept = parameter.data[at].clone()
        parameter.data[at] = 0
        with torch.no_grad():
            wanted = float((clean - losses(other.model, ids)).mean())
        parameter.data[at] = kept
        assert found[place.name] == pytest.approx(wanted, abs=2e-6)


@KINDS
def test_attribution_is_the_gradient_of_what_neurons_write(kind: str) -> None:
    """Σ of post · ∂loss/∂post is ∂loss/∂s, where s multiplies the neuron's out."""
    other = PlainMixture(kind, store_mixture(kind).directory)
    total = losses(other.model, texts_of(kind))
    total.sum().backward()  # type: ignore[no-untyped-call]
    found = effects(kind, attribution.run, "neuron_attributions")
    for place in places(kind):
        parameter, at = other.out(place)
        assert parameter.grad is not None
        wanted = float((parameter.grad[at] * parameter.data[at]).sum()) / len(total)
        assert found[place.name] == pytest.approx(wanted, abs=2e-6)


@SOME
def test_hooks_set_neurons_in_a_model_of_the_users_and_leave_it(kind: str) -> None:
    loaded: Any = transformers.AutoModelForCausalLM.from_pretrained(
        store_mixture(kind).directory, dtype=torch.float32
    )
    running = loaded.eval()
    other = PlainMixture(kind, store_mixture(kind).directory)
    ids = torch.tensor([store_mixture(kind).ids(TEXTS[0])])
    chosen = database(kind).select(NAME, neurons=where(kind))
    first, second = (database(kind).select(NAME, neurons=place.name) for place in places(kind)[:2])
    with torch.no_grad():
        clean = running(input_ids=ids).logits
        with chosen.hook_for(running):
            changed = running(input_ids=ids).logits
        with first.hook_for(running), second.hook_for(running):
            both = running(input_ids=ids).logits
        after = running(input_ids=ids).logits
        for i, place in enumerate(places(kind)):
            parameter, at = other.out(place)
            parameter.data[at] = 0
            if i == 1:
                torch.testing.assert_close(
                    both, other.model(input_ids=ids).logits, rtol=1e-4, atol=1e-4
                )
        wanted = other.model(input_ids=ids).logits
    torch.testing.assert_close(changed, wanted, rtol=1e-4, atol=1e-4)
    assert (changed - clean).abs().max() > 1e-4
    assert torch.equal(after, clean)
    experts = running.model.layers[-1].mlp.experts
    assert not isinstance(getattr(vars(experts).get("forward"), "__self__", None), RunningExperts)
    with pytest.raises(UnsupportedModelError, match="no hooks on experts"):
        chosen.make_lens_hooks()


@SOME
def test_generation_without_neurons_is_that_of_a_model_without_them(kind: str) -> None:
    other = PlainMixture(kind, store_mixture(kind).directory)
    ids = store_mixture(kind).ids("Once upon a time")
    for place in places(kind):
        parameter, at = other.out(place)
        parameter.data[at] = 0
    for _ in range(5):
        with torch.no_grad():
            ids.append(int(other.logits(ids)[-1].argmax()))
    request = GenerateRequest(
        store_mixture(kind).machine,
        "Once upon a time",
        zeroed=tuple(places(kind)),
        max_new_tokens=5,
        sampling=Sampling(greedy=True),
    )
    found = [piece.token_id for piece in generate.run(request) if piece.ended is None]
    assert found == ids[-5:]


@SOME
def test_neighbours_are_those_of_all_neurons_by_brute_force(kind: str) -> None:
    checkpoint = Checkpoint.open(store_mixture(kind).directory)
    sizes = checkpoint.architecture
    database(kind).neighbours(NAME, device="cpu")
    rows, ids = [], []
    for layer in range(sizes.n_layers):
        out = preprocess_neurons(checkpoint.read_layer(layer), sizes, Preprocessing()).out.double()
        rows.append(out / out.norm(dim=1, keepdim=True))
        ids += [layer * sizes.d_mlp + n for n in range(len(out))]
    units = torch.cat(rows)
    cosines = (units @ units.T).fill_diagonal_(-2)
    with sqlite3.connect(store_mixture(kind).database) as connection:
        ((first,),) = connection.execute("SELECT first_neuron_id FROM models")
        found = connection.execute(
            "SELECT neuron_id, other_id, cosine FROM neighbours"
            " WHERE vector = 'out' AND side = 'nearest' AND rank = 0"
        ).fetchall()
    assert len(found) == len(ids) == sum(map(sizes.count_neurons, range(sizes.n_layers)))
    place_of = {number: place for place, number in enumerate(ids)}
    for neuron_id, other_id, cosine in found:
        row = cosines[place_of[neuron_id - first]]
        assert cosine == pytest.approx(float(row.max()), abs=1e-6)
        assert float(row[place_of[other_id - first]]) == pytest.approx(cosine, abs=1e-6)


@SOME
def test_fixing_neurons_one_by_one_is_named_by_experts(kind: str) -> None:
    other = PlainMixture(kind, store_mixture(kind).directory)
    ids = texts_of(kind)
    (first, *_) = places(kind)

    def mean_entropy() -> float:
        found = []
        for text in ids:
            log_p = other.logits(text).detach().double().log_softmax(-1)
            found.append(-(log_p.exp() * log_p).sum(-1))
        return float(torch.cat(found).mean())

    texts = TextsRequest(str(text_file(TEXTS[:4])))
    request = EntropyRequest(store_mixture(kind).machine, (first,), (0.0,), texts, 4)
    curves = entropy.run(request, Silent())
    parameter, at = other.out(first)
    clean = mean_entropy()
    parameter.data[at] = 0
    assert curves.clean["entropy"] == pytest.approx(clean, abs=1e-5)
    assert curves.fixed["entropy"][0, 0] == pytest.approx(mean_entropy(), abs=1e-5)
    assert curves.neurons == (first,)
    assert all(len(place.name.split(".")) == 3 for place in curves.baseline)
    assert first not in curves.baseline


def test_a_concept_is_looked_for_among_experts() -> None:
    database("deepseek_v3").concept(NAME, "dog", device="cpu", random=3)
    with sqlite3.connect(store_mixture("deepseek_v3").database) as connection:
        ((n, unknown),) = connection.execute(
            "SELECT COUNT(*), SUM(n.neuron_id IS NULL) FROM concept_candidates c"
            " LEFT JOIN neurons n ON n.neuron_id = c.neuron_id"
        )
    assert n > 3
    assert unknown == 0
