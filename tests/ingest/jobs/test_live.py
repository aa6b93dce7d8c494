"""The job `live`: one session answers as the jobs `prompt` and `activations` do, within limits."""

from functools import cache

import numpy as np
import pytest

from ingest.interventions.explaining.session import PromptSession, open_session
from ingest.jobs.activations import watch
from ingest.jobs.live import MOST_EXAMPLE_TOKENS, answer, run
from ingest.jobs.prompt import explain
from neurondb.contracts.live import (
    ExamplesQuestion,
    ExamplesReply,
    LiveLimits,
    LiveRequest,
    PromptQuestion,
    PromptReply,
)
from neurondb.contracts.prompt import ActivationsRequest, ActivationsResult, PromptRequest
from neurondb.errors import UnknownNameError, UsageError
from neurondb.neurons import NeuronPlace
from tests.support.ingested import Silent
from tests.support.steering import stored

PROMPT = "Once upon a time there was a little"
PLACE = NeuronPlace(1, 3)
LIMITS = LiveLimits(tokens=40)


@cache
def session(name: str) -> PromptSession:
    return open_session(stored(name).machine)


@pytest.mark.parametrize("name", ["llama", "gpt2"])
def test_a_prompt_is_explained_as_the_job_does(name: str) -> None:
    one = session(name)
    asked = PromptRequest(one.machine, PROMPT, top=5, without=(PLACE,))
    reply = answer(one, LIMITS, PromptQuestion(asked, PLACE))
    assert isinstance(reply, PromptReply)
    expected = explain(one, asked)
    assert reply.result.positions == expected.positions
    assert reply.result.changed == expected.changed
    assert reply.along is not None
    (along,) = reply.along.neurons
    (alone,) = watch(one, ActivationsRequest(one.machine, (PLACE,), PROMPT)).neurons
    np.testing.assert_array_equal(along.post, alone.post)


@pytest.mark.parametrize("name", ["llama", "gpt2"])
def test_examples_have_the_values_of_their_texts(name: str) -> None:
    one = session(name)
    ids = tuple(one.encode(PROMPT, chat=False))
    reply = answer(one, LIMITS, ExamplesQuestion(PLACE, (ids, ids[:4])))
    assert isinstance(reply, ExamplesReply)
    (alone,) = watch(one, ActivationsRequest(one.machine, (PLACE,), PROMPT)).neurons
    whole, start = reply.activations
    np.testing.assert_array_equal(whole.post, alone.post)
    np.testing.assert_allclose(start.post, alone.post[:4], atol=1e-6)  # it sees nothing behind


def test_the_session_is_loaded_once_for_all_questions() -> None:
    machine = stored("llama").machine
    answerer = run(LiveRequest(machine, LIMITS), Silent())
    for text in ("One", "Two"):
        reply = answerer(ActivationsRequest(machine, (PLACE,), text))
        assert isinstance(reply, ActivationsResult)
        assert len(reply.tokens) == len(reply.neurons[0].post)


@pytest.mark.parametrize(
    ("text", "said"),
    [("a " * 60, "tokens; 40 are the most"), ("a" * 100_000, "100,000 characters; 800 are")],
)
def test_a_text_over_the_limit_is_refused(text: str, said: str) -> None:
    one = session("llama")
    for question in (
        PromptQuestion(PromptRequest(one.machine, text)),
        ActivationsRequest(one.machine, (PLACE,), text),
    ):
        with pytest.raises(UsageError, match=said):
            answer(one, LIMITS, question)


def test_too_many_examples_are_refused() -> None:
    texts = ((1,) * (MOST_EXAMPLE_TOKENS // 2),) * 3
    with pytest.raises(UsageError, match="4,096 are the most"):
        answer(session("llama"), LIMITS, ExamplesQuestion(PLACE, texts))


def test_a_neuron_that_is_none_is_refused() -> None:
    one = session("llama")
    with pytest.raises(UnknownNameError, match=r"has no neuron 9\.9"):
        answer(one, LIMITS, ExamplesQuestion(NeuronPlace(9, 9), ((1, 2),)))
