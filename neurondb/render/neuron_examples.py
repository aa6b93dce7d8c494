"""A neuron's top examples, one line each, the peaks in one column."""

import unicodedata
from collections.abc import Sequence
from typing import Final, NamedTuple

from rich.cells import cell_len
from rich.console import Group, RenderableType
from rich.text import Text

from neurondb.reading.controls import ControlList
from neurondb.reading.examples import Example, ExampleList
from neurondb.reading.excerpts import Excerpt
from neurondb.render.neuron_activations import DOMINANT
from neurondb.render.neuron_traces import largest, legend, paint, shades
from neurondb.render.numbers import signed
from neurondb.render.text import ELLIPSIS, head, tail, token, visible

BOS_ONLY: Final = "every peak stands at position 0: this says something about BOS, not about text"

_PEAK_CELLS: Final = 24
_BEFORE: Final = 0.45
"""Share of the line that stands before the peak."""


class _Block(NamedTuple):
    """Examples under their heading; `scale` is the value of the strongest colour."""

    heading: Text
    examples: Sequence[Example]
    scale: float


def example_lines(lists: Sequence[ExampleList], width: int, *, marks: bool) -> RenderableType:
    """Return each list's examples under its sign case.

    Args:
        lists: the lists, in the order to show them.
        width: cells of a line.
        marks: enclose the peak in «…», where no style can set it off; without them tokens are
            coloured where their values are stored.
    """
    blocks = []
    for one in lists:
        mark, style = (DOMINANT, "name") if one.leading else (" ", "")
        heading = Text.assemble((f"{mark} {one.sign_case}", style))
        if not one.examples:
            heading.append("  no example stored", "faint")
        elif one.bos_only:
            heading.append(f"  {BOS_ONLY}", "faint")
        blocks.append(_Block(heading, one.examples, largest(one.examples)))
    return _lines(blocks, width, marks=marks, scale="the largest in its list")


def control_lines(lists: Sequence[ControlList], width: int, *, marks: bool) -> RenderableType:
    """Return each list's examples under its kind; their colours are of one scale."""
    scale = largest(example for one in lists for example in one.examples)
    blocks = [_Block(Text(f"  {one.kind}"), one.examples, scale) for one in lists]
    return _lines(blocks, width, marks=marks, scale="the largest here")


def _lines(blocks: Sequence[_Block], width: int, *, marks: bool, scale: str) -> RenderableType:
    examples = [example for block in blocks for example in block.examples]
    values = max((len(_value(example)) for example in examples), default=0)
    places = max((len(_place(example)) for example in examples), default=0)
    parts: list[RenderableType] = []
    for block in blocks:
        parts.append(block.heading)
        for one in block.examples:
            line = Text(f"  {_value(one):>{values}}  ")
            line.append(f"{_place(one):<{places}}  ", "faint")
            styles = shades(one.excerpt, None if marks else one.trace, block.scale)
            cells = width - line.cell_len
            parts.append(
                line.append_text(excerpt_line(one.excerpt, cells, marks=marks, styles=styles))
            )
    if not marks and any(example.trace is not None for example in examples):
        parts.append(legend(scale))
    return Group(*parts)


def _value(example: Example) -> str:
    return signed(example.value, 3)


def _place(example: Example) -> str:
    text = "?" if example.ordinal is None else str(example.ordinal)
    return f"text {text} @ {example.position}"


def excerpt_line(
    excerpt: Excerpt, cells: int, *, marks: bool, styles: Sequence[str] | None = None
) -> Text:
    """Return an excerpt in one line, the peak at 45% of it; without a peak from its left end.

    `styles` has one for each character of before, peak and after.
    """
    if excerpt.peak is None:
        return Text(head(f"(tokens not stored) {excerpt.after}", cells), "faint")
    start, end = len(excerpt.before), len(excerpt.before) + len(excerpt.peak)
    styles = styles or [""] * (end + len(excerpt.after))
    before = round(cells * _BEFORE)
    peak = token(excerpt.peak, min(_PEAK_CELLS, cells // 3))
    left = tail(excerpt.before, before) if excerpt.starts else _cut_left(excerpt.before, before)
    line = Text(" " * (before - cell_len(left)) + left)
    line = paint(line, _lengths(excerpt.before), styles[:start], from_end=True)
    # Reverse video would swap the colours of a ground.
    strongest = next(filter(None, styles[start:end]), None)
    line.append(f"«{peak}»" if marks else peak, "peak" if strongest is None else "underline bold")
    if strongest is not None:
        line.stylize(strongest, len(line) - len(peak))
    right = cells - before - cell_len(peak) - 2 * marks
    after = Text(head(excerpt.after + ("" if excerpt.ends else ELLIPSIS), right))
    return line.append_text(paint(after, _lengths(excerpt.after), styles[end:], from_end=False))


def _lengths(text: str) -> list[int]:
    """Return how many characters each one takes when the text is made visible."""
    alone = [len(visible(one)) for one in text]
    # Only in front does a combining mark get a circle to sit on.
    marks = [bool(unicodedata.combining(one)) for one in text[1:]]
    return alone[:1] + [n - mark for n, mark in zip(alone[1:], marks, strict=True)]


def _cut_left(text: str, cells: int) -> str:
    return tail(ELLIPSIS + text, cells)
