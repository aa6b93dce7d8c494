"""Medians of the cosines between a neuron's own vectors, over a series of models."""

from collections.abc import Iterator, Sequence
from typing import Any, Final

import altair as alt
import numpy as np
from jaxtyping import Float
from sqlalchemy import Connection

from neurondb.figures.chart_parts import (
    choose_layers,
    compute_quantiles,
    make_data,
    make_panel_title,
    make_title,
    overlay,
    title_pair,
)
from neurondb.figures.palette import INK, OUTLINE, SEQUENTIAL
from neurondb.figures.registry import FIGURES
from neurondb.figures.requirements import require_series
from neurondb.figures.series_steps import make_step_axis, name_steps
from neurondb.reading.arrays import list_pairs, read_all_cosines
from neurondb.reading.models import Model

HEIGHT: Final = 240


def draw(connection: Connection, model: Model, series: int | None = None) -> alt.TopLevelMixin:
    """Return a panel for each pair of vectors: a line for all neurons, one for each layer."""
    found = require_series(connection, model, series)
    cosines = [read_all_cosines(connection, one) for one in found.models]
    pairs = [
        pair
        for pair in reversed(list_pairs(found.models[0]))
        if all(pair in of_model for of_model in cosines)
    ]
    panels = [
        _draw_panel([of_model[pair] for of_model in cosines], pair, found.models) for pair in pairs
    ]
    notes = (name_steps(found), "thick: all neurons; thin: each layer")
    chart: alt.TopLevelMixin = alt.hconcat(*panels, spacing=24).properties(
        title=make_title(FIGURES["series-medians"].title, None, *notes)
    )
    return chart


def _make_rows(
    cosines: Sequence[Float[np.ndarray, "layers neurons"]],
) -> Iterator[dict[str, Any]]:
    """Yield a row for each step and layer; `layer` is None for all neurons."""
    for step, of_step in enumerate(cosines):
        for layer, values in ((None, of_step.ravel()), *enumerate(of_step)):
            if (median := compute_quantiles(values, (0.5,))) is not None:
                yield {"step": step, "layer": layer, "median": median[0]}


def _draw_panel(
    cosines: Sequence[Float[np.ndarray, "layers neurons"]], pair: str, models: Sequence[Model]
) -> alt.LayerChart:
    n_layers = len(cosines[0])
    rows = list(_make_rows(cosines))
    of_layers = [row for row in rows if row["layer"] is not None]
    of_all = [row for row in rows if row["layer"] is None]
    x = alt.X(
        "step:Q",
        title=None,
        axis=make_step_axis(models),
        scale=alt.Scale(domain=[0, len(models) - 1], nice=False, zero=False),
    )
    y = alt.Y(
        "median:Q",
        title=f"median {title_pair(pair)}",
        scale=alt.Scale(zero=False),
        axis=alt.Axis(labelFlush=True),
    )
    tooltip = [alt.Tooltip("step:O"), alt.Tooltip("median:Q", format="+.4f")]
    colour = alt.Color(
        "layer:Q",
        title="layer",
        scale=alt.Scale(domain=[0, max(1, n_layers - 1)], range=list(SEQUENTIAL[1:])),
        legend=alt.Legend(format="d", values=choose_layers(n_layers, 6)),
    )
    zero = alt.Chart(make_data([{"median": 0}])).mark_rule(color=OUTLINE, strokeWidth=0.8)
    layers = alt.Chart(make_data(of_layers)).mark_line(strokeWidth=1.2)
    whole = alt.Chart(make_data(of_all)).mark_line(
        color=INK, strokeWidth=3, point=alt.OverlayMarkDef(color=INK, size=30)
    )
    width = max(150, min(260, 60 * (len(models) - 1)))
    return overlay(
        zero.encode(y=y),
        layers.encode(x=x, y=y, detail="layer:N", color=colour, tooltip=["layer:O", *tooltip]),
        whole.encode(x=x, y=y, tooltip=tooltip),
    ).properties(width=width, height=HEIGHT, title=make_panel_title(title_pair(pair)))
