"""What a neuron's page says of its activations: sign cases, moments, histograms and labels.

Sign cases show as many columns as there is room for; a histogram is a line of characters outwards
from zero; labels are the parts of a dataset, one line each.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Final, NamedTuple

from rich.cells import cell_len
from rich.console import Console, Group, RenderableType
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from neurondb.formatting.numbers import format_compact, format_share, format_whole
from neurondb.formatting.text import keep_start, wrap_parts
from neurondb.reading.activations import (
    Activations,
    Histograms,
    LabelReading,
    Moments,
    SignCase,
    Spread,
)
from neurondb.terminal.console import THEME, make_table
from neurondb.terminal.neuron_weights import AXIS

# --- sign cases and moments -----------------------------------------------------------------

DOMINANT: Final = "▶"
"""Stands before the most frequent sign case, and means nothing else."""
_BAR_CELLS: Final = 10
_UNLIMITED: Final = 10_000
QUANTITIES: Final = (("post", "hook_post"), ("pre_linear", "hook_pre_linear"), ("pre", "hook_pre"))


class _Layout(NamedTuple):
    """How much of the sign cases a table shows, beside mean, minimum and maximum of hook_post.

    Attributes:
        gap: cells between columns.
        bar: cells of the share's bar.
        means: whether the means of the other quantities are shown.
        extremes: whether their minima and maxima are shown.
        missing: the line below that says what the table has no room for; `{}` are quantities.
    """

    gap: int
    bar: int
    means: bool
    extremes: bool
    missing: str | None = None


_ELSEWHERE: Final = "wider terminal or --format json"
_LAYOUTS: Final = (
    _Layout(2, _BAR_CELLS, means=True, extremes=True),
    _Layout(1, 0, means=True, extremes=True),
    _Layout(2, 0, means=True, extremes=False, missing=f"min and max of {{}}: {_ELSEWHERE}"),
    _Layout(1, 0, means=True, extremes=False, missing=f"min and max of {{}}: {_ELSEWHERE}"),
    _Layout(1, 0, means=False, extremes=False, missing=f"{{}}: {_ELSEWHERE}"),
)
"""Layouts from the one that shows the most to the least; the first that fits is used."""


def draw_activations(activations: Activations, width: int) -> RenderableType:
    """Return the sign cases, the dominant one marked, moments and histograms of pre and post."""
    parts: list[RenderableType] = []
    if activations.cases:
        parts += [*_draw_sign_cases(activations.cases, width), Text()]
    parts.append(_draw_moments(activations))
    if activations.histograms is not None:
        histograms = draw_histograms(activations.histograms, width)
        parts += [] if histograms is None else [Text(), histograms]
    return Group(*parts)


def _draw_sign_cases(cases: Sequence[SignCase], width: int) -> Iterator[RenderableType]:
    # An ungated neuron has no pre_linear: x_in is its hook_pre.
    quantities = [
        q for q in QUANTITIES if any(_get_spread(case, q[0]).mean is not None for case in cases)
    ]
    for layout in _LAYOUTS:
        table = _draw_case_table(cases, quantities, layout)
        if _measure(table) <= width:
            break
    yield table
    other_names = ", ".join(name for _, name in quantities[1:])
    if layout.missing and other_names:
        yield Text(f"  {layout.missing.format(other_names)}", "faint")


def _measure(table: Table) -> int:
    console = Console(width=_UNLIMITED, theme=THEME)
    return Measurement.get(console, console.options, table).maximum


def _draw_case_table(
    cases: Sequence[SignCase], quantities: Sequence[tuple[str, str]], layout: _Layout
) -> Table:
    table = make_table(layout.gap)
    table.add_column("  sign case", no_wrap=True)
    table.add_column("tokens", justify="right", no_wrap=True)
    table.add_column("share", justify="right", no_wrap=True)
    if layout.bar:
        table.add_column("", no_wrap=True)
    statistics = [
        (quantity, name, statistic)
        for place, (quantity, name) in enumerate(quantities)
        for statistic in ("mean", "min", "max")
        if place == 0 or layout.extremes or (layout.means and statistic == "mean")
    ]
    for _, name, statistic in statistics:
        above = name if statistic == "mean" else ""
        heading = f"{above}\n{statistic}"
        if name == "hook_pre_linear" and not layout.bar:
            heading = heading.replace("pre_linear\n", "pre_\nlinear ")
        table.add_column(heading, justify="right", no_wrap=True)
    for case in cases:
        bar = [_draw_share(case.freq, layout.bar)] if layout.bar else []
        numbers = (
            Text(
                format_compact(getattr(_get_spread(case, quantity), statistic)),
                "" if statistic == "mean" else "faint",
            )
            for quantity, _, statistic in statistics
        )
        table.add_row(
            _mark_name(case), format_whole(case.count), format_share(case.freq), *bar, *numbers
        )
    return table


def _get_spread(case: SignCase, quantity: str) -> Spread:
    spread = getattr(case, quantity)
    assert isinstance(spread, Spread)
    return spread


def _mark_name(case: SignCase) -> Text:
    mark = DOMINANT if case.dominant else " "
    return Text(f"{mark} {case.sign_case}", "name" if case.dominant else "")


def _draw_share(freq: float | None, cells: int) -> Text:
    halves = round(2 * cells * (freq or 0.0))
    bar = "█" * (halves // 2) + "▌" * (halves % 2)
    return Text(bar.ljust(cells), "region")


def _draw_moments(activations: Activations) -> Table:
    table = make_table()
    table.add_column("  all tokens")
    for name in ("mean", "std", "skewness", "kurtosis", "share > 0"):
        table.add_column(name, justify="right")
    table.add_row("  hook_pre", *_format_moments(activations.pre), format_share(activations.fires))
    table.add_row(
        "  hook_post", *_format_moments(activations.post), format_share(activations.post_positive)
    )
    return table


def _format_moments(moments: Moments) -> tuple[str, ...]:
    std = _compute_std(moments.variance)
    return tuple(map(format_compact, (moments.mean, std, moments.skewness, moments.kurtosis)))


# --- histograms -----------------------------------------------------------------------------

HISTOGRAM_QUANTITIES: Final = ("hook_post", "hook_pre")
_HEIGHTS: Final = "▁▂▃▄▅▆▇█"
_INDENT: Final = "  "


class _Side(NamedTuple):
    """What lies on one side of zero, outwards: tokens a cell, and the far edge of the last."""

    counts: Sequence[int]
    end: str


class _Row(NamedTuple):
    """A line of the chart: a quantity's name, its tokens below zero and its tokens above."""

    name: str
    below: _Side
    above: _Side


def draw_histograms(histograms: Histograms, width: int) -> RenderableType | None:
    """Return a line each for hook_post and hook_pre, and what they show; None without tokens.

    A cell is half an octave of values, or a whole one where the terminal is too narrow.
    """
    lines, cell = _draw_lines(_make_rows(histograms, pairs=False)), "two cells an octave"
    if any(line.cell_len > width for line in lines):
        lines, cell = _draw_lines(_make_rows(histograms, pairs=True)), "a cell an octave"
    if not lines:
        return None
    facts = (
        f"outwards from 0 {AXIS} {cell}",
        "heights: log(1 + tokens)",
        f"1 position in {histograms.stride}",
    )
    legend = wrap_parts(facts, width - len(_INDENT)).replace("\n", f"\n{_INDENT}")
    return Group(*lines, Text(_INDENT + legend, "faint"))


def _make_rows(histograms: Histograms, *, pairs: bool) -> list[_Row]:
    half = len(histograms.edges) // 2
    outwards = histograms.edges[half + 1 :]
    return [
        _Row(
            histogram.quantity,
            _make_side(histogram.counts[half::-1], outwards, "-", pairs=pairs),
            _make_side(histogram.counts[half + 1 :], outwards, "", pairs=pairs),
        )
        for histogram in histograms.quantities
        if histogram.quantity in HISTOGRAM_QUANTITIES and any(histogram.counts)
    ]


def _make_side(counts: Sequence[int], edges: Sequence[float], sign: str, *, pairs: bool) -> _Side:
    if pairs:  # of the cells between the innermost and the open one
        merged = [sum(counts[i : i + 2]) for i in range(1, len(counts) - 1, 2)]
        counts, edges = [counts[0], *merged, counts[-1]], edges[::2]
    n = max((place for place, count in enumerate(counts, start=1) if count), default=0)
    if n == 0:
        return _Side((), "0")
    if n > len(edges):
        comparison = "<" if sign else ">"
        return _Side(counts, f"{comparison}{sign}{edges[-1]:g}")
    return _Side(counts[:n], f"{sign}{format_compact(edges[n - 1])}")


def _draw_lines(rows: Sequence[_Row]) -> list[Text]:
    names = max((len(row.name) for row in rows), default=0)
    left = max((len(row.below.counts) + 1 + cell_len(row.below.end) for row in rows), default=0)
    lines = []
    for row in rows:
        top = max((*row.below.counts, *row.above.counts))
        below = "".join(_draw_height(count, top) for count in reversed(row.below.counts))
        above = "".join(_draw_height(count, top) for count in row.above.counts)
        gap = " " * (left - len(below) - 1 - len(row.below.end))
        line = Text(f"{_INDENT}{row.name:<{names}}  {gap}")
        line.append(f"{row.below.end} ", "faint").append(below, "region").append(AXIS, "faint")
        lines.append(line.append(above, "region").append(f" {row.above.end}", "faint"))
    return lines


def _draw_height(count: int, top: int) -> str:
    if count == 0:
        return " "
    return _HEIGHTS[math.ceil(len(_HEIGHTS) * math.log1p(count) / math.log1p(top)) - 1]


# --- labels ---------------------------------------------------------------------------------

LABELS_SHOWN: Final = 8
_ROOMY: Final = 100
_NARROW: Final = 72
_LABEL_CELLS: Final = 28
_NARROW_LABEL_CELLS: Final = 16


class _Column(NamedTuple):
    """A column of numbers, and the width of the terminal from which it is shown."""

    heading: str
    cell: Callable[[LabelReading], str]
    width: int = 0


_COLUMNS: Final = (
    _Column("\ntokens", lambda label: f"{label.n_tokens:,}"),
    _Column("hook_pre\nmean", lambda label: format_compact(label.pre_mean), _NARROW),
    _Column("\nstd", lambda label: format_compact(_compute_std(label.pre_variance)), _ROOMY),
    _Column("hook_post\nmean", lambda label: format_compact(label.post_mean)),
    _Column("\nstd", lambda label: format_compact(_compute_std(label.post_variance)), _ROOMY),
    _Column("\nshare > 0", lambda label: format_share(label.post_positive)),
)
_FIRES: Final = _Column("hook_pre\nshare > 0", lambda label: format_share(label.freq))


def draw_labels(labels: Sequence[LabelReading], width: int) -> RenderableType:
    """Return a table of the first labels in the order given, and how many more there are."""
    gated = any(label_reading.freq is not None for label_reading in labels)
    columns = [_COLUMNS[0], *([_FIRES] if gated else []), *_COLUMNS[1:]]
    columns_shown = [column for column in columns if column.width <= width]
    cells = _LABEL_CELLS if width >= _NARROW else _NARROW_LABEL_CELLS
    table = make_table()
    table.add_column("\n  label", no_wrap=True)
    for column in columns_shown:
        table.add_column(column.heading, justify="right", no_wrap=True)
    for label_reading in labels[:LABELS_SHOWN]:
        numbers = (column.cell(label_reading) for column in columns_shown)
        table.add_row(Text(f"  {keep_start(label_reading.label, cells)}"), *numbers)
    n_more = len(labels) - LABELS_SHOWN
    return Group(table, Text(f"  +{n_more} more", "faint")) if n_more > 0 else table


def _compute_std(variance: float | None) -> float | None:
    return None if variance is None else max(variance, 0.0) ** 0.5
