"""Charts in characters: bars over values, curves and peaks over layers, classes of each layer.

`draw_bars` shows a quantity over clamped values, `draw_curves` rates over layers, `draw_peaks` the
largest neuron of each layer with its name, and `draw_classes_by_layer` the read-write classes.
Each keeps to the width that it is given.
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final, NamedTuple

from rich.text import Text

from neurondb.formatting.numbers import format_compact
from neurondb.reading.arrays import ClassCount

_EIGHTHS: Final = " ▁▂▃▄▅▆▇█"
_AXIS_CELLS: Final = 8
"""Cells left of a plot, for the numbers of its vertical axis."""


def _write_layer_numbers(starts: Iterable[tuple[int, int]], room: int) -> str:
    """Return the line below a plot: the number of a layer at its cell, as many as do not touch.

    Args:
        starts: the layer and the first cell of each column.
        room: cells of the line.
    """
    line = ""
    for layer, column in starts:
        number = str(layer)
        if column == 0 or len(line) + 2 <= column <= room - len(number):
            line = line.ljust(column) + number
    return line


# --- bars over values ----------------------------------------------------------------------

BAR_ROWS: Final = 6
"""Rows of a plot of bars."""
_WIDEST_BAR: Final = 3
_DOTS: Final = "┈"


class CleanRun(NamedTuple):
    """What a clean run has: the height of its bar, and where it would stand, if known."""

    height: float
    place: float | None


def draw_bars(
    places: Sequence[float], heights: Sequence[float], clean: CleanRun, width: int
) -> Text:
    """Return a plot with a bar for each place, or for some where there are too many.

    Args:
        places: where the bars stand, ascending.
        heights: how high they are, from 0; NaN has no bar.
        clean: the clean run, drawn as a dotted line at its height and a triangle at its place.
        width: cells of a line.
    """
    room = max(1, width - _AXIS_CELLS - 1)
    bar_places = _choose_evenly(len(places), room)
    cells = max(1, min(_WIDEST_BAR, room // len(bar_places)))
    bar_heights = [heights[i] if math.isfinite(heights[i]) else 0.0 for i in bar_places]
    highest = max([*bar_heights, clean.height]) or 1.0
    plot = Text()
    clean_row = min(BAR_ROWS, max(1, math.ceil(clean.height / highest * BAR_ROWS)))
    for row in range(BAR_ROWS, 0, -1):
        label = format_compact(highest) if row == BAR_ROWS else "clean" if row == clean_row else ""
        plot.append(label.rjust(_AXIS_CELLS - 1) + " ", "faint")
        for height in bar_heights:
            cell = _draw_bar_cell(height, highest, row)
            if cell == " " and row == clean_row:
                plot.append(_DOTS * cells, "faint")
            else:
                plot.append(cell * cells, "region")
        plot.append("\n")
    axis = _draw_value_axis([places[i] for i in bar_places], clean.place, cells, room)
    return plot.append(axis, "faint")


def _choose_evenly(n: int, room: int) -> list[int]:
    """Return which of n values have a bar: the first, the last, and as many between as fit."""
    if n <= room:
        return list(range(n))
    return sorted({round(i * (n - 1) / (room - 1)) for i in range(room)}) if room > 1 else [0]


def _draw_bar_cell(height: float, highest: float, row: int) -> str:
    eighths = max(1, round(height / highest * BAR_ROWS * 8)) if height > 0 else 0
    return _EIGHTHS[min(8, max(0, eighths - 8 * (row - 1)))]


def _draw_value_axis(places: Sequence[float], mark: float | None, cells: int, room: int) -> str:
    """Return the numbers below the first and last bar and zero, and the mark of the clean run."""
    numbers = ""
    nearest_zero = min(range(len(places)), key=lambda i: abs(places[i]))
    for i in sorted({0, nearest_zero, len(places) - 1}):
        text = f"{places[i]:g}"
        column = min(i * cells, max(0, room - len(text)))
        if not numbers or column >= len(numbers) + 2:
            numbers = numbers.ljust(column) + text
    lines = [" " * _AXIS_CELLS + numbers]
    if mark is not None and places[0] <= mark <= places[-1]:
        at = min(range(len(places)), key=lambda i: abs(places[i] - mark)) * cells
        label = f"{format_compact(mark)}, clean"
        fits = at + 2 + len(label) <= room
        line = " " * at + f"▲ {label}" if fits else f"{label} ▲".rjust(at + 1)
        lines.append(" " * _AXIS_CELLS + line)
    return "\n".join(lines)


# --- curves over layers --------------------------------------------------------------------

CURVE_ROWS: Final = 10
"""Rows of a plot of curves."""
_WIDEST_POINT: Final = 6


class Curve(NamedTuple):
    """A curve: its values, the sign and the style of its points."""

    values: Sequence[float]
    sign: str
    style: str


def draw_curves(curves: Mapping[str, Curve], width: int) -> Text:
    """Return a plot of curves over 0, 1, 2, …; where there is no room for all, the first is seen.

    Args:
        curves: name → curve, all of one length; NaN has no point.
        width: cells of a line.
    """
    n = max(len(curve.values) for curve in curves.values())
    finite = [v for curve in curves.values() for v in curve.values if math.isfinite(v)]
    if not finite:
        return Text("nothing to draw", "faint")
    low, high = min(finite), max(finite)
    room = max(1, width - _AXIS_CELLS - 1)
    layers_per_point = -(-n // room)
    cells = max(1, min(_WIDEST_POINT, room // -(-n // layers_per_point)))
    columns = range(0, n, layers_per_point)
    plot = Text()
    for row in range(CURVE_ROWS - 1, -1, -1):
        plot.append(_label_curve_row(row, low, high).rjust(_AXIS_CELLS - 1) + " ", "faint")
        for column in columns:
            for sign, style in _draw_points(curves, column, row, (low, high), cells):
                plot.append(sign, style)
        plot.append("\n")
    numbers = _write_layer_numbers(((layer, i * cells) for i, layer in enumerate(columns)), room)
    plot.append("layer".rjust(_AXIS_CELLS - 1) + " " + numbers, "faint")
    legend = "   ".join(f"{curve.sign} {name}" for name, curve in curves.items())
    return plot.append(f"\n{' ' * _AXIS_CELLS}{legend}", "faint")


def _draw_points(
    curves: Mapping[str, Curve], column: int, row: int, range_: tuple[float, float], cells: int
) -> Iterator[tuple[str, str]]:
    """Yield what stands in a row above a column: curves side by side where there is room."""
    curves_here = [
        curve
        if math.isfinite(curve.values[column]) and _find_row(curve.values[column], *range_) == row
        else None
        for curve in curves.values()
    ]
    if cells <= len(curves_here):
        curves_here = [next((curve for curve in curves_here if curve is not None), None)]
    yield from ((" ", "") if curve is None else (curve.sign, curve.style) for curve in curves_here)
    yield " " * (cells - len(curves_here)), ""


def _find_row(value: float, low: float, high: float) -> int:
    return round((value - low) / (high - low) * (CURVE_ROWS - 1)) if high > low else CURVE_ROWS // 2


def _label_curve_row(row: int, low: float, high: float) -> str:
    if high == low:
        return format_compact(low) if row == CURVE_ROWS // 2 else ""
    ends = {CURVE_ROWS - 1: high, 0: low}
    return format_compact(ends[row]) if row in ends else ""


# --- peaks over layers ---------------------------------------------------------------------

_PEAK_ROWS: Final = 7
_WIDEST_PEAK: Final = 6
_MOST_NAMES: Final = 3
"""Tallest peaks that bear their name where there is room for it."""


class Peak(NamedTuple):
    """The largest neuron of a layer: its name, and how high it stands."""

    name: str
    height: float


class _Bar(NamedTuple):
    """A column of the plot: the cell where it begins, and the tallest peak of its layers."""

    left: int
    peak: Peak | None


def draw_peaks(peaks: Sequence[Peak | None], width: int) -> Text:
    """Return a bar for each layer, the tallest ones named, or for several layers if too many.

    Args:
        peaks: by layer; None is a layer without one. At least one layer has a peak.
        width: cells of a line.
    """
    room = max(1, width - _AXIS_CELLS - 1)
    layers_per_bar = -(-len(peaks) // room)
    groups = [peaks[i : i + layers_per_bar] for i in range(0, len(peaks), layers_per_bar)]
    cells = max(1, min(_WIDEST_PEAK, room // len(groups)))
    bars = [_Bar(i * cells, _find_tallest(group)) for i, group in enumerate(groups)]
    highest = max(bar.peak.height for bar in bars if bar.peak is not None)
    names = _place_names(bars, highest, cells, room)
    plot = Text()
    for row in range(_PEAK_ROWS, 0, -1):
        plot.append(_label_peak_row(row, highest).rjust(_AXIS_CELLS - 1) + " ", "faint")
        line = "".join(
            _draw_peak_cell(bar, row, highest) * max(1, cells - 1) + " " * (cells > 1)
            for bar in bars
        )
        at = 0
        for start, name in names.get(row, []):
            plot.append(line[at:start], "region").append(name, "name")
            at = start + len(name)
        plot.append(line[at:].rstrip() + "\n", "region")
    starts = ((i * layers_per_bar, bar.left) for i, bar in enumerate(bars))
    numbers = _write_layer_numbers(starts, room)
    plot.append("layer".rjust(_AXIS_CELLS - 1) + " " + numbers, "faint")
    legend = f"\n{' ' * _AXIS_CELLS}{layers_per_bar} layers a bar" if layers_per_bar > 1 else ""
    return plot.append(legend, "faint")


def _find_tallest(group: Sequence[Peak | None]) -> Peak | None:
    return max((peak for peak in group if peak), key=lambda peak: peak.height, default=None)


def _count_eighths(bar: _Bar, highest: float) -> int:
    """Return the height of a bar in eighths of a cell; what is not zero shows."""
    if bar.peak is None or bar.peak.height <= 0 or highest <= 0:
        return 0
    return max(1, round(bar.peak.height / highest * _PEAK_ROWS * 8))


def _draw_peak_cell(bar: _Bar, row: int, highest: float) -> str:
    return _EIGHTHS[min(8, max(0, _count_eighths(bar, highest) - 8 * (row - 1)))]


def _label_peak_row(row: int, highest: float) -> str:
    labelled = (_PEAK_ROWS, (_PEAK_ROWS + 1) // 2)
    return format_compact(highest * row / _PEAK_ROWS) if row in labelled else ""


def _place_names(
    bars: Sequence[_Bar], highest: float, cells: int, room: int
) -> dict[int, list[tuple[int, str]]]:
    """Return row → (cell, name) of the tallest bars, where nothing stands in the way."""
    rows = [-(-_count_eighths(bar, highest) // 8) for bar in bars]
    tallest = sorted(
        (bar for bar in bars if bar.peak), key=lambda bar: -_count_eighths(bar, highest)
    )
    names_by_row: dict[int, list[tuple[int, str]]] = {}
    for bar in tallest[:_MOST_NAMES]:
        assert bar.peak is not None
        at, name = bars.index(bar), bar.peak.name
        row = rows[at]
        for start in (bar.left + cells, bar.left - len(name) - 1):
            ends = start + len(name)
            columns = range(max(0, (start - 1) // cells), min(len(bars), ends // cells + 1))
            unobstructed = all(rows[i] < row for i in columns if i != at)
            placed_in_row = names_by_row.setdefault(row, [])
            apart = all(ends < s or start > s + len(n) for s, n in placed_in_row)
            if start >= 0 and ends <= room and unobstructed and apart:
                placed_in_row.append((start, name))
                placed_in_row.sort()
                break
    return names_by_row


# --- classes of each layer -----------------------------------------------------------------

REST_CLASS: Final = "orthogonal output"
"""The class of most neurons, which the bars leave out."""
CLASS_SIGNS: Final = {
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
_CELLS_BESIDE_BAR: Final = len("layer  ") + len("  100%  of which weakening 9,999")


def draw_classes_by_layer(
    counts: Iterable[ClassCount], colours: Mapping[str, str], width: int
) -> Text:
    """Return a bar a layer: its neurons whose output is not orthogonal to what they read.

    The longest bar is as wide as there is room; beside each stands the share of the layer's neurons
    that it is of, and how many are weakening.

    Args:
        counts: how many neurons of each class there are in every layer.
        colours: read-write class → colour.
        width: cells of a line.
    """
    layers: dict[int, dict[str, int]] = defaultdict(dict)
    for count in counts:
        layers[count.layer][count.class_name] = count.n
    shares = {layer: _compute_shares(class_shares) for layer, class_shares in layers.items()}
    longest = max((sum(class_shares.values()) for class_shares in shares.values()), default=0.0)
    room = max(10, width - _CELLS_BESIDE_BAR)
    picture = Text(no_wrap=True)
    for layer, class_shares in shares.items():
        picture.append(f"{layer:>5}  ", "faint")
        bar = _draw_class_bar(class_shares, room / longest if longest else 0.0, colours)
        picture.append(bar).append(" " * (room - len(bar)))
        n = layers[layer].get("weakening", 0)
        picture.append(f"  {sum(class_shares.values()):>4.0%}  of which weakening {n:,}\n", "faint")
    class_names = {name for class_shares in shares.values() for name in class_shares}
    return picture.append(_draw_class_legend(class_names, colours, width))


def _compute_shares(counts: Mapping[str, int]) -> dict[str, float]:
    """Return the share of a layer's neurons that each class has, but for `REST_CLASS`."""
    n = sum(counts.values())
    return {name: counts[name] / n for name in CLASS_SIGNS if name in counts}


def _draw_class_bar(shares: Mapping[str, float], cells: float, colours: Mapping[str, str]) -> Text:
    """Return the classes side by side; ends are rounded, so that errors do not add up."""
    bar, end = Text(), 0.0
    for name, share in shares.items():
        end += share * cells
        bar.append(CLASS_SIGNS[name] * (round(end) - len(bar)), _choose_style(name, colours))
    return bar


def _draw_class_legend(class_names: set[str], colours: Mapping[str, str], width: int) -> Text:
    entries = [
        Text.assemble((sign, _choose_style(name, colours)), f" {name}")
        for name, sign in CLASS_SIGNS.items()
        if name in class_names
    ]
    lines = [Text()]
    for entry in [*entries, Text(f"(left out: {REST_CLASS})", "faint")]:
        if len(lines[-1]) and len(lines[-1]) + 2 + len(entry) > width:
            lines.append(Text())
        lines[-1].append("  " if len(lines[-1]) else "").append(entry)
    return Text("\n").join(lines)


def _choose_style(name: str, colours: Mapping[str, str]) -> str:
    colour = colours.get(name)
    return f"{colour} on {colour}" if colour else ""
