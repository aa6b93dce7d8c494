"""Tokens one after the other, coloured by a value of each, or with a bar where no colour shows."""

from collections.abc import Sequence
from typing import Final

from rich.cells import cell_len
from rich.text import Text

from neurondb.formatting.numbers import format_compact
from neurondb.formatting.text import format_token
from neurondb.terminal.neuron_examples import NEGATIVE, POSITIVE, STEPS, choose_shade

_BARS: Final = "▁▂▃▄▅▆▇█"
_TOKEN_CELLS: Final = 24


def find_scale(values: Sequence[float]) -> float:
    """Return the |value| of the strongest colour: the largest but for the first token's.

    The first token, a prefix that nothing precedes, often has values that dwarf all others.
    """
    known = [abs(value) for value in values if value == value]
    return max(known[1:], default=max(known, default=0.0))


def draw_strip(tokens: Sequence[str], values: Sequence[float], width: int, *, marks: bool) -> Text:
    """Return tokens one after the other, each with its colour or, for `marks`, a bar behind it."""
    scale = find_scale(values)
    strip, used = Text(), 0
    for token, value in zip(tokens, values, strict=True):
        shown = format_token(token, _TOKEN_CELLS)
        piece = Text(shown, "" if marks else choose_shade(value, scale))
        if marks:
            piece.append(_draw_bar(value, scale))
        cells = cell_len(piece.plain)
        if used and used + cells > width:
            strip.append("\n")
            used = 0
        strip.append_text(piece)
        used += cells
    return strip


def _draw_bar(value: float, scale: float) -> str:
    if not scale or value != value:
        return " "
    level = min(int(abs(value) / scale * len(_BARS)), len(_BARS) - 1)
    return ("-" if value < 0 else "") + _BARS[level]


def draw_strip_legend(of: str, values: Sequence[float], *, marks: bool) -> Text:
    """Return the line that says what the colours, or the bars, of a strip stand for."""
    scale = format_compact(find_scale(values))
    line = Text(f"{of} but the first token's, {scale}: ", "faint")
    if marks:
        return line.append(f"{_BARS[0]} 0 to {_BARS[-1]} 1", "faint")
    signs = [("-", NEGATIVE)] if any(value < 0 for value in values) else []
    for sign, styles in signs:
        for (_, name), style in zip(STEPS, styles, strict=True):
            line.append(f" {sign}{name} ", style)
        line.append(" 0 ", "faint")
    for (_, name), style in reversed(list(zip(STEPS, POSITIVE, strict=True))):
        line.append(f" {name} ", style)
    return line
