"""A text token by token as a live page shows it: how strongly each is coloured, and by what."""

import math
from collections.abc import Sequence
from typing import Final, NamedTuple

from neurondb.formatting.numbers import format_compact
from neurondb.formatting.text import make_visible
from neurondb.reading.prompt import PromptPage
from neurondb.reading.text_activations import ActivationsPage, TokenActivations

NO_TEXT: Final = "·"
"""Stands for a token that shows nothing."""


class Piece(NamedTuple):
    """A token as it is shown.

    Attributes:
        sign: p above zero, n below, nothing at it.
        percent: how strong its colour is.
        values: what to say of it.
    """

    position: int
    text: str
    sign: str
    percent: int
    values: str


def find_scale(values: Sequence[float]) -> float | None:
    """Return the largest |value| behind the first token; None where there is nothing to scale by.

    At the first token, which no text precedes, most models have values out of all proportion; it
    is coloured as strongly as the largest of the others.
    """
    finite = [abs(value) for value in (values[1:] or values) if math.isfinite(value)]
    return max(finite, default=0.0) or None


def colour_by_heat(page: PromptPage) -> tuple[Piece, ...]:
    """Return the tokens of a prompt, coloured by the sum of |measure| over all neurons."""
    scale = find_scale([token.heat for token in page.tokens])
    return tuple(
        _piece(
            token.position,
            token.token,
            token.heat,
            scale,
            f"Σ|{page.by}| {format_compact(token.heat)}",
        )
        for token in page.tokens
    )


def colour_by_neuron(page: ActivationsPage) -> tuple[Piece, ...]:
    """Return the tokens of a text, coloured by a neuron's hook_post."""
    values = list_posts(page)
    scale = find_scale(values)
    return tuple(
        _piece(token.position, token.token, value, scale, say_values(token))
        for token, value in zip(page.tokens, values, strict=True)
    )


def list_posts(page: ActivationsPage) -> list[float]:
    """Return hook_post at every token; NaN where none is routed to the neuron's expert."""
    return [math.nan if token.hook_post is None else token.hook_post for token in page.tokens]


def say_values(token: TokenActivations) -> str:
    """Say what gate, in and post are at a token."""
    if token.routed is False:
        return "not routed to its expert"
    values = {"gate": token.hook_pre, "in": token.hook_pre_linear}
    if token.hook_pre_linear is None:  # ungated
        values = {"in": token.hook_pre}
    values["post"] = token.hook_post
    if token.weight is not None:
        values["weight"] = token.weight
    return " · ".join(f"{name} {format_compact(value)}" for name, value in values.items())


def _piece(position: int, text: str, value: float, scale: float | None, values: str) -> Piece:
    shown = make_visible(text) or NO_TEXT
    if scale is None or not math.isfinite(value):
        return Piece(position, shown, "", 0, values)
    percent = round(100 * min(abs(value) / scale, 1))
    return Piece(position, shown, "p" if value > 0 else "n" if value < 0 else "", percent, values)
