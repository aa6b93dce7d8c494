"""How far the vectors of every layer turned between two compared models."""

from collections.abc import Iterator
from typing import Any, Final

import altair as alt
import numpy as np
from jaxtyping import Float
from sqlalchemy import Connection

from neurondb.figures.chart_parts import (
    compute_quantiles,
    make_data,
    make_title,
    overlay,
    round_value,
)
from neurondb.figures.palette import INK, SEQUENTIAL
from neurondb.figures.registry import FIGURES
from neurondb.figures.requirements import make_missing_comparison_error, require_comparison
from neurondb.formatting.text import make_visible
from neurondb.reading.arrays import read_compared_cosines
from neurondb.reading.models import Model

BINS: Final = 40
Values = Float[np.ndarray, "layers neurons"]


def draw(connection: Connection, model: Model, other: str) -> alt.TopLevelMixin:
    """Return a panel for each vector: layers across, cosines up, shares as colours."""
    pair, comparison_id = require_comparison(connection, model, other)
    cosines = {
        vector: values
        for vector, values in read_compared_cosines(connection, pair.before, comparison_id).items()
        if not np.isnan(values).all()
    }
    if not cosines:
        raise make_missing_comparison_error(pair)
    lowest = min(float(np.nanmin(values)) for values in cosines.values())
    edges = np.linspace(np.floor(lowest * 20) / 20 if lowest < 1 else 0.95, 1.0, BINS + 1)
    notes = (
        f"{make_visible(pair.before.name)} → {make_visible(pair.after.name)}",
        "colours: share of the layer's neurons, line: median",
    )
    panels = [
        _draw_panel(
            list(_make_cells(values, edges)),
            list(_make_medians(values)),
            vector,
            edges,
            len(values),
        )
        for vector, values in cosines.items()
    ]
    chart: alt.TopLevelMixin = (
        alt.hconcat(*panels)
        .resolve_scale(color="shared")
        .properties(title=make_title(FIGURES["comparison-cosines"].title, None, *notes))
    )
    return chart


def _make_cells(values: Values, edges: Float[np.ndarray, " edges"]) -> Iterator[dict[str, Any]]:
    for layer, of_layer in enumerate(values):
        finite = of_layer[~np.isnan(of_layer)]
        # Rounding may put a cosine a little beyond 1.
        counts, _ = np.histogram(np.clip(finite, edges[0], edges[-1]), bins=edges)
        for i in np.flatnonzero(counts):
            yield {
                "layer": layer,
                "y": round_value(edges[i]),
                "y2": round_value(edges[i + 1]),
                "n": int(counts[i]),
                "share": round_value(counts[i] / len(finite), 6),
            }


def _make_medians(values: Values) -> Iterator[dict[str, Any]]:
    for layer, of_layer in enumerate(values):
        if (median := compute_quantiles(of_layer, (0.5,))) is not None:
            yield {"layer": layer, "y": median[0]}


def _draw_panel(
    cells: list[dict[str, Any]],
    medians: list[dict[str, Any]],
    vector: str,
    edges: Float[np.ndarray, " edges"],
    n_layers: int,
) -> alt.LayerChart:
    step = max(8, min(34, 230 // n_layers))
    x = alt.X("layer:O", title="layer", axis=alt.Axis(labelAngle=0))
    scale = alt.Scale(domain=[float(edges[0]), 1.0], nice=False, zero=False)
    title = f"cos({vector} before, {vector} after)"
    y = alt.Y("y:Q", title=title, scale=scale, axis=alt.Axis(tickCount=6, format="~r"))
    tooltip = [
        "layer:O",
        alt.Tooltip("y:Q", title="cosine from", format=".3f"),
        alt.Tooltip("n:Q", title="neurons", format=","),
        alt.Tooltip("share:Q", format=".2%"),
    ]
    colour = alt.Color(
        "share:Q",
        title="share",
        scale=alt.Scale(type="log", range=list(SEQUENTIAL)),
        legend=alt.Legend(format="~%", tickCount=4),
    )
    median = alt.Chart(make_data(medians)).mark_tick(color=INK, thickness=2, size=step, opacity=1)
    return overlay(
        alt.Chart(make_data(cells))
        .mark_rect()
        .encode(x=x, y=y, y2="y2:Q", color=colour, tooltip=tooltip),
        median.encode(x=x, y=y, tooltip=["layer:O", alt.Tooltip("y:Q", title="median")]),
    ).properties(width=step * n_layers, height=260)
