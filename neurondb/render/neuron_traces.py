"""Tokens coloured by what a neuron does there: orange above zero, blue below.

The pair is told apart by people who see no red or no green. Both hues get stronger in three steps:
coloured letters, a light ground, a strong ground; so the steps have one order on dark and on light
terminals.
"""

import math
from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Final

from rich.text import Text

from neurondb.reading.examples import Example
from neurondb.reading.excerpts import Excerpt
from neurondb.reading.traces import Trace

STEPS: Final = ((1 / 2, "½"), (1 / 4, "¼"), (1 / 8, "⅛"))
"""From which share of the largest value on a step begins, the strongest first."""
POSITIVE: Final = ("bold color(16) on color(208)", "color(16) on color(215)", "color(166)")
NEGATIVE: Final = ("bold color(231) on color(26)", "color(16) on color(110)", "color(32)")


def largest(examples: Iterable[Example]) -> float:
    """Return the largest |hook_post| of all traces; 0 where there is none."""
    values = (v for one in examples if one.trace is not None for v in one.trace.hook_post)
    return max((abs(v) for v in values if math.isfinite(v)), default=0.0)


def shade(value: float, scale: float) -> str:
    """Return the style of a value; none near zero, or where it is NaN."""
    styles = POSITIVE if value > 0 else NEGATIVE
    for (share, _), style in zip(STEPS, styles, strict=True):
        if scale > 0 and abs(value) >= share * scale:
            return style
    return ""


def shades(excerpt: Excerpt, trace: Trace | None, scale: float) -> list[str]:
    """Return the style of each character of before, peak and after."""
    if trace is None or excerpt.first is None:
        return [""] * len(excerpt.before + (excerpt.peak or "") + excerpt.after)
    found = []
    for place, text in enumerate(excerpt.tokens, start=excerpt.first - trace.start):
        there = 0 <= place < len(trace.hook_post)
        found += [shade(trace.hook_post[place], scale) if there else ""] * len(text)
    return found


def paint(shown: Text, lengths: Sequence[int], styles: Sequence[str], *, from_end: bool) -> Text:
    """Colour a text in which characters take `lengths` places each, from its start or its end."""
    pieces = list(zip(lengths, styles, strict=True))
    place = len(shown) - sum(lengths) if from_end else 0
    for style, run in groupby(pieces, key=lambda piece: piece[1]):
        end = place + sum(length for length, _ in run)
        if style and end > 0:
            shown.stylize(style, max(place, 0), end)
        place = end
    return shown


def legend(of: str) -> Text:
    """Return the line that says which colours stand for which share of the largest value."""
    line = Text(f"  hook_post of each token ÷ {of}: ", "faint")
    line = Text.assemble(line, " ")
    for (_, name), style in zip(STEPS, NEGATIVE, strict=True):
        line.append(f" -{name} ", style)
    line.append(" 0 ", "faint")
    for (_, name), style in reversed(list(zip(STEPS, POSITIVE, strict=True))):
        line.append(f" {name} ", style)
    return line
