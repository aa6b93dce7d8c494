"""An explained prompt as pages and programs show it: its numbers, with what is stored beside them.

A job says which neurons matter at a position and by how much; the database says what they are.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Int
from sqlalchemy import Connection, select

from neurondb.contracts.prompt import (
    LogitParts,
    NextToken,
    PromptPosition,
    PromptRequest,
    PromptResult,
    RankedNeuron,
    TokenChange,
)
from neurondb.formatting.numbers import shorten_float
from neurondb.reading.models import Model
from neurondb.reading.neuron_table import read_neuron_lines
from neurondb.reading.vocabulary import OUT_UNEMBED_TOP
from neurondb.schema import codes, tables

WRITTEN: Final = 3
"""Tokens at the top of `out` that are shown of a neuron."""
FIRED_ON: Final = 3
"""Tokens at the peaks of examples that are shown of a neuron."""
_AT_PEAKS: Final = {code: case for code, case, place in codes.PEAK_LISTS if place == "peak"}
_AT_A_TIME: Final = 10_000
"""Neurons that one statement names."""


@dataclass(frozen=True)
class StoredFacts:
    """What the database has of a neuron; None, or no token, where that is not ingested.

    Attributes:
        class_name: its read-write class.
        freq: share of tokens with x_gate > 0, or hook_post > 0 for an ungated neuron.
        out_tokens: the tokens that `out` points along most, in the unembedding.
        peaks: sign case → the tokens at the peaks of its examples, the most frequent first.
    """

    class_name: str | None
    freq: float | None
    out_tokens: tuple[str, ...]
    peaks: Mapping[str, tuple["PeakLine", ...]]


@dataclass(frozen=True)
class PeakLine:
    """A token on which a neuron fires: at the peaks of so many of its examples in a sign case."""

    token_id: int
    token: str
    count: int


@dataclass(frozen=True)
class TokenLine:
    """A token of the prompt, and how much neurons do there: the sum of |measure| over them."""

    position: int
    token_id: int
    token: str
    heat: float


@dataclass(frozen=True)
class NextLine:
    """A token that may come next; rank 0 is the most probable one."""

    token_id: int
    token: str
    probability: float
    logit: float
    rank: int


@dataclass(frozen=True)
class ChangeLine:
    """A token that may come next, in the run as it is and in the one that is changed."""

    token_id: int
    token: str
    before: NextLine
    after: NextLine


@dataclass(frozen=True)
class PartsLine:
    """What adds up to the logit of the target through the frozen final norm.

    Attributes:
        neurons: of all neurons, the MLPs' biases included.
        attention: of all attentions.
        embeddings: of what enters the first layer.
        bias: of the final norm's bias and that of the unembedding.
        logit: before any soft cap.
        capped: the logit as the model puts it out.
        rest: what the parts lack of `logit`: rounding.
        mlp_bias: the part of `neurons` that is of the MLPs' biases, which are no neuron's.
    """

    neurons: float
    attention: float
    embeddings: float
    bias: float
    logit: float
    capped: float
    rest: float
    mlp_bias: float
    neurons_by_layer: tuple[float, ...]
    attention_by_layer: tuple[float, ...]


@dataclass(frozen=True)
class NeuronAtPosition:
    """A neuron at a position, with its measures and what is stored of it.

    Attributes:
        rank: place in the order that was asked for, from 0.
        name: the neuron as `layer.neuron`, or `layer.expert.number`.
        hook_post: what it puts out; gate and in likewise, in canonical sign.
        promotes: tokens that `out` points along most, where hook_post is above zero.
        suppresses: the same tokens, where hook_post is below zero.
        weight: what the output of its expert is multiplied by here, a part of effect and norm; None
            for a neuron of no expert.
        fires_on: tokens at the peaks of its examples in the sign case that it has here.
    """

    rank: int
    name: str
    layer: int
    neuron: int
    neuron_id: int
    class_name: str | None
    sign_case: str | None
    freq: float | None
    hook_post: float
    hook_pre: float | None
    hook_pre_linear: float | None
    effect: float
    norm: float
    gradient: float | None
    surprise: float | None
    weight: float | None
    promotes: tuple[str, ...]
    suppresses: tuple[str, ...]
    fires_on: tuple[PeakLine, ...]

    def measure(self, by: str) -> float | None:
        """Return one of its measures by name."""
        value: float | None = getattr(self, by)
        return value


@dataclass(frozen=True)
class PositionPage:
    """One position of a prompt.

    Attributes:
        target: the token whose logit counts.
        target_changed: the same in the changed run; None where there is none.
        next_tokens: the most probable next tokens.
        changes: next tokens in both runs; empty where there is one.
        neurons: those that matter most.
    """

    position: int
    token_id: int
    token: str
    target: NextLine
    target_changed: NextLine | None
    parts: PartsLine
    next_tokens: tuple[NextLine, ...]
    changes: tuple[ChangeLine, ...]
    neurons: tuple[NeuronAtPosition, ...]


@dataclass(frozen=True)
class PromptPage:
    """A prompt, explained: what `neurondb prompt` shows.

    Attributes:
        by: what neurons are ranked by.
        where: which neurons were looked at; None is all.
        changed: what was done to neurons in the changed run; None where there is none.
        dataset: whose activations surprise is measured by; None where none are stored.
        gradient_position: the position whose target's logit gradients are of.
    """

    model: str
    prompt: str
    by: str
    where: str | None
    n_neurons: int
    changed: str | None
    dataset: str | None
    gradient_position: int
    tokens: tuple[TokenLine, ...]
    positions: tuple[PositionPage, ...]

    @property
    def neuron_ids(self) -> Int[np.ndarray, " neurons"]:
        """The ids of all neurons found, ascending, each once."""
        return np.unique([one.neuron_id for at in self.positions for one in at.neurons])


def read_prompt_page(
    connection: Connection, model: Model, request: PromptRequest, result: PromptResult
) -> PromptPage:
    """Return an explained prompt with what is stored of its neurons."""
    ids = {one.neuron_id for position in result.positions for one in position.neurons}
    facts = read_stored_facts(connection, model, sorted(ids))
    changes = {one.position: one for one in result.changed}
    positions = []
    for one in result.positions:
        token, change = result.tokens[one.position], changes.get(one.position)
        positions.append(
            PositionPage(
                position=one.position,
                token_id=token.token_id,
                token=token.text,
                target=_next_line(one.target),
                target_changed=None if change is None else _next_line(change.target.after),
                parts=_parts_line(one.parts),
                next_tokens=tuple(map(_next_line, one.next_tokens)),
                changes=() if change is None else tuple(map(_change_line, change.next_tokens)),
                neurons=_neuron_lines(model, one, facts),
            )
        )
    return PromptPage(
        model=result.model,
        prompt=request.prompt,
        by=request.by,
        where=None if request.selection is None else request.selection.text,
        n_neurons=result.n_neurons,
        changed=describe_changes(request),
        dataset=result.dataset,
        gradient_position=result.gradient_position,
        tokens=tuple(
            TokenLine(position, token.token_id, token.text, float(result.heat[position]))
            for position, token in enumerate(result.tokens)
        ),
        positions=tuple(positions),
    )


def describe_changes(request: PromptRequest) -> str | None:
    """Return in words what the second run of a request changes; None where it has none."""
    parts = []
    if request.without:
        parts.append(f"without {', '.join(place.name for place in request.without)}")
    if request.clamps:
        held = ", ".join(f"{clamp.neuron.name}={clamp.value:g}" for clamp in request.clamps)
        parts.append(f"with {request.hook or 'hook_post'} {held}")
    return ", ".join(parts) or None


def read_stored_facts(
    connection: Connection, model: Model, neuron_ids: Sequence[int]
) -> dict[int, StoredFacts]:
    """Return neuron id → what is stored of it, of every neuron named."""
    facts: dict[int, StoredFacts] = {}
    for first in range(0, len(neuron_ids), _AT_A_TIME):
        part = neuron_ids[first : first + _AT_A_TIME]
        lines = {line.neuron_id: line for line in read_neuron_lines(connection, part)}
        tokens = _read_out_tokens(connection, part)
        peaks = _read_peaks(connection, model, part)
        for neuron_id in part:
            line = lines.get(neuron_id)
            facts[neuron_id] = StoredFacts(
                None if line is None else line.class_name,
                None if line is None else line.freq,
                tokens.get(neuron_id, ()),
                peaks.get(neuron_id, {}),
            )
    return facts


def _read_out_tokens(
    connection: Connection, neuron_ids: Sequence[int]
) -> dict[int, tuple[str, ...]]:
    p, t, n = tables.top_token_rows, tables.tokens, tables.neurons
    rows = connection.execute(
        select(p.c.neuron_id, t.c.token)
        .join_from(p, n, n.c.neuron_id == p.c.neuron_id)
        .join(t, (t.c.model_id == n.c.model_id) & (t.c.token_id == p.c.token_id))
        .where(p.c.neuron_id.in_(neuron_ids), p.c.list_id == OUT_UNEMBED_TOP, p.c.rank < WRITTEN)
        .order_by(p.c.neuron_id, p.c.rank)
    )
    found: dict[int, tuple[str, ...]] = {}
    for neuron_id, token in rows:
        found[neuron_id] = (*found.get(neuron_id, ()), token)
    return found


def _read_peaks(
    connection: Connection, model: Model, neuron_ids: Sequence[int]
) -> dict[int, dict[str, tuple[PeakLine, ...]]]:
    """Return neuron id → sign case → tokens at peaks, on the dataset that the model shows."""
    r, t = tables.peak_token_rows.c, tables.tokens.c
    rows = connection.execute(
        select(r.neuron_id, r.list_id, r.token_id, t.token, r.count)
        .outerjoin_from(
            tables.peak_token_rows,
            tables.tokens,
            (t.model_id == model.model_id) & (t.token_id == r.token_id),
        )
        .where(r.neuron_id.in_(neuron_ids), r.dataset_id == model.dataset_id)
        .where(r.list_id.in_(_AT_PEAKS), r.rank < FIRED_ON)
        .order_by(r.neuron_id, r.list_id, r.rank)
    )
    found: dict[int, dict[str, tuple[PeakLine, ...]]] = {}
    for neuron_id, list_id, token_id, token, count in rows:
        of_neuron, case = found.setdefault(neuron_id, {}), _AT_PEAKS[list_id]
        line = PeakLine(token_id, f"#{token_id}" if token is None else token, count)
        of_neuron[case] = (*of_neuron.get(case, ()), line)
    return found


def _next_line(token: NextToken) -> NextLine:
    return NextLine(
        token.token_id, token.text, token.probability, shorten_float(token.logit), token.rank
    )


def _change_line(change: TokenChange) -> ChangeLine:
    token = change.before
    return ChangeLine(token.token_id, token.text, _next_line(token), _next_line(change.after))


def _parts_line(parts: LogitParts) -> PartsLine:
    return PartsLine(
        neurons=sum(parts.neurons) + parts.mlp_bias,
        attention=sum(parts.attention),
        embeddings=parts.embeddings,
        bias=parts.bias,
        logit=parts.logit,
        capped=parts.capped,
        rest=parts.rest,
        mlp_bias=parts.mlp_bias,
        neurons_by_layer=parts.neurons,
        attention_by_layer=parts.attention,
    )


def _neuron_lines(
    model: Model, position: PromptPosition, facts: Mapping[int, StoredFacts]
) -> tuple[NeuronAtPosition, ...]:
    return tuple(
        _neuron_line(model, rank, one, facts[one.neuron_id])
        for rank, one in enumerate(position.neurons)
    )


def _neuron_line(
    model: Model, rank: int, one: RankedNeuron, facts: StoredFacts
) -> NeuronAtPosition:
    gated, (layer, neuron) = model.gated, model.locate(one.neuron_id)
    in_ = shorten_float(one.in_)
    return NeuronAtPosition(
        rank=rank,
        name=one.place.name,
        layer=layer,
        neuron=neuron,
        neuron_id=one.neuron_id,
        class_name=facts.class_name,
        sign_case=one.sign_case,
        freq=facts.freq,
        hook_post=shorten_float(one.hook_post),
        hook_pre=shorten_if_any(one.gate) if gated else in_,
        hook_pre_linear=in_ if gated else None,
        effect=shorten_float(one.effect),
        norm=shorten_float(one.norm),
        gradient=shorten_if_any(one.gradient),
        surprise=one.surprise,
        weight=shorten_if_any(one.weight),
        promotes=facts.out_tokens if one.hook_post > 0 else (),
        suppresses=facts.out_tokens if one.hook_post < 0 else (),
        fires_on=facts.peaks.get(one.sign_case or "", ()),
    )


def shorten_if_any(value: float | None) -> float | None:
    """Return a number as `shorten_float` does, and None as it is."""
    return None if value is None else shorten_float(value)
