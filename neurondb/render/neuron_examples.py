"""A neuron's top examples, one line each, the peaks in one column."""

from collections.abc import Sequence
from typing import Final

from rich.cells import cell_len
from rich.console import Group, RenderableType
from rich.text import Text

from neurondb.reading.examples import Example, ExampleList
from neurondb.reading.excerpts import Excerpt
from neurondb.render.neuron_activations import DOMINANT
from neurondb.render.numbers import signed
from neurondb.render.text import ELLIPSIS, head, tail, token

_PEAK_CELLS: Final = 24
_BEFORE: Final = 0.45
"""Share of the line that stands before the peak."""


def example_lines(lists: Sequence[ExampleList], width: int, *, marks: bool) -> RenderableType:
    """Return each list's examples under its sign case.

    Args:
        lists: the lists, in the order to show them.
        width: cells of a line.
        marks: enclose the peak in «…», where no style can set it off.
    """
    examples = [example for one in lists for example in one.examples]
    values = max((len(_value(example)) for example in examples), default=0)
    places = max((len(_place(example)) for example in examples), default=0)
    parts: list[RenderableType] = []
    for one in lists:
        mark, style = (DOMINANT, "name") if one.dominant else (" ", "")
        heading = Text.assemble((f"{mark} {one.sign_case}", style))
        if not one.examples:
            heading.append("  no example stored", "faint")
        parts.append(heading)
        for example in one.examples:
            line = Text(f"  {_value(example):>{values}}  ")
            line.append(f"{_place(example):<{places}}  ", "faint")
            cells = width - line.cell_len
            parts.append(line.append_text(excerpt_line(example.excerpt, cells, marks=marks)))
    return Group(*parts)


def _value(example: Example) -> str:
    return signed(example.value, 3)


def _place(example: Example) -> str:
    text = "?" if example.ordinal is None else str(example.ordinal)
    return f"text {text} @ {example.position}"


def excerpt_line(excerpt: Excerpt, cells: int, *, marks: bool) -> Text:
    """Return an excerpt in one line, the peak at 45% of it; without a peak from its left end."""
    if excerpt.peak is None:
        return Text(head(f"(tokens not stored) {excerpt.after}", cells), "faint")
    before = round(cells * _BEFORE)
    peak = token(excerpt.peak, min(_PEAK_CELLS, cells // 3))
    left = tail(excerpt.before, before) if excerpt.starts else _cut_left(excerpt.before, before)
    line = Text(" " * (before - cell_len(left)) + left)
    line.append(f"«{peak}»" if marks else peak, "peak")
    right = cells - before - cell_len(peak) - 2 * marks
    line.append(head(excerpt.after + ("" if excerpt.ends else ELLIPSIS), right))
    return line


def _cut_left(text: str, cells: int) -> str:
    return tail(ELLIPSIS + text, cells)
