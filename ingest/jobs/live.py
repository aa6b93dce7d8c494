"""The job `live`: a model is loaded once, and what it returns answers the questions of a site."""

from __future__ import annotations

from ingest.interventions.explaining.session import PromptSession, open_session
from ingest.jobs.activations import watch, watch_tokens
from ingest.jobs.prompt import explain
from neurondb.contracts.live import (
    Answerer,
    ExamplesQuestion,
    ExamplesReply,
    LiveLimits,
    LiveQuestion,
    LiveReply,
    LiveRequest,
    PromptQuestion,
    PromptReply,
)
from neurondb.contracts.progress import Progress
from neurondb.contracts.prompt import ActivationsRequest
from neurondb.errors import UsageError

MOST_EXAMPLE_TOKENS = 4096
"""Of all texts of one `ExamplesQuestion` together."""


def run(request: LiveRequest, _progress: Progress) -> Answerer:
    """Load a stored model, and return what answers questions about it, one at a time.

    Raises:
        UnknownNameError: when the model is not in the database.
        IngestError: when weights are not ingested, or the checkpoint is no longer where it was or
            holds other weights.
        ModelError: when it cannot be read or run.
    """
    session = open_session(request.machine)
    session.forward  # noqa: B018 # loaded now, not while the first visitor waits
    return lambda question: answer(session, request.limits, question)


def answer(session: PromptSession, limits: LiveLimits, question: LiveQuestion) -> LiveReply:
    """Answer one question.

    Raises:
        UsageError: when its text is longer than the limits allow, or as the jobs `prompt` and
            `activations` do.
    """
    if isinstance(question, PromptQuestion):
        asked = question.prompt
        _check_length(session, limits, asked.prompt, chat=asked.chat)
        result, along = explain(session, asked), None
        if question.coloured is not None:
            neurons = (question.coloured,)
            along = watch(
                session, ActivationsRequest(asked.machine, neurons, asked.prompt, asked.chat)
            )
        return PromptReply(result, along)
    if isinstance(question, ActivationsRequest):
        _check_length(session, limits, question.text, chat=question.chat)
        return watch(session, question)
    return _watch_examples(session, question)


def _check_length(session: PromptSession, limits: LiveLimits, text: str, *, chat: bool) -> None:
    """Refuse a long text, by its characters before it is split into tokens."""
    if len(text) > limits.characters:
        raise UsageError(
            f"the text has {len(text):,} characters; {limits.characters:,} are the most here"
        )
    n_tokens = len(session.encode(text, chat=chat))
    if n_tokens > limits.tokens:
        raise UsageError(f"the text is {n_tokens:,} tokens; {limits.tokens:,} are the most here")


def _watch_examples(session: PromptSession, question: ExamplesQuestion) -> ExamplesReply:
    total = sum(map(len, question.texts))
    if total > MOST_EXAMPLE_TOKENS:
        raise UsageError(f"the texts are {total:,} tokens; {MOST_EXAMPLE_TOKENS:,} are the most")
    found = [watch_tokens(session, (question.neuron,), list(ids)) for ids in question.texts]
    return ExamplesReply(tuple(one for (one,) in found))
