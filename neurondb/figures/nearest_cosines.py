"""How near each neuron's nearest neighbour is, and its most nearly opposite one, by vector."""

from collections.abc import Iterator
from typing import Any, Final

import altair as alt
import numpy as np
from sqlalchemy import Connection

from neurondb.figures.chart_parts import make_data, make_panel_title, make_title, overlay
from neurondb.figures.palette import ACCENT, BAND, OUTLINE
from neurondb.figures.registry import FIGURES
from neurondb.reading.models import Model
from neurondb.reading.neighbour_arrays import (
    read_nearest_cosines,
    read_neighbour_levels,
    require_neighbour_run,
)

BINS: Final = 100
LOW, HIGH = 0.01, 0.99
"""Quantiles of random directions between which the band is."""
WIDTH, HEIGHT = 560, 130


def draw(connection: Connection, model: Model) -> alt.TopLevelMixin:
    """Return a panel for each vector: histograms of both sides, over what random directions have.

    Raises:
        UnknownNameError: when the model's neighbours were not computed.
    """
    run = require_neighbour_run(connection, model)
    cosines = read_nearest_cosines(connection, model)
    levels = read_neighbour_levels(connection, run)
    panels = []
    for vector in dict.fromkeys(name for name, _ in cosines):
        of_vector = {side: cosines[name, side] for name, side in cosines if name == vector}
        ends = [levels[vector, LOW], levels[vector, HIGH]]
        panels.append(_draw_panel(vector, of_vector, ends))
    notes = (
        "to the right the nearest neuron of the model, to the left the most nearly opposite one",
        f"grey: 98% of {run.n_directions:,} random directions; heights as square roots",
    )
    chart = alt.vconcat(*panels, spacing=14).properties(
        title=make_title(FIGURES["nearest-cosines"].title, model, *notes)
    )
    assert isinstance(chart, alt.TopLevelMixin)
    return chart


def _draw_panel(vector: str, cosines: dict[str, Any], ends: list[float]) -> alt.LayerChart:
    x = alt.X(
        "x:Q",
        title=f"cos({vector}, {vector} of the other)",
        scale=alt.Scale(domain=[-1, 1], nice=False),
        axis=alt.Axis(tickCount=9, format="~r", grid=False),
    )
    y = alt.Y(
        "n:Q",
        title="neurons",
        scale=alt.Scale(type="sqrt"),
        axis=alt.Axis(tickCount=4, format=",d"),
    )
    tooltip = [
        alt.Tooltip("side:N"),
        alt.Tooltip("x:Q", title="from", format=".2f"),
        alt.Tooltip("x2:Q", title="to", format=".2f"),
        alt.Tooltip("n:Q", title="neurons", format=","),
    ]
    low, high = (round(end, 4) for end in ends)
    bands = [{"x": low, "x2": high}, {"x": -high, "x2": -low}]
    band = alt.Chart(make_data(bands)).mark_rect(color=BAND, aria=False).encode(x=x, x2="x2:Q")
    bars = (
        alt.Chart(make_data(list(_make_rows(vector, cosines))))
        .mark_rect(color=ACCENT)
        .encode(x=x, x2="x2:Q", y=y, y2=alt.datum(0), tooltip=tooltip)
    )
    zero = alt.Chart(make_data([{"x": 0}])).mark_rule(color=OUTLINE, aria=False).encode(x=x)
    return overlay(band, bars, zero).properties(
        width=WIDTH, height=HEIGHT, title=make_panel_title(vector)
    )


def _make_rows(vector: str, cosines: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for side, values in cosines.items():
        counts, edges = np.histogram(values, bins=BINS, range=(-1, 1))
        for i in np.flatnonzero(counts):
            bin_ends = {"x": round(float(edges[i]), 3), "x2": round(float(edges[i + 1]), 3)}
            yield {"vector": vector, "side": side, **bin_ends, "n": int(counts[i])}
