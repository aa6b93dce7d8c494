"""Several curves over layers in characters, each with a sign of its own."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Final, NamedTuple

from rich.text import Text

from neurondb.render.numbers import compact

HEIGHT: Final = 10
_AXIS_CELLS: Final = 8
_WIDEST: Final = 6


class Curve(NamedTuple):
    """A curve: its values, the sign and the style of its points."""

    values: Sequence[float]
    sign: str
    style: str


def curve_plot(curves: Mapping[str, Curve], width: int) -> Text:
    """Return a plot of curves over 0, 1, 2, …; where there is no room for all, the first is seen.

    Args:
        curves: name → curve, all of one length; NaN has no point.
        width: cells of a line.
    """
    n = max(len(curve.values) for curve in curves.values())
    known = [v for curve in curves.values() for v in curve.values if math.isfinite(v)]
    if not known:
        return Text("nothing to draw", "faint")
    low, high = min(known), max(known)
    room = max(1, width - _AXIS_CELLS - 1)
    a_point = -(-n // room)
    cells = max(1, min(_WIDEST, room // -(-n // a_point)))
    columns = range(0, n, a_point)
    plot = Text()
    for row in range(HEIGHT - 1, -1, -1):
        plot.append(_tick(row, low, high).rjust(_AXIS_CELLS - 1) + " ", "faint")
        for column in columns:
            for sign, style in _signs(curves, column, row, (low, high), cells):
                plot.append(sign, style)
        plot.append("\n")
    plot.append("layer".rjust(_AXIS_CELLS - 1) + " " + _labels(columns, cells, room), "faint")
    legend = "   ".join(f"{curve.sign} {name}" for name, curve in curves.items())
    return plot.append(f"\n{' ' * _AXIS_CELLS}{legend}", "faint")


def _signs(
    curves: Mapping[str, Curve], column: int, row: int, range_: tuple[float, float], cells: int
) -> Iterator[tuple[str, str]]:
    """Yield what stands in a row above a column: curves side by side where there is room."""
    here = [
        curve
        if math.isfinite(curve.values[column]) and _row(curve.values[column], *range_) == row
        else None
        for curve in curves.values()
    ]
    if cells <= len(here):
        here = [next((curve for curve in here if curve is not None), None)]
    yield from ((" ", "") if curve is None else (curve.sign, curve.style) for curve in here)
    yield " " * (cells - len(here)), ""


def _row(value: float, low: float, high: float) -> int:
    return round((value - low) / (high - low) * (HEIGHT - 1)) if high > low else HEIGHT // 2


def _tick(row: int, low: float, high: float) -> str:
    if high == low:
        return compact(low) if row == HEIGHT // 2 else ""
    return compact(high) if row == HEIGHT - 1 else compact(low) if row == 0 else ""


def _labels(columns: range, cells: int, room: int) -> str:
    line = ""
    for place, column in enumerate(columns):
        number, left = str(column), place * cells
        if left == 0 or len(line) + 2 <= left <= room - len(number):
            line = line.ljust(left) + number
    return line
