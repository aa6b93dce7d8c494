"""Distributions of correlations with neurons of other models (universal-neurons, figure 11)."""

from collections.abc import Iterator, Sequence
from typing import Any, Final

import altair as alt
import numpy as np
from sqlalchemy import Connection

from neurondb.figures.chart_parts import make_data, make_title, round_value
from neurondb.figures.matched_neurons import (
    MEASURES,
    Measure,
    describe_run,
    encode_models,
    iterate_pages,
    list_measures,
)
from neurondb.figures.registry import FIGURES
from neurondb.reading.models import Model

BIN: Final = 0.02
"""Width of a bin of correlations."""


def draw(connection: Connection, model: Model) -> alt.TopLevelMixin:
    """Return the distributions of one model."""
    return draw_models(connection, [model])


def draw_models(connection: Connection, models: Sequence[Model]) -> alt.TopLevelMixin:
    """Return a panel for each measure, with a line for each model."""
    pages = list(iterate_pages(connection, models))
    rows = [row for name, page in pages for row in _make_rows(name, list_measures(page))]
    names = [name for name, _ in pages]
    only = models[0] if len(models) == 1 else None
    notes = [describe_run(pages[0][1]) if only else "each with the models of its newest run"]
    title = make_title(FIGURES["universality-distributions"].title, only, *notes)
    panels = [_draw_panel(rows, measure, names) for measure in MEASURES]
    chart: alt.TopLevelMixin = alt.hconcat(*panels, spacing=24).properties(title=title)
    return chart


def _make_rows(name: str, measures: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for measure, values in measures.items():
        bins, counts = np.unique(np.floor(values / BIN).astype(np.int64), return_counts=True)
        found = dict(zip(bins.tolist(), counts.tolist(), strict=True))
        for place in range(min(found) - 1, max(found) + 2):
            yield {
                "model": name,
                "measure": measure,
                "x": round_value((place + 0.5) * BIN),
                "share": round_value(found.get(place, 0) / len(values), 6),
            }


def _draw_panel(rows: list[dict[str, Any]], measure: Measure, names: list[str]) -> alt.Chart:
    own = [row for row in rows if row["measure"] == measure.name]
    tooltip = [
        alt.Tooltip("model:N"),
        alt.Tooltip("x:Q", title=measure.title, format=".2f"),
        alt.Tooltip("share:Q", title="neurons", format=".3%"),
    ]
    y_title = "share of neurons" if measure is MEASURES[0] else None
    chart: alt.Chart = (
        alt.Chart(make_data(own))
        .mark_line(interpolate="step", strokeWidth=1.5)
        .encode(
            x=alt.X("x:Q", title=measure.title, axis=alt.Axis(tickCount=6, grid=False)),
            y=alt.Y("share:Q", title=y_title, axis=alt.Axis(format="~%", tickCount=5)),
            tooltip=tooltip,
            **encode_models(names),
        )
        .properties(width=230, height=220)
    )
    return chart
