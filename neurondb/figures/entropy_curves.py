"""Entropy neurons fixed at values, beside random ones (universal-neurons, figures 7 and 26)."""

import shlex
from collections.abc import Iterator, Sequence
from typing import Any, Final

import altair as alt
import numpy as np
from sqlalchemy import Connection

from neurondb.contracts.entropy import EntropyCurves
from neurondb.errors import UnknownNameError
from neurondb.figures.chart_parts import make_data, make_title, overlay, round_value
from neurondb.figures.clamp_sweeps import COLOURS
from neurondb.figures.palette import INK, OUTLINE
from neurondb.figures.registry import FIGURES
from neurondb.formatting.text import make_visible
from neurondb.reading.entropy_runs import list_entropy_runs, read_entropy_page
from neurondb.reading.models import Model

PANELS: Final = {
    "scale": "scale of the final norm",
    "rank": "rank of the correct token",
    "entropy": "entropy, nats",
    "loss": "loss, nats",
}
"""Metric → title of its panel, in the order of the paper's panels c to f."""
DIGITS: Final = 7
RANDOM: Final = "random"


def draw(connection: Connection, model: Model, run: int | None = None) -> alt.TopLevelMixin:
    """Return a panel for each metric: its mean against what a neuron is fixed at."""
    runs = list_entropy_runs(connection, model)
    chosen = [one.run_id for one in runs if run is None or one.run_id == run]
    if not chosen:
        which = "" if run is None else f" {run}"
        raise UnknownNameError(
            f"no entropy run{which} of {model.name} is stored: run `neurondb entropy "
            f"{shlex.quote(model.name)} --dataset FILE`"
        )
    page = read_entropy_page(connection, chosen[0])
    curves = page.curves
    rows = list(_make_rows(curves))
    panels = [_draw_panel(rows, metric, curves) for metric in PANELS]
    notes = [
        f"hook_post fixed at every position, one neuron at a time; {curves.n_tokens:,} tokens of "
        f"{make_visible(page.dataset)}",
        "dotted: nothing fixed",
    ]
    if curves.baseline:
        notes[1] = f"grey: {len(curves.baseline)} random neurons of the last layers; {notes[1]}"
    chart: alt.TopLevelMixin = alt.concat(*panels, columns=2, spacing=24).properties(
        title=make_title(FIGURES["entropy-curves"].title, model, *notes)
    )
    return chart


def _make_rows(curves: EntropyCurves) -> Iterator[dict[str, Any]]:
    """Yield a row for each neuron, value and metric that has a mean."""
    n_asked = len(curves.neurons)
    for metric in PANELS:
        through = curves.through_norm(metric)
        for place, neuron in enumerate((*curves.neurons, *curves.baseline)):
            for step, value in enumerate(curves.values.tolist()):
                mean = float(curves.fixed[metric][place, step])
                if np.isnan(mean):
                    continue
                yield {
                    "neuron": neuron.name,
                    "line": neuron.name if place < n_asked else RANDOM,
                    "metric": metric,
                    "value": value,
                    "mean": round_value(mean, DIGITS),
                    "norm": round_value(through[place, step], DIGITS),
                }


def _draw_panel(
    rows: Sequence[dict[str, Any]], metric: str, curves: EntropyCurves
) -> alt.LayerChart:
    of_metric = [row for row in rows if row["metric"] == metric]
    names = [place.name for place in curves.neurons]
    colours = [COLOURS[i % len(COLOURS)] for i in range(len(names))]
    if curves.baseline:
        names, colours = [*names, RANDOM], [*colours, OUTLINE]
    colour = alt.Color("line:N", title=None, scale=alt.Scale(domain=names, range=colours))
    x = alt.X("value:Q", title="hook_post fixed at, canonical sign", axis=alt.Axis(format="~r"))
    y = alt.Y("mean:Q", title=PANELS[metric], scale=alt.Scale(zero=False))
    tooltip = [
        alt.Tooltip("neuron:N"),
        alt.Tooltip("value:Q", title="fixed at", format="~g"),
        alt.Tooltip("mean:Q", title=metric, format=".4~g"),
        alt.Tooltip("norm:Q", title="change through the norm", format=".3~g"),
    ]
    parts = []
    for is_random in (True, False):
        chosen = [row for row in of_metric if (row["line"] == RANDOM) == is_random]
        if chosen:
            mark = alt.Chart(make_data(chosen)).mark_line(
                point=False if is_random else alt.OverlayMarkDef(size=20),
                strokeWidth=0.7 if is_random else 2,
            )
            parts.append(mark.encode(x=x, y=y, color=colour, detail="neuron:N", tooltip=tooltip))
    if not np.isnan(curves.clean[metric]):
        clean = [{"mean": round_value(curves.clean[metric], DIGITS)}]
        rule = alt.Chart(make_data(clean)).mark_rule(color=INK, strokeDash=[2, 3], strokeWidth=1)
        parts.append(rule.encode(y="mean:Q"))
    chart: alt.LayerChart = overlay(*parts).properties(width=260, height=200)
    return chart
