"""The read-write classes of every layer's neurons, as shares (METHODS §10)."""

from collections import Counter
from typing import Any

import altair as alt
from sqlalchemy import Connection

from neurondb.figures.chart_parts import make_data, make_title, round_value
from neurondb.figures.palette import CLASS_COLOURS
from neurondb.figures.registry import FIGURES
from neurondb.figures.requirements import make_missing_stage_error
from neurondb.reading.arrays import ClassCount, count_classes
from neurondb.reading.models import Model


def draw(connection: Connection, model: Model) -> alt.TopLevelMixin:
    """Return a stacked bar for each layer."""
    counts = count_classes(connection, model)
    if not counts:
        raise make_missing_stage_error("weights", model)
    class_names = {count.class_name for count in counts}
    names = [name for name in CLASS_COLOURS if name in class_names]
    width = max(180, min(760, 26 * model.n_layers))
    bars = alt.Chart(make_data(_make_rows(counts))).mark_bar(strokeWidth=0)
    chart: alt.TopLevelMixin = bars.encode(
        x=alt.X(
            "layer:O",
            title="layer",
            axis=alt.Axis(labelAngle=0),
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
    ).properties(
        width=width,
        height=320,
        title=make_title(FIGURES["classes-by-layer"].title, model, f"τ = {model.threshold:g}"),
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
