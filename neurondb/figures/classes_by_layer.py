"""The read-write classes of every layer's neurons, as shares (METHODS §10)."""

from collections import Counter
from collections.abc import Sequence
from typing import Any, Final

import altair as alt
from sqlalchemy import Connection

from neurondb.figures.chart_parts import (
    choose_columns,
    make_data,
    make_title,
    round_value,
)
from neurondb.figures.palette import CLASS_COLOURS
from neurondb.figures.registry import FIGURES
from neurondb.figures.requirements import make_missing_stage_error
from neurondb.formatting.text import make_visible
from neurondb.reading.arrays import ClassCount, count_classes
from neurondb.reading.models import Model

PANEL_WIDTH, PANEL_HEIGHT = 250, 170
MOST_PANELS_IN_A_ROW: Final = 3
"""Panels of several models side by side."""


def draw(connection: Connection, model: Model) -> alt.TopLevelMixin:
    """Return a stacked bar for each layer."""
    counts = _count_classes(connection, model)
    names = _order_names(counts)
    width = max(180, min(760, 26 * model.n_layers))
    return _draw_bars(counts, names).properties(
        width=width,
        height=320,
        title=make_title(FIGURES["classes-by-layer"].title, model, f"τ = {model.threshold:g}"),
    )


def draw_models(connection: Connection, models: Sequence[Model]) -> alt.TopLevelMixin:
    """Return a panel of stacked bars for each model, in the same colours."""
    counts = [_count_classes(connection, model) for model in models]
    names = _order_names([count for of_model in counts for count in of_model])
    panels = [
        _draw_bars(of_model, names, few_labels=True).properties(
            width=PANEL_WIDTH,
            height=PANEL_HEIGHT,
            title=alt.TitleParams(make_visible(model.name), fontSize=12, offset=6),
        )
        for model, of_model in zip(models, counts, strict=True)
    ]
    thresholds = sorted({model.threshold for model in models})
    note = f"τ = {', '.join(f'{threshold:g}' for threshold in thresholds)}"
    chart: alt.TopLevelMixin = (
        alt.concat(*panels, columns=choose_columns(len(panels), MOST_PANELS_IN_A_ROW))
        .resolve_scale(color="shared")
        .properties(title=make_title(FIGURES["classes-by-layer"].title, None, note))
    )
    return chart


def _count_classes(connection: Connection, model: Model) -> list[ClassCount]:
    counts = count_classes(connection, model)
    if not counts:
        raise make_missing_stage_error("weights", model)
    return counts


def _order_names(counts: list[ClassCount]) -> list[str]:
    class_names = {count.class_name for count in counts}
    return [name for name in CLASS_COLOURS if name in class_names]


def _draw_bars(
    counts: list[ClassCount], names: list[str], *, few_labels: bool = False
) -> alt.Chart:
    bars = alt.Chart(make_data(_make_rows(counts))).mark_bar(strokeWidth=0)
    n_layers = 1 + max(count.layer for count in counts)
    labels = alt.Axis(labelAngle=0)
    if few_labels:
        labels = alt.Axis(labelAngle=0, values=list(range(0, n_layers, -(-n_layers // 8))))
    chart: alt.Chart = bars.encode(
        x=alt.X(
            "layer:O",
            title="layer",
            axis=labels,
            scale=alt.Scale(paddingInner=0.08, paddingOuter=0.04),
        ),
        y=alt.Y(
            "share:Q",
            title="share of the layer's neurons",
            stack="zero",
            axis=alt.Axis(format="%", tickCount=5),
            scale=alt.Scale(domain=[0, 1]),
        ),
        color=alt.Color(
            "class:N",
            title="class",
            scale=alt.Scale(domain=names, range=[CLASS_COLOURS[name] for name in names]),
        ),
        order=alt.Order("order:Q", sort="descending"),
        tooltip=[
            "class:N",
            "layer:O",
            alt.Tooltip("n:Q", title="neurons", format=","),
            alt.Tooltip("share:Q", format=".2%"),
        ],
    )
    return chart


def _make_rows(counts: list[ClassCount]) -> list[dict[str, Any]]:
    totals: Counter[int] = Counter()
    for count in counts:
        totals[count.layer] += count.n
    order = {name: place for place, name in enumerate(CLASS_COLOURS)}
    return [
        {
            "layer": count.layer,
            "class": count.class_name,
            "n": count.n,
            "share": round_value(count.n / totals[count.layer], 5),
            "order": order[count.class_name],
        }
        for count in counts
    ]
