"""What a neuron does at every token of a text that somebody gave, with what is stored of it."""

import math
from dataclasses import dataclass

from sqlalchemy import Connection

from neurondb.contracts.prompt import ActivationsResult, NeuronActivations
from neurondb.formatting.numbers import shorten_float
from neurondb.reading.models import Model
from neurondb.reading.prompt import read_stored_facts, shorten_if_any


@dataclass(frozen=True)
class TokenActivations:
    """What a neuron does at one token, in canonical sign; None where there is no such quantity.

    Attributes:
        routed: whether the token is routed to the neuron's expert: elsewhere it does nothing, and
            every quantity is None. None for a neuron of no expert.
        weight: what the output of the expert is multiplied by; None likewise.
    """

    position: int
    token_id: int
    token: str
    sign_case: str | None
    hook_pre: float | None
    hook_pre_linear: float | None
    hook_post: float | None
    surprise: float | None
    routed: bool | None = None
    weight: float | None = None


@dataclass(frozen=True)
class ActivationsPage:
    """A neuron on a text: what `neurondb activations` shows."""

    model: str
    name: str
    layer: int
    neuron: int
    neuron_id: int
    class_name: str | None
    freq: float | None
    out_tokens: tuple[str, ...]
    tokens: tuple[TokenActivations, ...]


def read_activations_pages(
    connection: Connection, model: Model, result: ActivationsResult
) -> tuple[ActivationsPage, ...]:
    """Return a page for each neuron of a result, with what is stored of it."""
    facts = read_stored_facts(connection, model, [one.neuron_id for one in result.neurons])
    return tuple(
        ActivationsPage(
            result.model,
            one.place.name,
            *model.locate(one.neuron_id),
            one.neuron_id,
            facts[one.neuron_id].class_name,
            facts[one.neuron_id].freq,
            facts[one.neuron_id].out_tokens,
            tuple(_at_tokens(result, one, gated=model.gated)),
        )
        for one in result.neurons
    )


def _at_tokens(
    result: ActivationsResult, one: NeuronActivations, *, gated: bool
) -> list[TokenActivations]:
    found = []
    for position, token in enumerate(result.tokens):
        if one.routed is not None and not one.routed[position]:
            found.append(TokenActivations(position, *token, *(None,) * 5, routed=False))
            continue
        in_ = shorten_float(float(one.in_[position]))
        gate = None if one.gate is None else float(one.gate[position])
        surprise = math.nan if one.surprise is None else float(one.surprise[position])
        found.append(
            TokenActivations(
                position,
                *token,
                one.sign_cases[position],
                shorten_if_any(gate) if gated else in_,
                in_ if gated else None,
                shorten_float(float(one.post[position])),
                None if math.isnan(surprise) else surprise,
                None if one.routed is None else True,
                None if one.weight is None else shorten_float(float(one.weight[position])),
            )
        )
    return found
