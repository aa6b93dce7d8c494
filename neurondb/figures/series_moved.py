"""How far neurons moved over a series of models: from step to step, and from the first model."""

from collections.abc import Iterator, Sequence
from typing import Any, Final

import altair as alt
import numpy as np
from jaxtyping import Float
from sqlalchemy import Connection

from neurondb.figures.chart_parts import (
    compute_quantiles,
    make_data,
    make_panel_title,
    make_title,
    overlay,
    round_value,
)
from neurondb.figures.palette import INK, SEQUENTIAL
from neurondb.figures.registry import FIGURES
from neurondb.figures.requirements import require_series
from neurondb.figures.series_steps import make_step_axis, name_steps
from neurondb.reading.models import Model
from neurondb.reading.series_page import SeriesComparisons

BINS: Final = 40
HEIGHT: Final = 190
ROWS: Final = ("with the model before", "with the first model")
Edges = Float[np.ndarray, " edges"]


def draw(connection: Connection, model: Model, series: int | None = None) -> alt.TopLevelMixin:
    """Return a panel for each vector and each of the two models that it is compared with."""
    found = require_series(connection, model, series)
    comparisons = SeriesComparisons(connection, found)
    steps = range(1, len(found.models))
    seen = {
        ROWS[0]: [comparisons.read_cosines(step - 1, step) for step in steps],
        ROWS[1]: [comparisons.read_cosines(0, step) for step in steps],
    }
    vectors = [
        name
        for name in seen[ROWS[1]][0]
        if not all(np.isnan(one[name]).all() for one in seen[ROWS[1]])
    ]
    lowest = min(
        float(np.nanmin(one[name])) for row in seen.values() for one in row for name in vectors
    )
    edges = np.linspace(np.floor(lowest * 20) / 20 if lowest < 1 else 0.95, 1.0, BINS + 1)
    cells = {
        (row, name): list(_make_cells([one[name] for one in seen[row]], edges))
        for row in ROWS
        for name in vectors
    }
    shares = [cell["share"] for panel in cells.values() for cell in panel]
    panels = [
        _draw_panel(
            cells[row, name],
            list(_make_medians([one[name] for one in seen[row]])),
            f"{name}, {row}",
            found.models,
            edges,
            min(shares),
        )
        for row in ROWS
        for name in vectors
    ]
    notes = (
        name_steps(found),
        "colours: share of all neurons, by the cosine between a vector and itself; line: median",
    )
    chart: alt.TopLevelMixin = (
        alt.concat(*panels, columns=len(vectors))
        .resolve_scale(color="shared")
        .properties(title=make_title(FIGURES["series-moved"].title, None, *notes))
    )
    return chart


def _make_cells(
    cosines: Sequence[Float[np.ndarray, " neurons"]], edges: Edges
) -> Iterator[dict[str, Any]]:
    for step, of_step in enumerate(cosines, 1):
        finite = of_step[~np.isnan(of_step)]
        # Rounding may put a cosine a little beyond 1.
        counts, _ = np.histogram(np.clip(finite, edges[0], edges[-1]), bins=edges)
        for i in np.flatnonzero(counts):
            yield {
                "step": step,
                "x": step - 0.45,
                "x2": step + 0.45,
                "y": round_value(edges[i]),
                "y2": round_value(edges[i + 1]),
                "n": int(counts[i]),
                "share": round_value(counts[i] / len(finite), 7),
            }


def _make_medians(cosines: Sequence[Float[np.ndarray, " neurons"]]) -> Iterator[dict[str, Any]]:
    for step, of_step in enumerate(cosines, 1):
        if (median := compute_quantiles(of_step, (0.5,))) is not None:
            yield {"step": step, "x": step - 0.45, "x2": step + 0.45, "y": median[0]}


def _draw_panel(
    cells: list[dict[str, Any]],
    medians: list[dict[str, Any]],
    title: str,
    models: Sequence[Model],
    edges: Edges,
    lowest_share: float,
) -> alt.LayerChart:
    last = len(models) - 1
    x = alt.X(
        "x:Q",
        title=None,
        axis=make_step_axis(models),
        scale=alt.Scale(domain=[0.5, last + 0.5], nice=False, zero=False),
    )
    scale = alt.Scale(domain=[float(edges[0]), 1.0], nice=False, zero=False)
    y = alt.Y("y:Q", title="cosine", scale=scale, axis=alt.Axis(tickCount=6, format="~r"))
    colour = alt.Color(
        "share:Q",
        title="share",
        scale=alt.Scale(type="log", domain=[lowest_share, 1], range=list(SEQUENTIAL)),
        legend=alt.Legend(format="~%", tickCount=4),
    )
    tooltip = [
        "step:O",
        alt.Tooltip("y:Q", title="cosine from", format=".3f"),
        alt.Tooltip("n:Q", title="neurons", format=","),
        alt.Tooltip("share:Q", format=".3~%"),
    ]
    rects = (
        alt.Chart(make_data(cells))
        .mark_rect()
        .encode(x=x, x2="x2:Q", y=y, y2="y2:Q", color=colour, tooltip=tooltip)
    )
    lines = (
        alt.Chart(make_data(medians))
        .mark_rule(color=INK, strokeWidth=2)
        .encode(x=x, x2="x2:Q", y=y, tooltip=["step:O", alt.Tooltip("y:Q", title="median")])
    )
    width = max(110, min(220, 34 * last))
    return overlay(rects, lines).properties(
        width=width, height=HEIGHT, title=make_panel_title(title)
    )
