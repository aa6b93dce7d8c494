"""How many neurons of each class every layer has; a cell leads to them."""

from typing import Any, Final

import altair as alt
from sqlalchemy import Connection

from neurondb.figures.chart_parts import (
    make_count_colour,
    make_data,
    make_search_link,
    make_title,
    overlay,
)
from neurondb.figures.palette import CLASS_COLOURS, INK, SURFACE
from neurondb.figures.registry import FIGURES
from neurondb.figures.requirements import make_missing_stage_error
from neurondb.reading.arrays import count_classes
from neurondb.reading.models import Model

LEAST_HEIGHT: Final = 280
"""Least height in pixels, so that few classes are no thin strip."""
MOST_NUMBERED_LAYERS: Final = 14
"""Up to so many layers, a cell has room for its number."""


def draw(connection: Connection, model: Model, base_url: str = "") -> alt.TopLevelMixin:
    """Return a cell for each class and layer that has neurons."""
    rows = _make_rows(connection, model, base_url)
    if not rows:
        raise make_missing_stage_error("weights", model)
    highest = max(row["n"] for row in rows)
    cell = 46 if model.n_layers <= MOST_NUMBERED_LAYERS else 22
    base = alt.Chart(make_data(rows)).encode(
        x=alt.X("layer:O", title="layer", axis=alt.Axis(labelAngle=0, domain=False, ticks=False)),
        y=alt.Y(
            "class:N",
            title=None,
            sort=list(CLASS_COLOURS),
            axis=alt.Axis(labelLimit=260, domain=False, ticks=False, labelPadding=8),
        ),
    )
    tooltip = ["class:N", "layer:O", alt.Tooltip("n:Q", title="neurons", format=",")]
    cells = base.mark_rect(cornerRadius=2, stroke=SURFACE, strokeWidth=2).encode(
        color=make_count_colour(highest), tooltip=tooltip, href="href:N"
    )
    parts: list[alt.Chart] = [cells]
    if model.n_layers <= MOST_NUMBERED_LAYERS:
        parts.append(_draw_numbers(base, highest))
    notes = (f"τ = {model.threshold:g}", "logarithmic colours; a cell without neurons is empty")
    n_classes = len({row["class"] for row in rows})
    return overlay(*parts).properties(
        width=cell * model.n_layers,
        height=max(26 * n_classes, min(64 * n_classes, LEAST_HEIGHT)),
        title=make_title(FIGURES["class-heatmap"].title, model, *notes),
    )


def _draw_numbers(base: alt.Chart, highest: int) -> alt.Chart:
    """Return the counts, light on the dark half of the colours."""
    dark = f"datum.n > {max(highest, 2) ** 0.45}"
    chart: alt.Chart = base.mark_text(fontSize=11, tooltip=None).encode(
        text=alt.Text("n:Q", format=","),
        color=alt.condition(dark, alt.value(SURFACE), alt.value(INK)),
        href="href:N",
    )
    return chart


def _make_rows(connection: Connection, model: Model, base_url: str) -> list[dict[str, Any]]:
    return [
        {
            "layer": count.layer,
            "class": count.class_name,
            "n": count.n,
            "href": make_search_link(base_url, count.class_name, count.layer, model),
        }
        for count in count_classes(connection, model)
    ]
