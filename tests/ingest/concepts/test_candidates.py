"""Directions and candidates by float64 brute force on random models."""

from collections import Counter

import numpy as np
import pytest
import torch

from ingest.checkpoint.reader import Checkpoint
from ingest.concepts.candidates import draw_random_neurons, find_candidates
from ingest.concepts.directions import Contexts, make_directions
from ingest.concepts.residual import read_last_positions, subtract_others
from ingest.concepts.spellings import list_spellings
from ingest.interventions.running_model import RunningModel, open_running_model
from neurondb.contracts.concept import Spelling
from neurondb.contracts.ingest import Preprocessing
from neurondb.neurons import NeuronPlace
from neurondb.reading.models import open_readonly
from tests.support.ingested import Silent, reference
from tests.support.steering import Stored, stored

FAMILIES = ("llama", "phi3", "gemma2", "olmo", "olmo2", "stablelm-parallel", "gpt2", "opt", "gptj")
TEXTS = ("Once upon a time there was a dog", "Ben", "The sun was hot.")
DEFAULT = Preprocessing()


def running(model: Stored) -> RunningModel:
    with open_readonly(model.database) as connection:
        return open_running_model(connection, model.machine)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("choices", [DEFAULT, Preprocessing(fold=False, center=False)])
def test_streams_are_what_the_mlp_reads(family: str, choices: Preprocessing) -> None:
    """vector · stream + bias is what the neuron has at the last token."""
    model = stored(family)
    brute = reference(model.directory, choices)
    ids = [model.ids(text) for text in TEXTS]
    texts = [np.array(one) for one in ids]
    found = read_last_positions(running(model), texts, folded=choices.fold).double().numpy()
    traces = brute.traces(ids)
    last = [np.flatnonzero(traces.text == i)[-1] for i in range(len(TEXTS))]
    for layer, (vectors, trace) in enumerate(zip(brute.layers, traces.layers, strict=True)):
        gated = vectors.gate is not None
        reads = vectors.gate if gated else vectors.vector("in")
        bias = vectors.gate_bias if gated else vectors.in_bias
        assert reads is not None
        wanted = trace["hook_pre"][last]
        got = found[:, layer] @ reads.T + (0 if bias is None else bias)
        np.testing.assert_allclose(got, wanted, atol=2e-4, rtol=2e-4)


def test_a_difference_of_means() -> None:
    random = np.random.default_rng(0)
    streams, others = (torch.tensor(random.normal(size=(n, 2, 5))) for n in (6, 4))
    found = subtract_others(streams.float(), torch.tensor([1, 4]), others.float())
    wanted = streams[[1, 4]].numpy().mean(0) - others.numpy().mean(0)
    np.testing.assert_allclose(found.numpy(), wanted, atol=1e-6)


@pytest.mark.parametrize("family", ["llama", "gemma2", "gpt2", "qwen2"])
def test_unembedding_directions_are_rows_of_u(family: str) -> None:
    model = stored(family)
    loaded = running(model)
    unembed = reference(model.directory, DEFAULT).unembed
    one = [Spelling("a", (300,)), Spelling("b", (40, 7)), Spelling("c", (17,))]
    many = [Spelling("d", (40, 7, 9, 11, 300, 5)), Spelling("e", (8, 9))]
    contexts = Contexts(("Once",), ("ball", "sun"))
    single, phrase = make_directions(loaded, [one, many], contexts, DEFAULT)
    assert set(single) == {"unembed", "residual"}
    assert set(phrase) == {"token 1", "token 2", "token 3", "token 4", "residual"}
    for layer in range(2):
        np.testing.assert_allclose(single["unembed"][layer], unembed[[300, 17]].mean(0), atol=1e-5)
        np.testing.assert_allclose(phrase["token 3"][layer], unembed[9], atol=1e-5)


def test_the_residual_direction_is_that_of_its_last_token_in_contexts() -> None:
    model = stored("llama")
    loaded = running(model)
    concept = list_spellings(loaded.tokenizer, "dog", 512)
    contexts = Contexts(("Once upon", "Ben ran to"), ("ball", "DOG", "sun"))
    (found,) = make_directions(loaded, [concept], contexts, DEFAULT)

    def mean(names: tuple[str, ...]) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
        ends = [list_spellings(loaded.tokenizer, name, 512)[0].token_ids for name in names]
        texts = [np.array([*model.ids(before), *end]) for before in contexts.before for end in ends]
        streams = read_last_positions(loaded, texts, folded=True)
        average: np.ndarray[tuple[int, ...], np.dtype[np.float64]]
        average = streams.double().numpy().mean(0)
        return average

    wanted = mean(("dog",)) - mean(("ball", "sun"))  # another spelling of itself is left out
    np.testing.assert_allclose(found["residual"].numpy(), wanted, atol=1e-5)


@pytest.mark.parametrize("family", ["llama", "phi3", "gemma2", "gpt2", "opt"])
def test_candidates_have_the_largest_cosines_of_all_layers(family: str) -> None:
    model = stored(family)
    brute = reference(model.directory, DEFAULT)
    random = np.random.default_rng(3)
    directions = {
        name: torch.tensor(random.normal(size=(2, 32)), dtype=torch.float32) for name in "xy"
    }
    checkpoint, count = Checkpoint.open(model.directory), 3
    choices = dict.fromkeys(range(2), DEFAULT)
    (found,) = find_candidates(checkpoint, choices, [directions], count, Silent())

    best: dict[NeuronPlace, tuple[str, str, float]] = {}
    for vector in ("gate", "in", "out"):
        for name, towards in directions.items():
            cosines: dict[NeuronPlace, float] = {}
            for layer, vectors in enumerate(brute.layers):
                rows = vectors.vector(vector)
                if rows is not None:
                    axis = towards[layer].double().numpy()
                    of = rows @ axis / np.linalg.norm(rows, axis=1) / np.linalg.norm(axis)
                    cosines |= {NeuronPlace(layer, n): float(c) for n, c in enumerate(of)}
            order = sorted(cosines, key=lambda place: cosines[place])
            for place in (*order[:count], *order[-count:]):
                if cosines and abs(cosines[place]) > abs(best.get(place, ("", "", 0.0))[2]):
                    best[place] = (vector, name, cosines[place])
    assert set(found) == set(best)
    for place, match in found.items():
        assert match[:2] == best[place][:2]
        assert match.cosine == pytest.approx(best[place][2], abs=1e-5)


def test_random_neurons_are_of_the_candidates_layers() -> None:
    candidates = [NeuronPlace(1, n) for n in range(30)] + [NeuronPlace(4, n) for n in range(10)]
    drawn = draw_random_neurons(candidates, lambda _layer: 500, 200, seed=1)
    assert len(set(drawn)) == 200
    assert not set(drawn) & set(candidates)
    layers = Counter(place.layer for place in drawn)
    assert set(layers) == {1, 4}
    assert 120 < layers[1] < 180
    assert drawn == draw_random_neurons(candidates, lambda _layer: 500, 200, seed=1)
    assert drawn != draw_random_neurons(candidates, lambda _layer: 500, 200, seed=2)


def test_a_layer_with_few_others_gives_all_of_them() -> None:
    candidates = [NeuronPlace(0, n) for n in range(6)]
    drawn = draw_random_neurons(candidates, lambda _layer: 8, 50, seed=0)
    assert drawn == [NeuronPlace(0, 6), NeuronPlace(0, 7)]
