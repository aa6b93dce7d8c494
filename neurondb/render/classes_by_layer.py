"""The read-write classes of every layer as a bar of characters, for a terminal."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Final

from rich.text import Text

from neurondb.reading.figure_rows.classes import ClassCount

REST: Final = "orthogonal output"
"""The class of most neurons, which the bars leave out."""
MARKS: Final = {
    "strengthening": "S",
    "atypical strengthening": "s",
    "conditional strengthening": "C",
    "atypical conditional strengthening": "c",
    "proportional change": "P",
    "atypical proportional change": "p",
    "weakening": "W",
    "atypical weakening": "w",
    "conditional weakening": "K",
    "atypical conditional weakening": "k",
    "undefined": "?",
}
"""What a class is drawn with, in the order from left to right; colours come on top."""
_BESIDE: Final = len("layer  ") + len("  100%  of which weakening 9,999")


def classes_by_layer(counts: Iterable[ClassCount], colours: Mapping[str, str], width: int) -> Text:
    """Return a bar a layer: its neurons whose output is not orthogonal to what they read.

    The longest bar is as wide as there is room; beside each stands the share of the layer's neurons
    that it is of, and how many are weakening.

    Args:
        counts: of every layer.
        colours: Read-write class → colour.
        width: cells of a line.
    """
    layers: dict[int, dict[str, int]] = defaultdict(dict)
    for one in counts:
        layers[one.layer][one.class_name] = one.n
    shares = {layer: _shares(of) for layer, of in layers.items()}
    longest = max((sum(of.values()) for of in shares.values()), default=0.0)
    room = max(10, width - _BESIDE)
    picture = Text(no_wrap=True)
    for layer, of in shares.items():
        picture.append(f"{layer:>5}  ", "faint")
        bar = _bar(of, room / longest if longest else 0.0, colours)
        picture.append(bar).append(" " * (room - len(bar)))
        n = layers[layer].get("weakening", 0)
        picture.append(f"  {sum(of.values()):>4.0%}  of which weakening {n:,}\n", "faint")
    picture.append(_legend({name for of in shares.values() for name in of}, colours, width))
    return picture


def _shares(of: Mapping[str, int]) -> dict[str, float]:
    n = sum(of.values())
    return {name: of[name] / n for name in MARKS if name in of}


def _bar(shares: Mapping[str, float], cells: float, colours: Mapping[str, str]) -> Text:
    """Return the classes side by side; ends are rounded, so that errors do not add up."""
    bar, end = Text(), 0.0
    for name, share in shares.items():
        end += share * cells
        bar.append(MARKS[name] * (round(end) - len(bar)), _style(name, colours))
    return bar


def _legend(shown: set[str], colours: Mapping[str, str], width: int) -> Text:
    named = [name for name in MARKS if name in shown]
    entries = [Text.assemble((MARKS[one], _style(one, colours)), f" {one}") for one in named]
    lines = [Text()]
    for entry in [*entries, Text(f"(left out: {REST})", "faint")]:
        if len(lines[-1]) and len(lines[-1]) + 2 + len(entry) > width:
            lines.append(Text())
        lines[-1].append("  " if len(lines[-1]) else "").append(entry)
    return Text("\n").join(lines)


def _style(name: str, colours: Mapping[str, str]) -> str:
    colour = colours.get(name)
    return f"{colour} on {colour}" if colour else ""
