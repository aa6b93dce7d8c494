"""A neuron's histograms, one line of block characters a quantity, zero in one column."""

import math
from collections.abc import Sequence
from typing import Final, NamedTuple

from rich.cells import cell_len
from rich.console import Group, RenderableType
from rich.text import Text

from neurondb.reading.histograms import Histograms
from neurondb.render.neuron_cosines import AXIS
from neurondb.render.numbers import compact
from neurondb.render.text import packed

QUANTITIES: Final = ("hook_post", "hook_pre")
_HEIGHTS: Final = "▁▂▃▄▅▆▇█"
_INDENT: Final = "  "


class _Side(NamedTuple):
    """What lies on one side of zero, outwards: tokens a cell, and the far edge of the last."""

    counts: Sequence[int]
    end: str


class _Row(NamedTuple):
    """A quantity's name, what is below zero and what above."""

    name: str
    below: _Side
    above: _Side


def histogram_rows(histograms: Histograms, width: int) -> RenderableType | None:
    """Return a line each for hook_post and hook_pre, and what they show; None without tokens.

    A cell is half an octave of values, or a whole one where the terminal is too narrow.
    """
    lines, cell = _lines(_rows(histograms, pairs=False)), "two cells an octave"
    if any(line.cell_len > width for line in lines):
        lines, cell = _lines(_rows(histograms, pairs=True)), "a cell an octave"
    if not lines:
        return None
    said = (
        f"outwards from 0 {AXIS} {cell}",
        "heights: log(1 + tokens)",
        f"1 position in {histograms.stride}",
    )
    legend = packed(said, width - len(_INDENT)).replace("\n", f"\n{_INDENT}")
    return Group(*lines, Text(_INDENT + legend, "faint"))


def _rows(histograms: Histograms, *, pairs: bool) -> list[_Row]:
    half = len(histograms.edges) // 2
    outwards = histograms.edges[half + 1 :]
    return [
        _Row(
            one.quantity,
            _side(one.counts[half::-1], outwards, "-", pairs=pairs),
            _side(one.counts[half + 1 :], outwards, "", pairs=pairs),
        )
        for one in histograms.quantities
        if one.quantity in QUANTITIES and any(one.counts)
    ]


def _side(counts: Sequence[int], edges: Sequence[float], sign: str, *, pairs: bool) -> _Side:
    if pairs:  # of the cells between the innermost and the open one
        inner = [sum(counts[i : i + 2]) for i in range(1, len(counts) - 1, 2)]
        counts, edges = [counts[0], *inner, counts[-1]], edges[::2]
    n = max((place for place, count in enumerate(counts, start=1) if count), default=0)
    if n == 0:
        return _Side((), "0")
    if n > len(edges):
        beyond = "<" if sign else ">"
        return _Side(counts, f"{beyond}{sign}{edges[-1]:g}")
    return _Side(counts[:n], f"{sign}{compact(edges[n - 1])}")


def _lines(rows: Sequence[_Row]) -> list[Text]:
    names = max((len(row.name) for row in rows), default=0)
    left = max((len(row.below.counts) + 1 + cell_len(row.below.end) for row in rows), default=0)
    lines = []
    for row in rows:
        top = max((*row.below.counts, *row.above.counts))
        below = "".join(_height(count, top) for count in reversed(row.below.counts))
        above = "".join(_height(count, top) for count in row.above.counts)
        gap = " " * (left - len(below) - 1 - len(row.below.end))
        line = Text(f"{_INDENT}{row.name:<{names}}  {gap}")
        line.append(f"{row.below.end} ", "faint").append(below, "region").append(AXIS, "faint")
        lines.append(line.append(above, "region").append(f" {row.above.end}", "faint"))
    return lines


def _height(count: int, top: int) -> str:
    if count == 0:
        return " "
    return _HEIGHTS[math.ceil(len(_HEIGHTS) * math.log1p(count) / math.log1p(top)) - 1]
