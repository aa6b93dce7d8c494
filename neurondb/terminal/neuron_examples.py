"""A neuron's top examples, one line each, the peaks in one column, tokens coloured by activation.

Orange is above zero, blue below: people who see no red or no green tell the pair apart. Both hues
get stronger in three steps (coloured letters, a light ground, a strong ground), so that the steps
have one order on dark and on light terminals.
"""

import math
import unicodedata
from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Final, NamedTuple

from rich.cells import cell_len
from rich.console import Group, RenderableType
from rich.text import Text

from neurondb.formatting.numbers import format_signed
from neurondb.formatting.text import ELLIPSIS, format_token, keep_end, keep_start, make_visible
from neurondb.reading.examples import ControlList, Example, ExampleList
from neurondb.reading.excerpts import Excerpt
from neurondb.reading.traces import Trace

# --- examples -------------------------------------------------------------------------------

LEADING: Final = "largest |hook_post| of all cases"
BOS_ONLY: Final = "every peak stands at position 0: this says something about BOS, not about text"

_PEAK_CELLS: Final = 24
_BEFORE: Final = 0.45
"""Share of the line that stands before the peak."""


class _Block(NamedTuple):
    """Examples under their heading; `scale` is the value of the strongest colour."""

    heading: Text
    examples: Sequence[Example]
    scale: float


def draw_examples(lists: Sequence[ExampleList], width: int, *, marks: bool) -> RenderableType:
    """Return each list's examples under its sign case.

    Args:
        lists: the lists, in the order to show them.
        width: cells of a line.
        marks: enclose the peak in «…», where no style can set it off; without them tokens are
            coloured where their values are stored.
    """
    blocks = []
    for example_list in lists:
        heading = Text(f"  {example_list.sign_case}")
        if example_list.leading:
            heading.append(f"  {LEADING}", "faint")
        if not example_list.examples:
            heading.append("  no example stored", "faint")
        elif example_list.bos_only:
            heading.append(f"  {BOS_ONLY}", "faint")
        blocks.append(
            _Block(heading, example_list.examples, find_largest_value(example_list.examples))
        )
    return _draw_blocks(blocks, width, marks=marks, scale="the largest in its list")


def draw_controls(lists: Sequence[ControlList], width: int, *, marks: bool) -> RenderableType:
    """Return each list's examples under its kind; their colours are of one scale."""
    scale = find_largest_value(
        example for example_list in lists for example in example_list.examples
    )
    blocks = [
        _Block(Text(f"  {example_list.kind}"), example_list.examples, scale)
        for example_list in lists
    ]
    return _draw_blocks(blocks, width, marks=marks, scale="the largest here")


def _draw_blocks(
    blocks: Sequence[_Block], width: int, *, marks: bool, scale: str
) -> RenderableType:
    examples = [example for block in blocks for example in block.examples]
    values = max((len(_format_value(example)) for example in examples), default=0)
    places = max((len(_format_place(example)) for example in examples), default=0)
    parts: list[RenderableType] = []
    for block in blocks:
        parts.append(block.heading)
        for example in block.examples:
            line = Text(f"  {_format_value(example):>{values}}  ")
            line.append(f"{_format_place(example):<{places}}  ", "faint")
            styles = choose_shades(example.excerpt, None if marks else example.trace, block.scale)
            cells = width - line.cell_len
            parts.append(
                line.append_text(draw_excerpt(example.excerpt, cells, marks=marks, styles=styles))
            )
    if not marks and any(example.trace is not None for example in examples):
        parts.append(draw_shade_legend(scale))
    return Group(*parts)


def _format_value(example: Example) -> str:
    return format_signed(example.value, 3)


def _format_place(example: Example) -> str:
    text = "?" if example.ordinal is None else str(example.ordinal)
    return f"text {text}" if example.position is None else f"text {text} @ {example.position}"


def draw_excerpt(
    excerpt: Excerpt, cells: int, *, marks: bool, styles: Sequence[str] | None = None
) -> Text:
    """Return an excerpt in one line, the peak at 45% of it; without a peak from its left end.

    Args:
        excerpt: the text before the peak, the peak's token and the text after it.
        cells: columns that the line takes at most.
        marks: enclose the peak in «…».
        styles: one for each character of before, peak and after; none if None.
    """
    if excerpt.peak is None:
        return Text(keep_start(f"(tokens not stored) {excerpt.after}", cells), "faint")
    start, end = len(excerpt.before), len(excerpt.before) + len(excerpt.peak)
    styles = styles or [""] * (end + len(excerpt.after))
    cells_before = round(cells * _BEFORE)
    peak = format_token(excerpt.peak, min(_PEAK_CELLS, cells // 3))
    text_before = (
        keep_end(excerpt.before, cells_before)
        if excerpt.starts
        else _keep_end_cut(excerpt.before, cells_before)
    )
    line = Text(" " * (cells_before - cell_len(text_before)) + text_before)
    line = colour_characters(
        line, _count_shown_characters(excerpt.before), styles[:start], from_end=True
    )
    # Reverse video would swap the colours of a ground.
    strongest = next(filter(None, styles[start:end]), None)
    line.append(f"«{peak}»" if marks else peak, "peak" if strongest is None else "underline bold")
    if strongest is not None:
        line.stylize(strongest, len(line) - len(peak))
    cells_after = cells - cells_before - cell_len(peak) - 2 * marks
    text_after = Text(keep_start(excerpt.after + ("" if excerpt.ends else ELLIPSIS), cells_after))
    return line.append_text(
        colour_characters(
            text_after, _count_shown_characters(excerpt.after), styles[end:], from_end=False
        )
    )


def _count_shown_characters(text: str) -> list[int]:
    """Return how many characters each one of a text takes when the text is made visible."""
    alone = [len(make_visible(character)) for character in text]
    # Only in front does a combining mark get a circle to sit on.
    marks = [bool(unicodedata.combining(character)) for character in text[1:]]
    return alone[:1] + [n - mark for n, mark in zip(alone[1:], marks, strict=True)]


def _keep_end_cut(text: str, cells: int) -> str:
    return keep_end(ELLIPSIS + text, cells)


# --- colours of tokens ----------------------------------------------------------------------

STEPS: Final = ((1 / 2, "½"), (1 / 4, "¼"), (1 / 8, "⅛"))
"""From which share of the largest value on a step begins, the strongest first."""
POSITIVE: Final = ("bold color(16) on color(208)", "color(16) on color(215)", "color(166)")
NEGATIVE: Final = ("bold color(231) on color(26)", "color(16) on color(110)", "color(32)")


def find_largest_value(examples: Iterable[Example]) -> float:
    """Return the largest |hook_post| of all traces; 0 where there is none."""
    values = (
        v for example in examples if example.trace is not None for v in example.trace.hook_post
    )
    return max((abs(v) for v in values if math.isfinite(v)), default=0.0)


def choose_shade(value: float, scale: float) -> str:
    """Return the style of a value; none near zero, or where it is NaN."""
    styles = POSITIVE if value > 0 else NEGATIVE
    for (share, _), style in zip(STEPS, styles, strict=True):
        if scale > 0 and abs(value) >= share * scale:
            return style
    return ""


def choose_shades(excerpt: Excerpt, trace: Trace | None, scale: float) -> list[str]:
    """Return the style of each character of an excerpt's before, peak and after.

    A character of a token outside the trace, or of an excerpt without one, has none.
    """
    if trace is None or excerpt.first is None:
        return [""] * len(excerpt.before + (excerpt.peak or "") + excerpt.after)
    styles = []
    for place, text in enumerate(excerpt.tokens, start=excerpt.first - trace.start):
        in_trace = 0 <= place < len(trace.hook_post)
        styles += [choose_shade(trace.hook_post[place], scale) if in_trace else ""] * len(text)
    return styles


def colour_characters(
    line: Text, lengths: Sequence[int], styles: Sequence[str], *, from_end: bool
) -> Text:
    """Colour a text whose characters stand for those of another one, and return it.

    Args:
        line: the text, cut at one end at most.
        lengths: how many characters of it each character of the other text takes.
        styles: the style of each character of the other text.
        from_end: whether the two texts agree at their ends rather than their starts.
    """
    pieces = list(zip(lengths, styles, strict=True))
    place = len(line) - sum(lengths) if from_end else 0
    for style, run in groupby(pieces, key=lambda piece: piece[1]):
        end = place + sum(length for length, _ in run)
        if style and end > 0:
            line.stylize(style, max(place, 0), end)
        place = end
    return line


def draw_shade_legend(scale_name: str) -> Text:
    """Return the line that says which colours stand for which share of the largest value."""
    line = Text(f"  hook_post of each token ÷ {scale_name}: ", "faint")
    line = Text.assemble(line, " ")
    for (_, name), style in zip(STEPS, NEGATIVE, strict=True):
        line.append(f" -{name} ", style)
    line.append(" 0 ", "faint")
    for (_, name), style in reversed(list(zip(STEPS, POSITIVE, strict=True))):
        line.append(f" {name} ", style)
    return line
