"""What the address of a page names: neurons, layers, choices; what means nothing is refused."""

import re
from collections.abc import Sequence
from typing import Final

from neurondb.errors import UsageError
from neurondb.reading.models import Model

_NEURON: Final = re.compile(r"([0-9]{1,9})\.([0-9]{1,9})")
_DIGITS: Final = 9
"""A longer number is none of anything here, and may be too long for SQLite."""


def read_neuron(written: str) -> tuple[int, int]:
    """Return the layer and the index in it that `L.N` names, there or not.

    Raises:
        UsageError: when it is not written so.
    """
    name = _NEURON.fullmatch(written)
    if name is None:
        raise UsageError(f"{written[:80]!r} is not LAYER.NEURON, like 31.9634")
    return int(name[1]), int(name[2])


def read_layer(written: str | None, model: Model) -> int | None:
    """Return the layer that an address names, if it names one.

    Raises:
        UsageError: when the model has no such layer.
    """
    if not written:
        return None
    if not (_is_number(written) and int(written) < model.n_layers):
        raise UsageError(
            f"{model.name} has no layer {written[:80]!r}: its layers are 0 to {model.n_layers - 1}"
        )
    return int(written)


def read_position(written: str | None) -> int | None:
    """Return the position in a text that an address names, if it names one.

    Raises:
        UsageError: when it is no whole number from 0.
    """
    if not written:
        return None
    if not _is_number(written):
        raise UsageError(f"{written[:80]!r} is no position; positions count from 0")
    return int(written)


def read_choice(name: str, written: str | None, known: Sequence[str]) -> str:
    """Return which of the known values an address names; the first where it names none.

    Raises:
        UsageError: when it names another; says which there are.
    """
    chosen = written or known[0]
    if chosen not in known:
        raise UsageError(f"no {name} {chosen[:80]!r}; there is: {', '.join(known)}")
    return chosen


def _is_number(written: str) -> bool:
    return written.isdecimal() and len(written) <= _DIGITS
