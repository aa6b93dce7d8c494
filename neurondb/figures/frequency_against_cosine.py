"""How often neurons fire against a cosine, layer by layer (METHODS §10)."""

import json
from collections.abc import Iterator
from typing import Any, Final

import altair as alt
import numpy as np
from jaxtyping import Float
from sqlalchemy import Connection

from neurondb.errors import LackingModelError
from neurondb.figures.chart_parts import (
    PAIR_TITLES,
    make_count_colour,
    make_data,
    make_title,
    round_value,
)
from neurondb.figures.requirements import (
    make_missing_dataset_error,
    make_missing_stage_error,
    require_dataset,
)
from neurondb.formatting.text import make_visible
from neurondb.reading.arrays import FIGURE_PAIRS, read_all_cosines, read_frequencies
from neurondb.reading.models import Model

BINS: Final = 24
"""Bins along each axis of a panel."""
MOST_LARGE_PANELS: Final = 16
"""With more layers than this, panels are small."""
Values = Float[np.ndarray, " neurons"]


def draw(
    connection: Connection, model: Model, cosine: str = FIGURE_PAIRS[0], dataset: str | None = None
) -> alt.TopLevelMixin:
    """Return a panel for each layer, its correlation above it."""
    if cosine != "in_out" and not model.gated:
        raise LackingModelError(f"{model.name} has no gates, so there is only cosine=in_out")
    shown_dataset = require_dataset(connection, model, dataset)
    cosines = read_all_cosines(connection, model)[cosine]
    frequencies = read_frequencies(connection, model, shown_dataset)
    finite = ~np.isnan(cosines) & ~np.isnan(frequencies)
    if not finite.any():
        missing_weights = np.isnan(cosines).all()
        raise (
            make_missing_stage_error("weights", model)
            if missing_weights
            else make_missing_dataset_error(connection, model, shown_dataset)
        )
    limit = min(1.0, np.ceil(float(np.nanmax(np.abs(cosines))) * 10) / 10)
    layers = [layer for layer in range(model.n_layers) if finite[layer].any()]
    of_layer = {n: (cosines[n][finite[n]], frequencies[n][finite[n]]) for n in layers}
    rows = [{"layer": n, **row} for n, xy in of_layer.items() for row in _make_rows(*xy, limit)]
    titles = [_write_title(n, *of_layer[n]) if n in of_layer else "" for n in range(model.n_layers)]
    small = len(layers) > MOST_LARGE_PANELS
    colour = make_count_colour(max(row["n"] for row in rows))
    panel = _draw_panel(limit, cosine, model.gated, small).encode(color=colour)
    header = alt.Header(
        title=None,
        labelExpr=f"{json.dumps(titles)}[datum.value]",
        labelFontSize=10 if small else 12,
    )
    facet = alt.Facet("layer:O", header=header)
    notes = (
        f"on {make_visible(shown_dataset.name)}",
        "r: Pearson's correlation over the layer's neurons",
    )
    subject = "Gate frequency" if model.gated else "Activation frequency"
    return panel.facet(
        facet, columns=_choose_columns(len(layers)), data=make_data(rows)
    ).properties(title=make_title(f"{subject} against {PAIR_TITLES[cosine]}", model, *notes))


def _choose_columns(n: int) -> int:
    """Return how many panels stand side by side, so that the last row is as full as can be."""
    widest = 5 if n <= MOST_LARGE_PANELS else 8
    return (
        n
        if n <= widest
        else min(range(3, widest + 1), key=lambda columns: (-n % columns, widest - columns))
    )


def _write_title(layer: int, x: Values, y: Values) -> str:
    if len(x) < 2 or np.ptp(x) == 0 or np.ptp(y) == 0:
        return f"layer {layer}"
    correlation = float(np.corrcoef(x, y)[0, 1])
    return f"layer {layer}: r = {correlation:.2f}".replace("-", "−")


def _make_rows(x: Values, y: Values, limit: float) -> Iterator[dict[str, Any]]:
    counts, x_edges, y_edges = np.histogram2d(x, y, bins=BINS, range=[[-limit, limit], [0.0, 1.0]])
    for i, j in np.argwhere(counts > 0):
        yield {
            "x": round_value(x_edges[i]),
            "y": round_value(y_edges[j]),
            "n": int(counts[i, j]),
        }


def _draw_panel(limit: float, cosine: str, gated: bool, small: bool) -> alt.Chart:
    condition = "gate > 0" if gated else "post > 0"
    side = 105 if small else 165
    x = alt.X(
        "x:Q",
        title=PAIR_TITLES[cosine],
        scale=alt.Scale(domain=[-limit, limit], nice=False),
        axis=alt.Axis(tickCount=2 if small else 4, format="~r"),
    )
    y = alt.Y(
        "y:Q",
        title=f"tokens with {condition}",
        scale=alt.Scale(domain=[0, 1]),
        axis=alt.Axis(tickCount=4, format="%"),
    )
    tooltip = [
        alt.Tooltip("n:Q", title="neurons", format=","),
        alt.Tooltip("x:Q", title="cosine from", format=".3f"),
        alt.Tooltip("y:Q", title="share from", format=".1%"),
    ]
    chart: alt.Chart = (
        alt.Chart(width=side, height=side)
        .transform_calculate(x2=f"datum.x + {2 * limit / BINS}", y2=f"datum.y + {1 / BINS}")
        .mark_rect()
        .encode(x=x, x2="x2:Q", y=y, y2="y2:Q", tooltip=tooltip)
    )
    return chart
