"""How often the neurons of each class fire, and others of their layers (METHODS §10)."""

from typing import Any, Final, NamedTuple

import altair as alt
import numpy as np
from jaxtyping import Float
from sqlalchemy import Connection

from neurondb.figures.chart_parts import make_data, make_title, overlay, round_value
from neurondb.figures.palette import CLASS_COLOURS, INK, SURFACE
from neurondb.figures.registry import FIGURES
from neurondb.figures.requirements import (
    make_missing_dataset_error,
    make_missing_stage_error,
    require_dataset,
)
from neurondb.formatting.text import make_visible
from neurondb.reading.arrays import read_class_ids, read_frequencies
from neurondb.reading.models import Model

QUANTILES: Final = {"q05": 0.05, "q25": 0.25, "median": 0.5, "q75": 0.75, "q95": 0.95}
ROW_HEIGHT: Final = 30
LEAST: Final = 320
"""Least height in pixels, so that few classes are no thin strip."""
Values = Float[np.ndarray, "layers neurons"]


class ClassFrequency(NamedTuple):
    """Frequencies of a class, and what random neurons of its layers outside it have on average.

    `outside` weighs each layer as many times as the class has neurons there, of layers that have
    others; None where none has.
    """

    class_id: int
    values: Float[np.ndarray, " neurons"]
    outside: float | None


def draw(connection: Connection, model: Model, dataset: str | None = None) -> alt.TopLevelMixin:
    """Return a box for each class, with its mean and its baseline."""
    chosen = require_dataset(connection, model, dataset)
    often = read_frequencies(connection, model, chosen)
    found = split_by_class(often, read_class_ids(connection, model))
    if not found:
        raise (
            make_missing_dataset_error(connection, model, chosen)
            if np.isnan(often).all()
            else make_missing_stage_error("weights", model)
        )
    rows = [_make_row(one) for one in found]
    condition = "gate > 0" if model.gated else "post > 0"
    title = f"share of tokens with {condition}"
    notes = (
        f"on {make_visible(chosen.name)} · τ = {model.threshold:g}",
        "box: quartiles and median, whisker: 5% to 95%, dot: mean",
        "tall line: mean of the same layers' neurons outside the class",
    )
    return _draw_layers(rows, title).properties(
        width=520,
        height=max(ROW_HEIGHT * len(rows), min(64 * len(rows), LEAST)),
        title=make_title(FIGURES["frequency-by-class"].title, model, *notes),
    )


def split_by_class(often: Values, ids: Values) -> list[ClassFrequency]:
    """Return the frequencies of each class that has any, in the published order."""
    known = ~np.isnan(often) & ~np.isnan(ids)
    totals = np.where(known, often, 0).sum(axis=1)
    sizes = known.sum(axis=1)
    found = []
    for class_id in range(len(CLASS_COLOURS)):
        inside = known & (ids == class_id)
        n, sums = inside.sum(axis=1), np.where(inside, often, 0).sum(axis=1)
        there = (n > 0) & (sizes > n)
        means = (totals - sums)[there] / (sizes - n)[there]
        outside = float(np.average(means, weights=n[there])) if there.any() else None
        if inside.any():
            found.append(ClassFrequency(class_id, often[inside], outside))
    return found


def _make_row(one: ClassFrequency) -> dict[str, Any]:
    spread = np.quantile(one.values, list(QUANTILES.values()))
    return {
        "class": list(CLASS_COLOURS)[one.class_id],
        "n": len(one.values),
        "mean": round_value(one.values.mean(), 5),
        "outside": None if one.outside is None else round_value(one.outside, 5),
        **{name: round_value(value, 5) for name, value in zip(QUANTILES, spread, strict=True)},
    }


def _draw_layers(rows: list[dict[str, Any]], title: str) -> alt.LayerChart:
    names = [row["class"] for row in rows]
    colours = [CLASS_COLOURS[name] for name in names]
    axis = alt.Axis(labelLimit=260, domain=False, ticks=False, labelPadding=8)
    colour = alt.Color("class:N", scale=alt.Scale(domain=names, range=colours), legend=None)
    base = alt.Chart(make_data(rows)).encode(
        y=alt.Y("class:N", title=None, sort=names, axis=axis), tooltip=_make_tooltip()
    )
    x = alt.X(
        "q05:Q",
        title=title,
        scale=alt.Scale(domain=[0, 1]),
        axis=alt.Axis(format="%", tickCount=6),
    )
    return overlay(
        base.mark_rule(strokeWidth=1.5).encode(x=x, x2="q95:Q", color=colour),
        base.mark_bar(size=15).encode(x=alt.X("q25:Q"), x2="q75:Q", color=colour),
        base.mark_tick(thickness=2, size=15, color=SURFACE, opacity=1).encode(x="median:Q"),
        base.mark_tick(thickness=2.5, size=24, color=INK, opacity=1).encode(x="outside:Q"),
        base.mark_point(
            filled=True, size=46, fill=SURFACE, stroke=INK, strokeWidth=1.5, opacity=1
        ).encode(x="mean:Q"),
    )


def _make_tooltip() -> list[Any]:
    titles = {"mean": "mean", "outside": "same layers, outside"} | {
        "q05": "5%",
        "q25": "25%",
        "median": "median",
        "q75": "75%",
        "q95": "95%",
    }
    return [
        alt.Tooltip("class:N"),
        alt.Tooltip("n:Q", title="neurons", format=","),
        *(alt.Tooltip(f"{name}:Q", title=title, format=".1%") for name, title in titles.items()),
    ]
