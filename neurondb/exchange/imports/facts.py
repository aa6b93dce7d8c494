"""What a file says of one neuron, whatever the file: the form in which formats hand it over.

A format is a function that yields `Facts`, one neuron or a part of what is said of it at a time;
`storing.py` puts them where they belong.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from neurondb.errors import TextError
from neurondb.neurons import match_neuron, match_number


class Remark(NamedTuple):
    """Something that is said in words or numbers and has no relation of its own."""

    source: str
    key: str
    value: str
    note: str | None = None


class TextExample(NamedTuple):
    """A text, the token at which the neuron is most active in it, and how active it is there.

    `position` counts the tokens of the text as the file has it, from 0; −1 where it does not say.
    """

    text: str
    position: int
    value: float


@dataclass(frozen=True)
class Facts:
    """What one entry of a file says of a neuron.

    Attributes:
        place: where the entry stands, for messages.
        layer: the neuron's layer.
        neuron: its number in it.
        remarks: what becomes annotations.
        statistics: columns of `activation_stats` → numbers.
        weights: columns of `neurons` → numbers, of a model whose weights nobody has ingested.
        cosines: columns of `cosines` → numbers, likewise.
        vocabulary: columns of `vocab_stats` of the vector `out` → numbers, likewise.
        positive: share of the tokens with x_in > 0, of an ungated neuron.
        examples: texts of the largest hook_post, of an ungated neuron; None says nothing of them.
        controls: texts drawn at random; None likewise.
        n_weaker: examples that the entry has besides, weaker ones or of the same texts.
    """

    place: str
    layer: int
    neuron: int
    remarks: Sequence[Remark] = ()
    statistics: Mapping[str, float] = field(default_factory=dict)
    weights: Mapping[str, float] = field(default_factory=dict)
    cosines: Mapping[str, float] = field(default_factory=dict)
    vocabulary: Mapping[str, float] = field(default_factory=dict)
    positive: float | None = None
    examples: Sequence[TextExample] | None = None
    controls: Sequence[TextExample] | None = None
    n_weaker: int = 0


Reader = Callable[[Callable[[str, int], None]], Iterator[Facts]]
"""Reads a file from its beginning; it is passed a function that counts what has no place."""


def read_place(row: Mapping[str, Any], place: str) -> tuple[int, int]:
    """Return layer and number of the neuron that a row names by `layer` and `neuron`, or as `L.N`.

    Raises:
        TextError: when it names none.
    """
    layer, neuron = row.get("layer"), row.get("neuron")
    if layer in (None, ""):
        named = match_neuron(neuron) if isinstance(neuron, str) else None
        if named is None or named.expert is not None:
            raise TextError(f"{place}: neuron is {neuron!r}, not text like '31.9634'")
        return named.layer, named.neuron
    at, number = read_number(layer), read_number(neuron)
    if at is None or number is None:
        raise TextError(
            f"{place}: layer and neuron are {layer!r} and {neuron!r}, not two numbers from 0"
        )
    return at, number


def read_number(value: Any) -> int | None:
    """Return a whole number from 0 that a file has as a number or as text; None for all else."""
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return match_number(str(value).strip())


def read_real(value: Any) -> float | None:
    """Return a number that a file has as a number or as text; None for all else, and for NaN."""
    if isinstance(value, bool) or value is None or value == "":
        return None
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if number - number == 0 else None
