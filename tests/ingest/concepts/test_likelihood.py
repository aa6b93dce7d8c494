"""ln p(concept) with neurons held, against a pass of transformers' own for each of them."""

from collections.abc import Sequence

import numpy as np
import pytest

import ingest.concepts.likelihood
from ingest.concepts.likelihood import ConceptLikelihood, Held
from ingest.interventions.running_model import (
    RunningModel,
    open_running_model,
    read_canonical_signs,
)
from neurondb.contracts.concept import Spelling
from neurondb.errors import LackingModelError
from neurondb.interventions import Hook
from neurondb.neurons import NeuronPlace
from neurondb.reading.models import open_readonly
from tests.support.concepts import held_probability, log_probability
from tests.support.steering import Stored, held, plain, stored

PROMPTS = ("Once upon a time there was a", "Ben")
SPELLINGS = (
    Spelling("one", (263,)),
    Spelling("two", (40, 300)),
    Spelling("three", (40, 301, 17)),
    Spelling("four", (99, 7)),
)
HELD = tuple(
    Held(NeuronPlace(layer, neuron), value)
    for layer, neuron in ((0, 3), (1, 5), (0, 11), (1, 30))
    for value in (-6.0, 0.0, 2.5)
)
Array = np.ndarray[tuple[int, ...], np.dtype[np.float64]]
FAMILIES = ("llama", "phi3", "gemma2", "olmo", "olmo2", "gpt2", "opt")


def running(model: Stored) -> tuple[RunningModel, dict[NeuronPlace, int]]:
    with open_readonly(model.database) as connection:
        loaded = open_running_model(connection, model.machine)
        places = list({one.place for one in HELD})
        return loaded, read_canonical_signs(connection, loaded.stored, places)


def measured(model: Stored, settings: Sequence[Held], hook: Hook) -> tuple[Array, Array]:
    loaded, sign = running(model)
    likelihood = ConceptLikelihood(loaded, PROMPTS, SPELLINGS)
    clean, found = likelihood.measure(settings, sign, hook, lambda n, detail="": None)
    assert np.isnan(clean.others).all()
    return clean.concept, found.concept


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("hook", ["hook_post", "hook_pre_linear"])
def test_each_value_alone(family: str, hook: Hook) -> None:
    model = stored(family)
    if hook == "hook_pre_linear" and family in ("gpt2", "opt"):
        pytest.skip("no gate, no hook_pre_linear")
    clean, found = measured(model, HELD, hook)
    hf = plain(model.directory).double()
    ids = [one.token_ids for one in SPELLINGS]
    try:
        for column, prompt in enumerate(PROMPTS):
            tokens = model.ids(prompt)
            assert clean[column] == pytest.approx(log_probability(hf, tokens, ids), abs=2e-5)
            for row, (place, value) in enumerate(HELD):
                own = {place: value * model.sign(place)}
                wanted = held_probability(hf, hook, own, tokens, ids)
                assert found[row, column] == pytest.approx(wanted, abs=1e-4)
    finally:
        hf.float()


def test_small_batches_and_few_logits_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    model = stored("llama")
    clean, found = measured(model, HELD, "hook_post")
    monkeypatch.setattr(ingest.concepts.likelihood, "batch_tokens", lambda device: 24)
    monkeypatch.setattr(ingest.concepts.likelihood, "MOST_LOGITS", {"cpu": 600})
    parts = measured(model, HELD, "hook_post")
    np.testing.assert_allclose(parts[0], clean, atol=1e-5)
    np.testing.assert_allclose(parts[1], found, atol=1e-5)


def test_nothing_held_is_the_clean_run() -> None:
    clean, found = measured(stored("llama"), (), "hook_post")
    assert found.shape == (0, len(PROMPTS))
    assert (clean < 0).all()


def test_all_spellings_of_one_token_are_the_softmax() -> None:
    """The probabilities of every token add up to 1."""
    loaded, sign = running(stored("llama"))
    every = [Spelling(str(token), (token,)) for token in range(512)]
    likelihood = ConceptLikelihood(loaded, PROMPTS, every)
    clean, found = likelihood.measure(HELD[:2], sign, "hook_post", lambda n, detail="": None)
    np.testing.assert_allclose(clean.concept, 0, atol=1e-5)
    np.testing.assert_allclose(found.concept, 0, atol=1e-5)


def test_other_words_are_measured_beside_it() -> None:
    """The mean of the ln p of their first tokens, right after the prompt."""
    model = stored("phi3")
    loaded, sign = running(model)
    others = (17, 300, 41, 300)
    likelihood = ConceptLikelihood(loaded, PROMPTS, SPELLINGS, others)
    clean, found = likelihood.measure(HELD[:4], sign, "hook_post", lambda n, detail="": None)
    hf = plain(model.directory)
    for column, prompt in enumerate(PROMPTS):
        ids = model.ids(prompt)

        def mean(ids: list[int] = ids) -> float:
            return float(np.mean([log_probability(hf, ids, [[token]]) for token in (17, 300, 41)]))

        assert clean.others[column] == pytest.approx(mean(), abs=1e-4)
        for row, (place, value) in enumerate(HELD[:4]):
            with held(hf, "hook_post", {place: value * model.sign(place)}):
                assert found.others[row, column] == pytest.approx(mean(), abs=1e-4)
    alone, _ = measured(model, (), "hook_post")
    np.testing.assert_allclose(clean.concept, alone, atol=1e-6)


def test_a_prompt_beyond_the_context() -> None:
    loaded, _ = running(stored("llama"))
    with pytest.raises(LackingModelError, match=r"are \d+ tokens, the context of m only 256"):
        ConceptLikelihood(loaded, ("a b " * 300,), SPELLINGS)
