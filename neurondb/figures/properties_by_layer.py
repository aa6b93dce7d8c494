"""A set of neurons beside all others of its layers, property by property and layer by layer."""

from collections.abc import Iterator, Sequence
from typing import Any, Final

import altair as alt
import numpy as np
from sqlalchemy import Connection

from neurondb.figures.chart_parts import (
    make_data,
    make_layer_axis,
    make_panel_title,
    make_title,
    overlay,
)
from neurondb.figures.neuron_groups import describe_group, require_properties, select_group
from neurondb.figures.palette import ACCENT, BAND, MUTED
from neurondb.figures.registry import FIGURES
from neurondb.reading.models import Model
from neurondb.reading.neuron_properties import PROPERTIES

QUARTILES: Final = {"q25": 0.25, "median": 0.5, "q75": 0.75}
SHOWN: Final = (
    *("out_kurtosis", "out_skewness", "in_out", "penalty", "freq", "post_positive"),
    *("pre_skewness", "pre_kurtosis"),
)
"""The properties of universal-neurons, figure 15; of gated models `freq` is of the gate."""
LOGARITHMIC: Final = ("out_kurtosis", "pre_kurtosis", "penalty")
SHARES: Final = ("freq", "post_positive")
DIGITS: Final = 5
THESE, OTHERS = "these neurons", "all others"
WIDTH, HEIGHT = 250, 130
_TITLES: Final = {p.name: p.title for p in PROPERTIES}


def draw(
    connection: Connection, model: Model, where: str, dataset: str | None = None
) -> alt.TopLevelMixin:
    """Return a panel for each property: medians and quartiles of the set and of all others."""
    inside = select_group(connection, model, where)
    properties, note = require_properties(connection, model, dataset, SHOWN)
    panels = [
        _draw_panel(list(_make_rows(properties[name], inside)), name, model.n_layers)
        for name in SHOWN
        if name in properties
    ]
    notes = (
        describe_group(where, inside),
        f"medians and quartiles; {note}",
    )
    chart: alt.TopLevelMixin = alt.concat(*panels, columns=3, spacing=22).properties(
        title=make_title(FIGURES["properties-by-layer"].title, model, *notes)
    )
    return chart


def _make_rows(values: Any, inside: Any) -> Iterator[dict[str, Any]]:
    for of, members in ((OTHERS, ~inside), (THESE, inside)):
        for layer, of_layer in enumerate(values):
            known = of_layer[members[layer] & ~np.isnan(of_layer)]
            if not len(known):
                continue
            quartiles = np.quantile(known, list(QUARTILES.values()))
            numbers = (float(f"{value:.{DIGITS}g}") for value in quartiles)
            row = {"layer": layer, "of": of, "n": len(known)}
            yield row | dict(zip(QUARTILES, numbers, strict=True))


def _draw_panel(rows: Sequence[dict[str, Any]], name: str, n_layers: int) -> alt.LayerChart:
    x = alt.X("layer:Q", title="layer", axis=make_layer_axis(n_layers))
    y = _make_axis(rows, name)
    colour = alt.Color(
        "of:N",
        title=None,
        scale=alt.Scale(domain=[THESE, OTHERS], range=[ACCENT, MUTED]),
        legend=alt.Legend(orient="bottom"),
    )
    tooltip = [
        alt.Tooltip("layer:Q"),
        alt.Tooltip("of:N", title="neurons"),
        alt.Tooltip("n:Q", title="how many", format=","),
        *(alt.Tooltip(f"{q}:Q", title=t, format=".4~g") for q, t in _TOOLTIPS.items()),
    ]
    base = alt.Chart(make_data(rows)).encode(x=x)
    these = base.transform_filter(f"datum.of == '{THESE}'")
    others = base.transform_filter(f"datum.of == '{OTHERS}'")
    return overlay(
        others.mark_area(color=BAND, opacity=0.8).encode(y=y, y2="q75:Q"),
        others.mark_line(strokeWidth=1.5).encode(y="median:Q", color=colour),
        these.mark_rule(strokeWidth=1.5).encode(y="q25:Q", y2="q75:Q", color=colour),
        these.mark_circle(size=30, opacity=1).encode(y="median:Q", color=colour, tooltip=tooltip),
    ).properties(width=WIDTH, height=HEIGHT, title=make_panel_title(_TITLES[name]))


def _make_axis(rows: Sequence[dict[str, Any]], name: str) -> alt.Y:
    form = "%" if name in SHARES else "~g"
    axis = alt.Axis(tickCount=5, format=form)
    low, high = min(row["q25"] for row in rows), max(row["q75"] for row in rows)
    if name not in LOGARITHMIC or low <= 0:
        return alt.Y("q25:Q", title=None, axis=axis, scale=alt.Scale(zero=name in SHARES))
    margin = (high / low) ** 0.06
    scale = alt.Scale(type="log", domain=[low / margin, high * margin], nice=False)
    return alt.Y("q25:Q", title=None, axis=axis, scale=scale)


_TOOLTIPS: Final = {"q25": "25%", "median": "median", "q75": "75%"}
