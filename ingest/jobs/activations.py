"""The job `activations`: gate, in and post of some neurons at every token of a text."""

from __future__ import annotations

import numpy as np

from ingest.interventions.explaining.answering import name_sign_case
from ingest.interventions.explaining.session import PromptSession, open_session
from ingest.interventions.neuron_watch import NeuronWatch, WatchedNeuron
from ingest.interventions.running_model import explain_memory_errors
from neurondb.contracts.progress import Progress
from neurondb.contracts.prompt import ActivationsRequest, ActivationsResult, NeuronActivations
from neurondb.errors import UsageError
from neurondb.neurons import NeuronPlace
from neurondb.reading.models import find_neuron_id


def run(request: ActivationsRequest, _progress: Progress) -> ActivationsResult:
    """Load a model, and return what neurons do on one text.

    Raises:
        UsageError: when the text does not fit, or no neuron or one twice is asked for.
        UnknownNameError: when the model or a neuron is not in the database.
        IngestError: when weights are not ingested, or the checkpoint is no longer where it was or
            holds other weights.
        ModelError: when it cannot be read or run.
    """
    return watch(open_session(request.machine), request)


def watch(session: PromptSession, request: ActivationsRequest) -> ActivationsResult:
    """Return what neurons do on one text, by a model that is loaded; raises as `run` does.

    The machine of the request is not looked at: it is the session's.
    """
    if not request.neurons:
        raise UsageError("name at least one neuron")
    named = {find_neuron_id(session.stored, *place) for place in request.neurons}
    if len(named) < len(request.neurons):
        raise UsageError("a neuron is named twice; name each once")
    ids = session.encode(request.text, chat=request.chat)
    neurons = watch_tokens(session, request.neurons, ids)
    return ActivationsResult(session.stored.name, session.name_tokens(ids), neurons)


def watch_tokens(
    session: PromptSession, places: tuple[NeuronPlace, ...], token_ids: list[int]
) -> tuple[NeuronActivations, ...]:
    """Return what neurons, each named once, do at every token of a text given as its token ids.

    Raises:
        UnknownNameError: when the model has no such neuron.
        ModelError: when the text is longer than the context, or does not fit in memory.
    """
    ids_of = {place: find_neuron_id(session.stored, *place) for place in places}
    watcher = NeuronWatch(session.stored, places)
    with explain_memory_errors(session.running):
        session.forward.run(session.make_batch(token_ids), [watcher])
    return tuple(
        _in_canonical_sign(session, place, ids_of[place], watcher.kept[place]) for place in places
    )


def _in_canonical_sign(
    session: PromptSession,
    place: NeuronPlace,
    neuron_id: int,
    watched: WatchedNeuron,
) -> NeuronActivations:
    gate, sign = watched.gate, session.find_signs([place])[place]
    in_, post = watched.in_ * sign, watched.post * sign
    signs = np.full_like(in_, np.nan) if gate is None else gate
    surprise = session.measure_surprise(post[:, None], np.array([neuron_id]))
    return NeuronActivations(
        place=session.stored.find_place(neuron_id),
        neuron_id=neuron_id,
        gate=gate,
        in_=in_,
        post=post,
        sign_cases=tuple(name_sign_case(*pair) for pair in zip(signs, in_, strict=True)),
        surprise=None if surprise is None else surprise[:, 0],
        routed=watched.routed,
        weight=watched.weight,
    )
