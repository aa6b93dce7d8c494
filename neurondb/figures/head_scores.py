"""How far neurons move later heads' attention to BOS (universal-neurons, figure 8a)."""

import math
import shlex
from collections.abc import Iterator, Sequence
from typing import Any, Final

import altair as alt
from sqlalchemy import Connection

from neurondb.errors import UnknownNameError
from neurondb.figures.chart_parts import make_data, make_title, overlay, round_value
from neurondb.figures.palette import ACCENT, OUTLINE
from neurondb.figures.registry import FIGURES
from neurondb.reading.heads import STRONG, HeadRun, ScoreCount, find_head_run, list_score_counts
from neurondb.reading.models import Model

PANELS: Final = {False: "score", True: "score in σ of random directions at the head"}
"""Whether scores are standardised → the title of their axis."""
SERIES: Final = {"neurons": "n_neurons", "random directions": "n_random"}
_COLOURS: Final = (ACCENT, OUTLINE)
DIGITS: Final = 12
"""Decimals of shares, of which the smallest is one pair in many millions."""


def draw(connection: Connection, model: Model) -> alt.TopLevelMixin:
    """Return the distribution of all scores, as they are and standardised."""
    run = require_head_run(connection, model)
    panels = [
        _draw_panel(list_score_counts(connection, run, standardised=standardised), title)
        for standardised, title in PANELS.items()
    ]
    notes = (
        f"{run.n_pairs:,} pairs of a neuron and a head of a later layer",
        f"grey: {run.n_random:,} random directions in the place of each layer's neurons; above 0,"
        " firing raises the attention to BOS",
    )
    chart: alt.TopLevelMixin = alt.hconcat(*panels, spacing=28).properties(
        title=make_title(FIGURES["head-scores"].title, model, *notes)
    )
    return chart


def require_head_run(connection: Connection, model: Model) -> HeadRun:
    """Return a model's run.

    Raises:
        UnknownNameError: when there is none.
    """
    run = find_head_run(connection, model)
    if run is None:
        raise UnknownNameError(
            f"neurons of {model.name} are not compared with attention heads: run `neurondb heads "
            f"{shlex.quote(model.name)}`"
        )
    return run


def _make_rows(counts: Sequence[ScoreCount]) -> Iterator[dict[str, Any]]:
    for line, column in SERIES.items():
        total = sum(getattr(count, column) for count in counts)
        for count in counts:
            n = getattr(count, column)
            if n:
                share = round_value(n / total, DIGITS)
                yield {"low": count.low, "high": count.high, "n": n, "share": share, "line": line}


def _draw_panel(counts: Sequence[ScoreCount], title: str) -> alt.LayerChart:
    rows = list(_make_rows(counts))
    colour = alt.Color(
        "line:N",
        title=None,
        scale=alt.Scale(domain=list(SERIES), range=list(_COLOURS)),
        legend=alt.Legend(orient="bottom"),
    )
    x = alt.X("low:Q", title=title, axis=alt.Axis(format="~g"))
    lowest = min((row["share"] for row in rows), default=1.0)
    decades = [10.0**-n for n in range(math.ceil(-math.log10(lowest)) + 1)]
    y = alt.Y(
        "share:Q",
        title="share of pairs",
        scale=alt.Scale(type="log", domain=[decades[-1], 1]),
        axis=alt.Axis(values=decades, format=".0e"),
    )
    tooltip = [
        alt.Tooltip("line:N"),
        alt.Tooltip("low:Q", title="from", format=".3~g"),
        alt.Tooltip("high:Q", title="to", format=".3~g"),
        alt.Tooltip("n:Q", title="pairs", format=","),
        alt.Tooltip("share:Q", format=".2e"),
    ]
    zero = alt.Chart(make_data([{"at": 0}])).mark_rule(color=OUTLINE, strokeWidth=0.6)
    lines = alt.Chart(make_data(rows)).mark_line(interpolate="step-after", strokeWidth=1.4)
    parts = [zero.encode(x="at:Q"), lines.encode(x=x, y=y, color=colour, tooltip=tooltip)]
    if title == PANELS[True]:
        ends = make_data([{"at": -STRONG}, {"at": STRONG}])
        rule = alt.Chart(ends).mark_rule(color=OUTLINE, strokeDash=[3, 3], strokeWidth=0.8)
        parts.append(rule.encode(x="at:Q"))
    chart: alt.LayerChart = overlay(*parts).properties(width=320, height=240)
    return chart
