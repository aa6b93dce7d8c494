"""What the address of a page names: layers, positions, choices; what means nothing is refused."""

from collections.abc import Sequence
from typing import Final

from neurondb.errors import UsageError
from neurondb.neurons import match_number
from neurondb.reading.models import Model

_DIGITS: Final = 9
"""A longer number is none of anything here, and may be too long for SQLite."""


def read_layer(written: str | None, model: Model) -> int | None:
    """Return the layer that an address names, if it names one.

    Raises:
        UsageError: when the model has no such layer.
    """
    if not written:
        return None
    layer = match_number(written)
    if layer is None or layer >= model.n_layers:
        raise UsageError(
            f"{model.name} has no layer {written[:80]!r}: its layers are 0 to {model.n_layers - 1}"
        )
    return layer


def read_position(written: str | None) -> int | None:
    """Return the position in a text that an address names, if it names one.

    Raises:
        UsageError: when it is no whole number from 0.
    """
    if not written:
        return None
    position = match_number(written)
    if position is None or len(written) > _DIGITS:
        raise UsageError(f"{written[:80]!r} is no position; positions count from 0")
    return position


def read_choice(name: str, written: str | None, known: Sequence[str]) -> str:
    """Return which of the known values an address names; the first where it names none.

    Raises:
        UsageError: when it names another; says which there are.
    """
    chosen = written or known[0]
    if chosen not in known:
        raise UsageError(f"no {name} {chosen[:80]!r}; there is: {', '.join(known)}")
    return chosen
