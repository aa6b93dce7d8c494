"""How many neurons have a correlation above any threshold (universal-neurons, figure 14)."""

from collections.abc import Iterator, Sequence
from typing import Any, Final

import altair as alt
import numpy as np
from sqlalchemy import Connection

from neurondb.contracts.universality import UNIVERSAL
from neurondb.figures.chart_parts import make_data, make_title, overlay, round_value
from neurondb.figures.matched_neurons import (
    MEASURES,
    Measure,
    describe_run,
    encode_models,
    iterate_pages,
    list_measures,
)
from neurondb.figures.palette import OUTLINE
from neurondb.figures.registry import FIGURES
from neurondb.reading.models import Model

STEP: Final = 0.01


def draw(connection: Connection, model: Model) -> alt.TopLevelMixin:
    """Return the curves of one model."""
    return draw_models(connection, [model])


def draw_models(connection: Connection, models: Sequence[Model]) -> alt.TopLevelMixin:
    """Return a panel for each measure, with a curve for each model; shares are logarithmic."""
    pages = list(iterate_pages(connection, models))
    rows = [row for name, page in pages for row in _make_rows(name, list_measures(page))]
    names = [name for name, _ in pages]
    only = models[0] if len(models) == 1 else None
    notes = [describe_run(pages[0][1]) if only else "each with the models of its newest run"]
    notes.append(f"dashes: an excess of {UNIVERSAL:g}, above which a neuron is universal")
    title = make_title(FIGURES["universality-tails"].title, only, *notes)
    lowest = min(row["share"] for row in rows)
    panels = [_draw_panel(rows, measure, names, lowest) for measure in MEASURES]
    chart: alt.TopLevelMixin = alt.hconcat(*panels, spacing=24).properties(title=title)
    return chart


def _make_rows(name: str, measures: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield, for each threshold that some neuron is above, the share of neurons that are."""
    for measure, values in measures.items():
        ordered = np.sort(values)
        for step in range(int(np.floor(ordered[0] / STEP)), int(np.ceil(ordered[-1] / STEP))):
            threshold = step * STEP
            n_above = len(ordered) - int(np.searchsorted(ordered, threshold, side="right"))
            if n_above:
                yield {
                    "model": name,
                    "measure": measure,
                    "threshold": round_value(threshold),
                    "share": round_value(n_above / len(ordered), 7),
                    "n": n_above,
                }


def _draw_panel(
    rows: list[dict[str, Any]], measure: Measure, names: list[str], lowest: float
) -> alt.LayerChart:
    own = [row for row in rows if row["measure"] == measure.name]
    tooltip = [
        alt.Tooltip("model:N"),
        alt.Tooltip("threshold:Q", title=f"{measure.title} above", format=".2f"),
        alt.Tooltip("share:Q", title="share of neurons", format=".3%"),
        alt.Tooltip("n:Q", title="neurons", format=","),
    ]
    y_title = "share of neurons above" if measure is MEASURES[0] else None
    line = (
        alt.Chart(make_data(own))
        .mark_line(strokeWidth=2)
        .encode(
            x=alt.X("threshold:Q", title=measure.title, axis=alt.Axis(tickCount=6, grid=False)),
            y=alt.Y(
                "share:Q",
                title=y_title,
                scale=alt.Scale(type="log", domain=[lowest, 1]),
                axis=alt.Axis(format="~%", tickCount=5),
            ),
            tooltip=tooltip,
            **encode_models(names),
        )
    )
    parts = [line]
    if measure.name == "excess":
        rule = alt.Chart(make_data([{"threshold": UNIVERSAL}]))
        dashes = rule.mark_rule(color=OUTLINE, strokeDash=[4, 3], strokeWidth=1.5)
        parts.append(dashes.encode(x="threshold:Q"))
    chart: alt.LayerChart = overlay(*parts).properties(width=230, height=220)
    return chart
