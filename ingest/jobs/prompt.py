"""The job `prompt`: which neurons matter at each position of a text, and what comes next.

`run` loads the model for one request; whoever has many opens a session and calls `explain`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Bool
from numpy.typing import NDArray
from torch import Tensor

from ingest.interventions.explaining.answering import Explained, list_changes, list_positions
from ingest.interventions.explaining.direct_effects import DirectEffects
from ingest.interventions.explaining.next_tokens import Distributions, run_changed
from ingest.interventions.explaining.ranking import Ranker
from ingest.interventions.explaining.recording import PassRecord, record_pass
from ingest.interventions.explaining.session import PromptSession, open_session
from ingest.interventions.prompts import choose_clamp_hook
from ingest.interventions.running_model import explain_memory_errors
from neurondb.contracts.progress import Progress
from neurondb.contracts.prompt import MEASURES, At, ChangedPosition, PromptRequest, PromptResult
from neurondb.database import open_existing
from neurondb.errors import IngestError, UnknownNameError, UsageError
from neurondb.find.neuron_sets import select_neurons
from neurondb.reading.models import explain_missing_token, name_places
from neurondb.spelling import option


def run(request: PromptRequest, _progress: Progress) -> PromptResult:
    """Load a model, and explain one prompt.

    Raises:
        UsageError: when the request is malformed.
        UnknownNameError: when the model, a neuron or the target is not in the database.
        IngestError: when weights are not ingested, or the checkpoint is no longer where it was or
            holds other weights, or the prompt has no such position.
        ModelError: when it cannot be read or run, or its context is too short.
    """
    _check(request)
    return explain(open_session(request.machine), request)


def explain(session: PromptSession, request: PromptRequest) -> PromptResult:
    """Explain one prompt by a model that is loaded; raises as `run` does.

    The machine of the request is not looked at: it is the session's.
    """
    request = _name_changed(session, request)
    _check(request)
    _check_names(session, request)
    chosen = _choose(session, request)
    ids = session.encode(request.prompt, chat=request.chat)
    shown = list_shown(request.at, len(ids))
    changed: tuple[ChangedPosition, ...] = ()
    with explain_memory_errors(session.running):
        found = _explain_pass(session, request, ids, shown, chosen)
        with torch.inference_mode():
            positions = list_positions(session, found)
            if request.without or request.clamps:
                rows = run_changed(session, request, ids)[list(shown)]
                changed = list_changes(found, positions, Distributions(session, rows))
    return PromptResult(
        model=session.stored.name,
        tokens=session.name_tokens(ids),
        heat=found.candidates.heat,
        positions=positions,
        gradient_position=shown[-1],
        dataset=None if session.dataset is None else session.dataset.name,
        n_neurons=session.stored.n_neurons if chosen is None else int(chosen.sum()),
        changed=changed,
    )


def list_shown(at: At, n_tokens: int) -> Sequence[int]:
    """Return the positions that are asked for.

    Raises:
        IngestError: when the prompt has no such position.
    """
    if at == "all":
        return range(n_tokens)
    place: object = -1 if at == "last" else at
    if not isinstance(place, int) or not -n_tokens <= place < n_tokens:
        raise IngestError(
            f"no position {at!r}: the prompt has {n_tokens}, 0 to {n_tokens - 1}; give last, all, "
            "or a number"
        )
    return [place % n_tokens]


def _check(request: PromptRequest) -> None:
    if request.by not in MEASURES:
        raise UsageError(f"no measure {request.by!r}; neurons are ranked by {', '.join(MEASURES)}")
    if request.top < 1:
        raise UsageError(f"{option('top')} is at least 1")
    changed = [*request.without, *(clamp.neuron for clamp in request.clamps)]
    if len(set(changed)) < len(changed):
        raise UsageError("a neuron is named twice among those that are changed; name each once")


def _name_changed(session: PromptSession, request: PromptRequest) -> PromptRequest:
    """Return the request with the neurons that it changes as their names have them."""
    model, held = session.stored, [clamp.neuron for clamp in request.clamps]
    clamps = tuple(
        clamp._replace(neuron=place)
        for clamp, place in zip(request.clamps, name_places(model, held), strict=True)
    )
    return replace(request, without=name_places(model, request.without), clamps=clamps)


def _check_names(session: PromptSession, request: PromptRequest) -> None:
    model = session.stored
    choose_clamp_hook(model, request.hook)
    if request.target_id is not None and not 0 <= request.target_id < model.d_vocab:
        why = explain_missing_token(model, request.target_id)
        raise UnknownNameError(f"{model.name} has no token {request.target_id}: {why}")


def _choose(
    session: PromptSession, request: PromptRequest
) -> Bool[NDArray[np.bool_], "layers neurons"] | None:
    """Return which neurons count; None is all."""
    if request.selection is None:
        return None
    engine = open_existing(session.machine.database)
    try:
        ids = select_neurons(engine, session.stored, request.selection).neuron_ids
    finally:
        engine.dispose()
    chosen = np.zeros(session.stored.n_ids, dtype=np.bool_)
    chosen[ids - session.stored.first_neuron_id] = True
    return chosen.reshape(session.signs.shape)


def _explain_pass(
    session: PromptSession,
    request: PromptRequest,
    ids: list[int],
    shown: Sequence[int],
    chosen: NDArray[np.bool_] | None,
) -> Explained:
    if request.by == "surprise":
        _ = session.distributions  # what is missing is said before the model runs
    forward, layout = session.forward, session.running.checkpoint.layout
    record = record_pass(
        forward, layout, session.make_batch(ids), shown, with_gradient=request.wants_gradient
    )
    assert record.normed is not None
    distributions = Distributions(session, record.normed.detach()[list(shown)])
    targets = _targets(session, request, record, ids)
    effects = DirectEffects(forward, layout, record, targets)
    if request.wants_gradient:
        _keep_gradients(record, effects, shown[-1])
    with torch.inference_mode():
        ranker = Ranker(session, record, effects, shown, request.by)
        candidates = ranker.rank(request.top, chosen)
    return Explained(shown, targets, effects, distributions, candidates)


def _targets(
    session: PromptSession, request: PromptRequest, record: PassRecord, ids: list[int]
) -> Tensor:
    """Return the token whose logit counts, of each position."""
    device = session.forward.device
    if request.target_id is not None:
        return torch.full((len(ids),), request.target_id, device=device)
    assert record.normed is not None
    best = Distributions(session, record.normed.detach()[-1:]).read_logits(0).argmax()
    return torch.tensor([*ids[1:], int(best)], device=device)


def _keep_gradients(record: PassRecord, effects: DirectEffects, position: int) -> None:
    """Take ∂logit/∂hook_post of every layer, of the logit of one position's target."""
    probed = [one for layer in record.layers for one in layer.probed]
    with torch.enable_grad():
        logit = effects.compute_logits()[position]
        found = torch.autograd.grad(logit, [one.probe for one in probed if one.probe is not None])
    for one, gradient in zip(probed, found, strict=True):
        one.gradient = gradient.reshape(-1, gradient.shape[-1])
