"""A neuron's sign cases, and the moments and histograms of its activations."""

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from rich.console import Console, Group, RenderableType
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from neurondb.reading.activations import Activations, Moments, SignCase, Spread
from neurondb.render.console import THEME
from neurondb.render.neuron_histograms import histogram_rows
from neurondb.render.numbers import compact, share

DOMINANT: Final = "▶"
_BAR_CELLS: Final = 10
_UNLIMITED: Final = 10_000
QUANTITIES: Final = (("post", "hook_post"), ("pre_linear", "hook_pre_linear"), ("pre", "hook_pre"))


class _Layout(NamedTuple):
    """How much of the sign cases a table shows, beside mean, minimum and maximum of hook_post.

    Attributes:
        gap: cells between columns.
        bar: cells of the share's bar.
        means: the means of the other quantities.
        extremes: their minima and maxima.
        missing: what the table has no room for.
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
"""From the most to the least; the first that fits is shown."""


def activation_tables(activations: Activations, width: int) -> RenderableType:
    """Return the sign cases, the dominant one marked, moments and histograms of pre and post."""
    parts: list[RenderableType] = []
    if activations.cases:
        parts += [*_sign_cases(activations.cases, width), Text()]
    parts.append(_moments(activations))
    if activations.histograms is not None:
        drawn = histogram_rows(activations.histograms, width)
        parts += [] if drawn is None else [Text(), drawn]
    return Group(*parts)


def _sign_cases(cases: Sequence[SignCase], width: int) -> Iterator[RenderableType]:
    # An ungated neuron has no pre_linear: x_in is its hook_pre.
    shown = [q for q in QUANTITIES if any(_spread(case, q[0]).mean is not None for case in cases)]
    for layout in _LAYOUTS:
        table = _case_table(cases, shown, layout)
        if _cells(table) <= width:
            break
    yield table
    others = ", ".join(name for _, name in shown[1:])
    if layout.missing and others:
        yield Text(f"  {layout.missing.format(others)}", "faint")


def _cells(table: Table) -> int:
    console = Console(width=_UNLIMITED, theme=THEME)
    return Measurement.get(console, console.options, table).maximum


def _case_table(
    cases: Sequence[SignCase], shown: Sequence[tuple[str, str]], layout: _Layout
) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, layout.gap, 0, 0), header_style="faint")
    table.add_column("  sign case", no_wrap=True)
    table.add_column("tokens", justify="right", no_wrap=True)
    table.add_column("share", justify="right", no_wrap=True)
    if layout.bar:
        table.add_column("", no_wrap=True)
    statistics = [
        (quantity, name, statistic)
        for place, (quantity, name) in enumerate(shown)
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
        bar = [_bar(case.freq, layout.bar)] if layout.bar else []
        numbers = (
            Text(
                compact(getattr(_spread(case, quantity), statistic)),
                "" if statistic == "mean" else "faint",
            )
            for quantity, _, statistic in statistics
        )
        table.add_row(_name(case), f"{case.count:,}", share(case.freq), *bar, *numbers)
    return table


def _spread(case: SignCase, quantity: str) -> Spread:
    found = getattr(case, quantity)
    assert isinstance(found, Spread)
    return found


def _name(case: SignCase) -> Text:
    mark = DOMINANT if case.dominant else " "
    return Text(f"{mark} {case.sign_case}", "name" if case.dominant else "")


def _bar(freq: float | None, cells: int) -> Text:
    halves = round(2 * cells * (freq or 0.0))
    shown = "█" * (halves // 2) + "▌" * (halves % 2)
    return Text(shown.ljust(cells), "region")


def _moments(activations: Activations) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="faint")
    table.add_column("  all tokens")
    for name in ("mean", "std", "skewness", "kurtosis", "share > 0"):
        table.add_column(name, justify="right")
    table.add_row("  hook_pre", *_numbers(activations.pre), share(activations.fires))
    table.add_row("  hook_post", *_numbers(activations.post), share(activations.post_positive))
    return table


def _numbers(moments: Moments) -> tuple[str, ...]:
    std = None if moments.variance is None else max(moments.variance, 0.0) ** 0.5
    return tuple(map(compact, (moments.mean, std, moments.skewness, moments.kurtosis)))
