"""Bars over values in characters, with a mark on the height and on the place of a clean run."""

import math
from collections.abc import Sequence
from typing import Final, NamedTuple

from rich.text import Text

from neurondb.render.numbers import compact

HEIGHT: Final = 6
"""Rows of a plot."""
_EIGHTHS: Final = " ▁▂▃▄▅▆▇█"
_AXIS_CELLS: Final = 8
_WIDEST_BAR: Final = 3
_DOTS: Final = "┈"


class Marks(NamedTuple):
    """What a clean run has: the height of its bar, and where it would stand, if known."""

    height: float
    place: float | None


def bar_plot(places: Sequence[float], heights: Sequence[float], marks: Marks, width: int) -> Text:
    """Return a plot: a bar for each place, or for some of them where there are too many.

    Args:
        places: ascending.
        heights: from 0; NaN has no bar.
        marks: drawn as a dotted line, and as a triangle below.
        width: cells of a line.
    """
    room = max(1, width - _AXIS_CELLS - 1)
    chosen = _chosen(len(places), room)
    cells = max(1, min(_WIDEST_BAR, room // len(chosen)))
    shown = [heights[i] if math.isfinite(heights[i]) else 0.0 for i in chosen]
    highest = max([*shown, marks.height]) or 1.0
    plot = Text()
    clean_row = min(HEIGHT, max(1, math.ceil(marks.height / highest * HEIGHT)))
    for row in range(HEIGHT, 0, -1):
        label = compact(highest) if row == HEIGHT else "clean" if row == clean_row else ""
        plot.append(label.rjust(_AXIS_CELLS - 1) + " ", "faint")
        for height in shown:
            cell = _cell(height, highest, row)
            if cell == " " and row == clean_row:
                plot.append(_DOTS * cells, "faint")
            else:
                plot.append(cell * cells, "region")
        plot.append("\n")
    of_axis = _axis([places[i] for i in chosen], marks.place, cells, room)
    return plot.append(of_axis, "faint")


def _chosen(n: int, room: int) -> list[int]:
    """Return which of n values have a bar: the first, the last, and as many between as fit."""
    if n <= room:
        return list(range(n))
    return sorted({round(i * (n - 1) / (room - 1)) for i in range(room)}) if room > 1 else [0]


def _cell(height: float, highest: float, row: int) -> str:
    eighths = max(1, round(height / highest * HEIGHT * 8)) if height > 0 else 0
    return _EIGHTHS[min(8, max(0, eighths - 8 * (row - 1)))]


def _axis(places: Sequence[float], mark: float | None, cells: int, room: int) -> str:
    """Return the numbers below the first and last bar and zero, and the mark of the clean run."""
    numbers = ""
    nearest_zero = min(range(len(places)), key=lambda i: abs(places[i]))
    for i in sorted({0, nearest_zero, len(places) - 1}):
        text = f"{places[i]:g}"
        left = min(i * cells, max(0, room - len(text)))
        if not numbers or left >= len(numbers) + 2:
            numbers = numbers.ljust(left) + text
    lines = [" " * _AXIS_CELLS + numbers]
    if mark is not None and places[0] <= mark <= places[-1]:
        at = min(range(len(places)), key=lambda i: abs(places[i] - mark)) * cells
        said = f"{compact(mark)}, clean"
        fits = at + 2 + len(said) <= room
        line = " " * at + f"▲ {said}" if fits else f"{said} ▲".rjust(at + 1)
        lines.append(" " * _AXIS_CELLS + line)
    return "\n".join(lines)
