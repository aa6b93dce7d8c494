"""Numbers of one pass → the result that `prompt` hands out."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from ingest.interventions.explaining.direct_effects import DirectEffects
from ingest.interventions.explaining.next_tokens import Distributions
from ingest.interventions.explaining.ranking import VALUES, Candidates
from ingest.interventions.explaining.session import PromptSession
from neurondb.contracts.prompt import (
    ChangedPosition,
    LogitParts,
    NextToken,
    PromptPosition,
    RankedNeuron,
    TokenChange,
)


class Explained(NamedTuple):
    """One pass, explained.

    Attributes:
        shown: the positions that were asked for.
        target_ids: the token whose logit counts, of every position of the text.
        effects: the direct effects on these logits.
        distributions: of next tokens, at the shown positions.
        candidates: the neurons that matter there.
    """

    shown: Sequence[int]
    target_ids: Int[Tensor, " positions"]
    effects: DirectEffects
    distributions: Distributions
    candidates: Candidates


def name_sign_case(gate: float, in_: float) -> str | None:
    """Return the sign case of canonical values; `gate` is NaN for an ungated neuron.

    It is None where one of them is 0 or, of a gated neuron, no number.
    """
    if not in_ or math.isnan(in_) or not gate:
        return None
    of_in = "in+" if in_ > 0 else "in-"
    return of_in if math.isnan(gate) else f"gate{'+' if gate > 0 else '-'}_{of_in}"


def list_positions(session: PromptSession, found: Explained) -> tuple[PromptPosition, ...]:
    """Return everything about each of the shown positions."""
    neurons = _neurons(session, found.candidates)
    positions = []
    for i, (position, parts) in enumerate(zip(found.shown, _parts(found), strict=True)):
        one = found.distributions
        positions.append(
            PromptPosition(
                position=position,
                target=one.find_token(i, int(found.target_ids[position])),
                next_tokens=one.list_top(i),
                parts=parts,
                neurons=neurons[i],
            )
        )
    return tuple(positions)


def _parts(found: Explained) -> Iterator[LogitParts]:
    effects = found.effects
    rows = torch.tensor(found.shown, device=found.target_ids.device)
    attention = effects.measure_attention().detach()[rows].double().cpu().numpy()
    single = (
        effects.measure_mlp_biases(),
        effects.measure_embeddings(),
        effects.measure_biases(),
        effects.compute_logits(),
    )
    values = torch.stack([one.detach()[rows].double() for one in single], dim=1).tolist()
    for i, (mlp_bias, embeddings, bias, logit) in enumerate(values):
        yield LogitParts(
            neurons=tuple(found.candidates.by_layer[i].tolist()),
            mlp_bias=mlp_bias,
            attention=tuple(attention[i].tolist()),
            embeddings=embeddings,
            bias=bias,
            logit=logit,
            capped=float(found.distributions.read_logits(i)[found.target_ids[found.shown[i]]]),
        )


def _neurons(session: PromptSession, found: Candidates) -> list[tuple[RankedNeuron, ...]]:
    ranked = found.neurons >= 0
    posts = found.values[VALUES.index("post")]
    ids = found.neurons[ranked] + session.stored.first_neuron_id
    surprise = np.full(posts.shape, np.nan)
    known = session.measure_surprise(posts[ranked], ids)
    if known is not None:
        surprise[ranked] = known
    rows = zip(
        found.neurons.tolist(),
        found.values.T.swapaxes(0, 1).tolist(),
        surprise.tolist(),
        strict=True,
    )
    return [
        tuple(
            _neuron(session, place, values, far)
            for place, values, far in zip(*row, strict=True)
            if place >= 0
        )
        for row in rows
    ]


def _neuron(
    session: PromptSession, place: int, values: Sequence[float], surprise: float
) -> RankedNeuron:
    post, gate, in_, effect, norm, gradient, weight = values
    return RankedNeuron(
        place=session.stored.find_place(session.stored.first_neuron_id + place),
        neuron_id=session.stored.first_neuron_id + place,
        sign_case=name_sign_case(gate, in_),
        hook_post=post,
        gate=None if math.isnan(gate) else gate,
        in_=in_,
        effect=effect,
        norm=norm,
        gradient=None if math.isnan(gradient) else gradient,
        surprise=None if math.isnan(surprise) else surprise,
        weight=None if math.isnan(weight) else weight,
    )


def list_changes(
    found: Explained, positions: Sequence[PromptPosition], after: Distributions
) -> tuple[ChangedPosition, ...]:
    """Return what a second run does to the next tokens of the shown positions."""

    def change(i: int, before: NextToken) -> TokenChange:
        return TokenChange(before, after.find_token(i, before.token_id))

    changed = []
    for i, one in enumerate(positions):
        known = {token.token_id for token in one.next_tokens}
        new = [token.token_id for token in after.list_top(i) if token.token_id not in known]
        tokens = (*one.next_tokens, *(found.distributions.find_token(i, t) for t in new))
        changed.append(
            ChangedPosition(
                one.position, change(i, one.target), tuple(change(i, token) for token in tokens)
            )
        )
    return tuple(changed)
