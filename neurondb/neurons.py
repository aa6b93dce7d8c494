"""How neurons and layers are written, and the one place where that is read.

A neuron is `L.N`: its layer and its number there, both counted from 0, such as `31.9634`. In a
layer that is divided into experts it is `L.E.N`, with its expert and its number among that expert's
neurons; `L.N`, with its number in the whole layer, means it too. A list
has commas or blanks between neurons. A neuron of a certain model is `MODEL/L.N` or `MODEL L.N`.
Layers are `0-3,7,-1`: numbers, and ranges with both ends; negative ones count from the last layer.

Digits are those of ASCII: an Arabic `٣١` is no number here. A number is at most what a column of
the database can hold; a longer one is refused in one line, however long it is. Whether a model has
such a neuron is not asked here.
"""

import re
from typing import Final, NamedTuple

from neurondb.errors import UsageError

LARGEST_NUMBER: Final = 2**63 - 1
"""The largest integer that a column holds."""

_NUMBER: Final = re.compile(r"[0-9]{1,19}")
_NUMBERS: Final = r"([0-9]{1,19})\.([0-9]{1,19})(?:\.([0-9]{1,19}))?"
_NEURON: Final = re.compile(_NUMBERS)
_NEURON_AT_END: Final = re.compile(rf"{_NUMBERS}\Z")
_LAYERS: Final = re.compile(r"(-?[0-9]{1,4})(?:(?:-|\.\.)(-?[0-9]{1,4}))?")
_SEPARATORS: Final = re.compile(r"[,\s]+")
_LONGEST_QUOTE: Final = 80
"""Characters of a wrong text that a message repeats."""


class NeuronPlace(NamedTuple):
    """A neuron's place in a model: its layer, and its number there, both from 0.

    With an expert, `neuron` is the number among the neurons of that expert.
    """

    layer: int
    neuron: int
    expert: int | None = None

    @property
    def name(self) -> str:
        """The neuron as people write it, `L.N` or `L.E.N`."""
        if self.expert is None:
            return f"{self.layer}.{self.neuron}"
        return f"{self.layer}.{self.expert}.{self.neuron}"


class NamedNeuron(NamedTuple):
    """A neuron, and the name of its model; None where the text has none."""

    model: str | None
    place: NeuronPlace


def match_number(text: str) -> int | None:
    """Return a layer, or any whole number from 0, in ASCII digits; None for any other text."""
    if _NUMBER.fullmatch(text) is None or int(text) > LARGEST_NUMBER:
        return None
    return int(text)


def match_neuron(text: str) -> NeuronPlace | None:
    """Return the neuron that `31.9634` or `31.5.963` names, or None for any other text.

    Blanks around it do not count.
    """
    return _place(_NEURON.fullmatch(text.strip()))


def is_expert_number(text: str) -> bool:
    """Tell whether a text is `EXPERT.NUMBER`, which says with a layer which neuron is meant."""
    return re.fullmatch(rf"{_NUMBER.pattern}\.{_NUMBER.pattern}", text) is not None


def parse_neuron(text: str) -> NeuronPlace:
    """Return the neuron that `31.9634` names.

    Raises:
        UsageError: when the text is not written so.
    """
    place = match_neuron(text)
    if place is None:
        raise UsageError(
            f"{_quote(text)} is not LAYER.NEURON, like 31.9634, nor LAYER.EXPERT.NEURON"
        )
    return place


def parse_neurons(text: str) -> tuple[NeuronPlace, ...]:
    """Return the neurons of a list such as `27.8000,26.1`, in its order; an empty text has none.

    Raises:
        UsageError: when one of them is not written as `L.N`.
    """
    return tuple(parse_neuron(part) for part in _SEPARATORS.split(text) if part)


def match_named_neuron(text: str) -> NamedNeuron | None:
    """Return the neuron that `MODEL/31.9634`, `MODEL 31.9634` or `31.9634` names, or None.

    The model's name is everything before the last blank or slash, and is not looked up.
    """
    text = text.strip()
    match = _NEURON_AT_END.search(text)
    place = _place(match)
    if match is None or place is None:
        return None
    prefix = text[: match.start()]
    model = prefix.rstrip().rstrip("/").rstrip()
    if prefix and model in ("", prefix):
        return None
    return NamedNeuron(model or None, place)


def parse_layers(text: str) -> tuple[int, ...]:
    """Return the layers of a list such as `0-3,7,-1`, ranges (`0-3` or `0..3`) written out.

    Negative numbers stay as they are: only the model says which layer is the last one.

    Raises:
        UsageError: when a part is no number or range, or a range runs backwards.
    """
    return tuple(layer for part in text.split(",") for layer in _parse_layer_range(part))


def _parse_layer_range(part: str) -> range:
    match = _LAYERS.fullmatch(part.strip())
    if match is None:
        raise UsageError(f"{_quote(part)} is no layer or range of layers, like 0-3,7,-1")
    first, last = int(match[1]), int(match[2] or match[1])
    if first > last or (first < 0 <= last):
        raise UsageError(f"{_quote(part)} is no range: the smaller number goes first")
    return range(first, last + 1)


def _place(match: re.Match[str] | None) -> NeuronPlace | None:
    if match is None:
        return None
    numbers = [int(number) for number in match.groups() if number is not None]
    if max(numbers) > LARGEST_NUMBER:
        return None
    return NeuronPlace(numbers[0], numbers[-1], numbers[1] if len(numbers) > 2 else None)


def _quote(text: str) -> str:
    return repr(text if len(text) <= _LONGEST_QUOTE else f"{text[:_LONGEST_QUOTE]}…")
