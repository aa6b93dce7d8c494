"""Where a set of neurons stands within its layers, property by property."""

from typing import Any, Final

import altair as alt
import numpy as np
from sqlalchemy import Connection

from neurondb.figures.chart_parts import compute_quantiles, make_data, make_title, overlay
from neurondb.figures.neuron_groups import describe_group, require_properties, select_group
from neurondb.figures.palette import ACCENT, BAND, OUTLINE, SURFACE
from neurondb.figures.registry import FIGURES
from neurondb.reading.models import Model
from neurondb.reading.neuron_properties import PROPERTIES, rank_in_layers

FIVE: Final = {"q05": 0.05, "q25": 0.25, "median": 0.5, "q75": 0.75, "q95": 0.95}
ROW_HEIGHT: Final = 24
_TITLES: Final = {p.name: p.title for p in PROPERTIES}


def draw(
    connection: Connection, model: Model, where: str, dataset: str | None = None
) -> alt.TopLevelMixin:
    """Return a box for each property: the percentiles of the set's neurons within their layers."""
    inside = select_group(connection, model, where)
    properties, note = require_properties(connection, model, dataset)
    rows = []
    for name, values in properties.items():
        ranks = rank_in_layers(values)[inside]
        five = compute_quantiles(ranks, list(FIVE.values()))
        if five is not None:
            row = {"property": _TITLES[name], "name": name, "n": int((~np.isnan(ranks)).sum())}
            rows.append(row | dict(zip(FIVE, five, strict=True)))
    notes = (
        describe_group(where, inside),
        f"percentile among all neurons of the same layer; {note}",
        "box: quartiles and median, whisker: 5% to 95%; grey: the quartiles of neurons at random",
    )
    return _draw_boxes(rows).properties(
        width=460,
        height=ROW_HEIGHT * len(rows),
        title=make_title(FIGURES["properties-by-percentile"].title, model, *notes),
    )


def _draw_boxes(rows: list[dict[str, Any]]) -> alt.LayerChart:
    names = [row["property"] for row in rows]
    y = alt.Y(
        "property:N",
        title=None,
        sort=names,
        axis=alt.Axis(labelLimit=260, domain=False, ticks=False, labelPadding=8),
    )
    x = alt.X(
        "q05:Q",
        title="percentile within the layer",
        scale=alt.Scale(domain=[0, 1]),
        axis=alt.Axis(format="%", tickCount=5),
    )
    titles = {"q05": "5%", "q25": "25%", "median": "median", "q75": "75%", "q95": "95%"}
    tooltip = [
        alt.Tooltip("property:N"),
        alt.Tooltip("n:Q", title="neurons", format=","),
        *(alt.Tooltip(f"{name}:Q", title=title, format=".1%") for name, title in titles.items()),
    ]
    base = alt.Chart(make_data(rows)).encode(y=y, tooltip=tooltip)
    # What a set drawn at random would have: percentiles are then uniform.
    expected = alt.Chart(make_data([{"low": 0.25, "high": 0.75, "middle": 0.5}]))
    return overlay(
        expected.mark_rect(color=BAND, opacity=0.7).encode(x=alt.X("low:Q"), x2="high:Q"),
        expected.mark_rule(color=OUTLINE, strokeDash=[4, 3]).encode(x="middle:Q"),
        base.mark_rule(color=ACCENT, strokeWidth=1.5).encode(x=x, x2="q95:Q"),
        base.mark_bar(color=ACCENT, size=13).encode(x=alt.X("q25:Q"), x2="q75:Q"),
        base.mark_tick(color=SURFACE, thickness=2, size=13, opacity=1).encode(x="median:Q"),
    )
