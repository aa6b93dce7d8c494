"""The distribution of cos(in, out) in a layer: what `layer-scatter` is without gates."""

from typing import Any, Final

import altair as alt
import numpy as np
from jaxtyping import Float
from sqlalchemy import Connection

from neurondb.figures.chart_parts import PAIR_TITLES, make_data, make_title, overlay, round_value
from neurondb.figures.palette import ACCENT, BAND, INK, OUTLINE
from neurondb.reading.arrays import read_random_regions
from neurondb.reading.models import Model

BINS: Final = 60
Values = Float[np.ndarray, " neurons"]


def draw_layer(
    connection: Connection, model: Model, layer: int, values: Values, neuron: int | None
) -> alt.LayerChart:
    """Return the histogram of a layer's cos(in, out) over its random regions."""
    rows = _make_rows(values[~np.isnan(values)])
    regions = read_random_regions(connection, model)
    bands = {kind: regions.get((layer, "in_out", kind)) for kind in ("mismatched", "gaussian")}
    parts: list[alt.Chart] = []
    if (mismatched := bands["mismatched"]) is not None:
        parts.append(
            _draw_band([{"x": round_value(mismatched.low), "x2": round_value(mismatched.high)}])
        )
    parts.append(_draw_bars(rows))
    if (gaussian := bands["gaussian"]) is not None:
        parts.append(_draw_rules([{"x": round_value(end)} for end in gaussian], OUTLINE, [4, 3]))
    if neuron is not None and not np.isnan(values[neuron]):
        parts.append(_draw_rules([{"x": round_value(values[neuron])}], INK, [1, 0]))
    notes = ["", "grey: 95% of mismatched pairs", "dashes: of Gaussian ones"]
    if neuron is not None:
        notes[-1] += f"; full line: {model.name_place(layer, neuron)}"
    return overlay(*parts).properties(
        width=560,
        height=280,
        title=make_title(f"cos(in, out) in layer {layer}", model, *notes),
    )


def _make_rows(cosines: Values) -> list[dict[str, Any]]:
    counts, edges = np.histogram(cosines, bins=BINS)
    return [
        {"x": round_value(low), "x2": round_value(high), "n": int(n)}
        for low, high, n in zip(edges[:-1], edges[1:], counts, strict=True)
        if n
    ]


def _make_axis() -> alt.X:
    return alt.X("x:Q", title=PAIR_TITLES["in_out"], axis=alt.Axis(tickCount=9, format="~r"))


def _draw_bars(rows: list[dict[str, Any]]) -> alt.Chart:
    tooltip = [
        alt.Tooltip("x:Q", title="from", format=".3f"),
        alt.Tooltip("x2:Q", title="to", format=".3f"),
        alt.Tooltip("n:Q", title="neurons", format=","),
    ]
    mark = alt.Chart(make_data(rows)).mark_rect(color=ACCENT)
    y = alt.Y("n:Q", title="neurons", axis=alt.Axis(tickCount=5))
    chart: alt.Chart = mark.encode(x=_make_axis(), x2="x2:Q", y=y, y2=alt.datum(0), tooltip=tooltip)
    return chart


def _draw_band(rows: list[dict[str, Any]]) -> alt.Chart:
    chart: alt.Chart = (
        alt.Chart(make_data(rows)).mark_rect(color=BAND).encode(x=_make_axis(), x2="x2:Q")
    )
    return chart


def _draw_rules(rows: list[dict[str, Any]], colour: str, dash: list[int]) -> alt.Chart:
    mark = alt.Chart(make_data(rows)).mark_rule(color=colour, strokeDash=dash, strokeWidth=1.5)
    chart: alt.Chart = mark.encode(x=_make_axis())
    return chart
