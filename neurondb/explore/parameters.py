"""What the address of a page names: layers, positions, choices; what means nothing is refused."""

from collections.abc import Mapping, Sequence
from typing import Final

from neurondb.errors import UsageError
from neurondb.neurons import NeuronPlace, match_number, parse_neuron
from neurondb.reading.models import Model, locate_place

_DIGITS: Final = 9
"""Digits of the longest number that can name anything here, and that SQLite can hold."""


def read_layer(text: str | None, model: Model) -> int | None:
    """Return the layer that an address names, if it names one.

    Raises:
        UsageError: when the model has no such layer.
    """
    if not text:
        return None
    layer = match_number(text)
    if layer is None or layer >= model.n_layers:
        raise UsageError(
            f"{model.name} has no layer {text[:80]!r}: its layers are 0 to {model.n_layers - 1}"
        )
    return layer


def read_place(path: Mapping[str, str], model: Model) -> NeuronPlace:
    """Return the neuron that an address names, with its number in the layer.

    Raises:
        UnknownNameError: when the model has no such neuron.
        UsageError: when a number is too large to be one.
    """
    return locate_place(model, parse_neuron(f"{path['layer']}.{path['neuron']}"))


def read_position(text: str | None) -> int | None:
    """Return the position in a text that an address names, if it names one.

    Raises:
        UsageError: when it is no whole number from 0.
    """
    if not text:
        return None
    position = match_number(text)
    if position is None or len(text) > _DIGITS:
        raise UsageError(f"{text[:80]!r} is no position; positions count from 0")
    return position


def read_choice(name: str, text: str | None, choices: Sequence[str]) -> str:
    """Return which of the known values an address names; the first where it names none.

    Raises:
        UsageError: when it names another value; the message lists the known ones.
    """
    choice = text or choices[0]
    if choice not in choices:
        raise UsageError(f"no {name} {choice[:80]!r}; there is: {', '.join(choices)}")
    return choice
