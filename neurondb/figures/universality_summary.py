"""A model's neurons matched with those of others (universal-neurons, figures 2, 12 and 13)."""

from typing import Any, Final

import altair as alt
import numpy as np
from sqlalchemy import Connection

from neurondb.figures.binning import make_grid
from neurondb.figures.chart_parts import (
    make_count_colour,
    make_data,
    make_layer_axis,
    make_panel_title,
    make_title,
    round_value,
)
from neurondb.figures.matched_neurons import describe_run, list_measures, require_universality
from neurondb.figures.palette import LINE_COLOURS, OUTLINE, SEQUENTIAL
from neurondb.figures.registry import FIGURES
from neurondb.reading.models import Model
from neurondb.reading.universality import UniversalityPage

BIN: Final = 0.02
CELLS: Final = 50
SIZE: Final = 240
COLOURS: Final = {
    "correlation": LINE_COLOURS[0],
    "baseline": OUTLINE,
    "excess": LINE_COLOURS[1],
}


def draw(connection: Connection, model: Model, run: int | None = None) -> alt.TopLevelMixin:
    """Return the panels a, b (of two other models or more) and c of the paper's figure."""
    page = require_universality(connection, model, run)
    panels: list[Any] = [_draw_distributions(page)]
    notes = [describe_run(page)]
    if len(page.others) > 1:
        panels.append(_draw_extremes(page))
    else:
        notes.append("one other model: its largest and smallest correlation are the same")
    panels.append(_draw_layers(page))
    title = make_title(FIGURES["universality-summary"].title, model, *notes)
    joined = alt.hconcat(*panels, spacing=28).resolve_scale(color="independent")
    chart: alt.TopLevelMixin = joined.properties(title=title)
    return chart


def _draw_distributions(page: UniversalityPage) -> alt.Chart:
    rows = []
    for measure, values in list_measures(page).items():
        bins, counts = np.unique(np.floor(values / BIN).astype(np.int64), return_counts=True)
        rows += [
            {
                "measure": measure,
                "x": round_value(place * BIN),
                "x2": round_value((place + 1) * BIN),
                "n": n,
            }
            for place, n in zip(bins.tolist(), counts.tolist(), strict=True)
        ]
    colour = alt.Color(
        "measure:N",
        title=None,
        scale=alt.Scale(domain=list(COLOURS), range=list(COLOURS.values())),
        legend=alt.Legend(orient="bottom"),
    )
    tooltip = ["measure:N", alt.Tooltip("x:Q", format=".2f"), alt.Tooltip("n:Q", format=",")]
    chart: alt.Chart = (
        alt.Chart(make_data(rows))
        .mark_rect(opacity=0.65)
        .encode(
            x=alt.X("x:Q", title="mean over models", axis=alt.Axis(tickCount=6)),
            x2="x2:Q",
            y=alt.Y("n:Q", title="neurons", axis=alt.Axis(tickCount=5)),
            y2=alt.datum(0),
            color=colour,
            tooltip=tooltip,
        )
        .properties(width=SIZE, height=SIZE, title=make_panel_title("a: largest correlation"))
    )
    return chart


def _draw_extremes(page: UniversalityPage) -> alt.Chart:
    """Return how many neurons have which largest correlation in the worst and the best model."""
    known = np.isfinite(page.correlation).all(0)
    lowest, highest = page.correlation.min(0)[known], page.correlation.max(0)[known]
    grid = make_grid((0, 1), (0, 1), CELLS)
    cells, counts = np.unique(grid.cells(lowest, highest), return_counts=True)
    x, y = grid.corners(cells)
    rows = [
        {
            "x": round_value(left),
            "x2": round_value(left + grid.step[0]),
            "y": round_value(bottom),
            "y2": round_value(bottom + grid.step[1]),
            "n": int(n),
        }
        for left, bottom, n in zip(x, y, counts, strict=True)
    ]
    colour = make_count_colour(int(counts.max()))
    axis = alt.Axis(tickCount=5)
    chart: alt.Chart = (
        alt.Chart(make_data(rows))
        .mark_rect()
        .encode(
            x=alt.X("x:Q", title="in the model of the smallest", axis=axis),
            x2="x2:Q",
            y=alt.Y("y:Q", title="in the model of the largest", axis=axis),
            y2="y2:Q",
            color=colour,
            tooltip=[alt.Tooltip("n:Q", title="neurons", format=",")],
        )
        .properties(width=SIZE, height=SIZE, title=make_panel_title("b: over the models"))
    )
    return chart


def _draw_layers(page: UniversalityPage) -> alt.Chart:
    """Return the share of matches between each two layers, over all other models."""
    layers = np.broadcast_to(np.arange(page.model.n_layers)[None, :, None], page.best_layer.shape)
    known = page.best_layer >= 0
    pairs, counts = np.unique(
        np.stack([layers[known], page.best_layer[known]]), axis=1, return_counts=True
    )
    rows = [
        {"layer": int(a), "best": int(b), "share": round_value(n / known.sum(), 6)}
        for (a, b), n in zip(pairs.T, counts, strict=True)
    ]
    n_others = int(page.best_layer.max()) + 1
    tooltip = [
        alt.Tooltip("layer:O"),
        alt.Tooltip("best:O", title="layer of the best match"),
        alt.Tooltip("share:Q", title="of all best matches", format=".2%"),
    ]
    colour = alt.Color(
        "share:Q",
        title="of matches",
        scale=alt.Scale(range=list(SEQUENTIAL), domainMin=0),
        legend=alt.Legend(format="~%", tickCount=4),
    )
    x_values, y_values = (
        make_layer_axis(n).to_dict()["values"] for n in (page.model.n_layers, n_others)
    )
    chart: alt.Chart = (
        alt.Chart(make_data(rows))
        .mark_rect()
        .encode(
            x=alt.X("layer:O", title="layer", axis=alt.Axis(values=x_values, labelAngle=0)),
            y=alt.Y(
                "best:O",
                title="layer of the best match",
                sort="descending",
                axis=alt.Axis(values=y_values),
            ),
            color=colour,
            tooltip=tooltip,
        )
        .properties(width=SIZE, height=SIZE, title=make_panel_title("c: layers of best matches"))
    )
    return chart
