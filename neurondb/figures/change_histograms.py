"""What figures of ablations share: histograms of clean − ablated of runs, as rows of a chart.

Bins are two an octave on either side of zero (METHODS §6), so the axis of changes is in octaves
too, from 2⁻¹⁷, where zero stands; that of tokens is logarithmic.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple

import altair as alt
from sqlalchemy import Connection

from neurondb.contracts.ablate import AblationBin
from neurondb.figures.ablation_histogram import SMALLEST, scale_to_axis
from neurondb.figures.chart_parts import round_value
from neurondb.formatting.text import make_visible
from neurondb.reading.class_runs import ClassSuite
from neurondb.reading.runs import ALL_TOKENS, MeasuredRun, read_ablation_histogram

FLOOR: Final = 0.5
"""Where bars of tokens stand on the logarithmic axis: below one token."""

MOST_SPANS: Final = 6
"""Spans of runs that are listed; of more it says how many runs there are."""

UNITS: Final = {"entropy": " in nats", "loss": " in nats"}

EVERYWHERE: Final = "at every token"


class Changes(NamedTuple):
    """A metric's changes under one run, or under its random counterparts together.

    Attributes:
        bins: tokens by clean − ablated, in units of one run where there are several.
        mean: mean of clean − ablated over all tokens.
        run_ids: the runs.
    """

    bins: list[tuple[AblationBin, float]]
    mean: float
    run_ids: tuple[int, ...]


def read_changes(
    connection: Connection, runs: Sequence[MeasuredRun], metric: str
) -> Changes | None:
    """Return a metric's changes under a run, or the mean of several; None where none measured it.

    Of several runs a bin holds the mean of its tokens, so that it compares with that of one.
    """
    measured = [run for run in runs if (metric, ALL_TOKENS) in run.results]
    if not measured:
        return None
    total: Counter[tuple[float, float]] = Counter()
    for run in measured:
        for bin_ in read_ablation_histogram(connection, run.run.run_id, metric):
            total[bin_.low, bin_.high] += bin_.n
    n = len(measured)
    means = [run.results[metric, ALL_TOKENS].mean for run in measured]
    bins = [(AblationBin(metric, *ends, count), count / n) for ends, count in sorted(total.items())]
    return Changes(bins, sum(means) / n, tuple(run.run.run_id for run in measured))


def make_bars(changes: Changes, **place: Any) -> Iterator[dict[str, Any]]:
    """Yield a row for each bin, with what tells its panel in `place`."""
    for bin_, tokens in changes.bins:
        yield place | {
            "x": round_value(scale_to_axis(bin_.low)),
            "x2": round_value(scale_to_axis(bin_.high)),
            "low": bin_.low,
            "high": bin_.high,
            "tokens": round_value(tokens),
        }


def make_outline(changes: Changes, **place: Any) -> Iterator[dict[str, Any]]:
    """Yield the corners of the bins' outline from left to right, to be joined as steps after."""
    bars = list(make_bars(changes))
    for bar, following in zip(bars, [*bars[1:], None], strict=True):
        yield place | {"x": bar["x"], "tokens": bar["tokens"]}
        if following is None or following["x"] != bar["x2"]:
            yield place | {"x": bar["x2"], "tokens": FLOOR}


def make_change_axis(
    rows: Sequence[dict[str, Any]], metric: str, *, titled: bool = True, **options: Any
) -> alt.X:
    """Return the axis of clean − ablated, as far as the bars of all panels reach on either side."""
    powers = [10.0**k for k in range(-4, 7)]
    ticks = [scale_to_axis(x) for power in powers for x in (-power, power)]
    label = (
        "datum.value == 0 ? '0' : (datum.value < 0 ? '−' : '') + "
        f"format(pow(2, abs(datum.value) + {SMALLEST}), '.1~g')"
    )
    low = min((row["x"] for row in rows), default=-1.0)
    high = max((row["x2"] for row in rows if "x2" in row), default=1.0)
    axis = alt.Axis(values=[0, *ticks], labelExpr=label, grid=False, **options)
    scale = alt.Scale(domain=[min(low, 0), max(high, 0)], nice=False)
    title = name_change(metric) if titled else None
    return alt.X("x:Q", title=title, axis=axis, scale=scale)


def make_token_axis(
    rows: Sequence[dict[str, Any]], headroom: float = 1.6, *, titled: bool = True, **options: Any
) -> alt.Y:
    """Return the logarithmic axis of tokens, of every panel alike: to `headroom` times the most."""
    most = max((row["tokens"] for row in rows), default=1.0)
    decades = [10**k for k in range(len(str(int(most))) + 1)]
    axis = alt.Axis(values=decades, format="~s", **options)
    scale = alt.Scale(type="log", domain=[FLOOR, max(most * headroom, 2)], nice=False)
    return alt.Y("tokens:Q", title="tokens" if titled else None, axis=axis, scale=scale)


def name_change(metric: str) -> str:
    """Return what is drawn, with its unit: `clean − ablated entropy in nats`."""
    return f"clean − ablated {metric}{UNITS.get(metric, '')}"


def make_bar_tooltip(*fields: str) -> list[alt.Tooltip]:
    """Return what a bar says: what tells its panel, its edges, its tokens."""
    return [
        *(alt.Tooltip(f"{field}:N") for field in fields),
        alt.Tooltip("low:Q", title="from", format=".3~g"),
        alt.Tooltip("high:Q", title="to", format=".3~g"),
        alt.Tooltip("tokens:Q", title="tokens", format=","),
    ]


def name_condition(condition: str | None) -> str:
    """Return a condition as a panel's heading."""
    return EVERYWHERE if condition is None else condition


def describe_suite(suite: ClassSuite, mode: str) -> str:
    """Return on what the runs of a suite were: mode, dataset, tokens, neurons of a class."""
    run = suite.runs[0].run.run
    tokens = "" if run.n_tokens is None else f", {run.n_tokens:,} tokens"
    drawn = "all neurons of a class" if suite.n_drawn is None else f"{suite.n_drawn} of each class"
    return f"mode {mode} on {make_visible(run.dataset)}{tokens}, {drawn}"


def format_mean(mean: float) -> str:
    """Return a mean of changes with its sign, in two significant digits."""
    return f"{mean:+.2g}".replace("-", "−")


def format_runs(run_ids: Sequence[int]) -> str:
    """Return runs by their numbers: `run 7`, `runs 7–12 and 20`; many as `15 runs, 1 to 43`."""
    spans: list[list[int]] = []
    for run_id in sorted(set(run_ids)):
        if spans and spans[-1][-1] == run_id - 1:
            spans[-1][1:] = [run_id]
        else:
            spans.append([run_id])
    if len(spans) > MOST_SPANS:
        return f"{len(set(run_ids))} runs, {spans[0][0]} to {spans[-1][-1]}"
    parts = [str(s[0]) if len(s) == 1 else f"{s[0]}–{s[1]}" for s in spans]
    text = parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
    return f"run{'s' * (len(set(run_ids)) > 1)} {text}"
