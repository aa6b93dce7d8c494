"""The job `activations`, against plain hooks on transformers' own pass."""

from typing import Any

import numpy as np
import pytest

from ingest.interventions.explaining.session import open_session
from ingest.jobs.activations import run, watch
from neurondb.contracts.inputs import Machine
from neurondb.contracts.prompt import ActivationsRequest
from neurondb.errors import UnknownNameError, UsageError
from neurondb.neurons import NeuronPlace
from tests.ingest.jobs.ablation_requests import copy_of
from tests.ingest.jobs.test_prompt import NAME, PROMPT, SOME, values_of
from tests.support.ingested import Silent, fresh
from tests.support.real_models import BUNDLED
from tests.support.steering import plain, stored

PLACES = (NeuronPlace(1, 7), NeuronPlace(0, 3), NeuronPlace(1, 2))


@pytest.mark.parametrize("name", SOME)
def test_every_token_is_that_of_a_plain_hook(name: str) -> None:
    model = stored(name)
    found = run(ActivationsRequest(model.machine, PLACES, PROMPT), Silent())
    ids = model.ids(PROMPT)
    gates, ins, posts = values_of(plain(model.directory), ids)
    assert [token.token_id for token in found.tokens] == ids
    assert [one.place for one in found.neurons] == list(PLACES)
    for one in found.neurons:
        (layer, neuron, _), sign = one.place, model.sign(one.place)
        np.testing.assert_allclose(one.in_, ins[layer][:, neuron] * sign, atol=1e-5)
        np.testing.assert_allclose(one.post, posts[layer][:, neuron] * sign, atol=1e-5)
        if name not in ("gpt2", "opt", "gptj"):
            assert one.gate is not None
            np.testing.assert_allclose(one.gate, gates[layer][:, neuron], atol=1e-5)
            signs = [f"gate{'+' if gate > 0 else '-'}_" for gate in one.gate]
        else:
            assert one.gate is None
            signs = [""] * len(ids)
        wanted = [f"{of}in{'+' if x > 0 else '-'}" for of, x in zip(signs, one.in_, strict=True)]
        assert list(one.sign_cases) == wanted
        assert one.surprise is None


def test_surprise_is_that_of_the_prompt() -> None:
    from ingest.jobs.prompt import explain
    from neurondb.contracts.prompt import PromptRequest

    machine = Machine(NAME, str(copy_of(BUNDLED, fresh("watched"))), device="cpu")
    session = open_session(machine)
    (one,) = watch(session, ActivationsRequest(machine, (NeuronPlace(4, 41),), PROMPT)).neurons
    every: dict[str, Any] = {"at": "all", "top": session.stored.n_neurons}
    ranked = explain(session, PromptRequest(machine, PROMPT, **every))
    assert one.surprise is not None
    for position in ranked.positions:
        same = next(n for n in position.neurons if n.place == one.place)
        assert same.surprise == pytest.approx(one.surprise[position.position], abs=1e-4)


def test_wrong_requests() -> None:
    machine, place = stored("llama").machine, PLACES[0]
    with pytest.raises(UsageError, match="at least one neuron"):
        run(ActivationsRequest(machine, (), PROMPT), Silent())
    with pytest.raises(UsageError, match="named twice"):
        run(ActivationsRequest(machine, (place, place), PROMPT), Silent())
    with pytest.raises(UnknownNameError, match=r"no neuron 7\.0"):
        run(ActivationsRequest(machine, (NeuronPlace(7, 0),), PROMPT), Silent())
