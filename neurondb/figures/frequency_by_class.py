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
LEAST_HEIGHT: Final = 320
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
    shown_dataset = require_dataset(connection, model, dataset)
    frequencies = read_frequencies(connection, model, shown_dataset)
    class_frequencies = split_by_class(frequencies, read_class_ids(connection, model))
    if not class_frequencies:
        raise (
            make_missing_dataset_error(connection, model, shown_dataset)
            if np.isnan(frequencies).all()
            else make_missing_stage_error("weights", model)
        )
    rows = [_make_row(class_frequency) for class_frequency in class_frequencies]
    condition = "gate > 0" if model.gated else "post > 0"
    title = f"share of tokens with {condition}"
    notes = (
        f"on {make_visible(shown_dataset.name)} · τ = {model.threshold:g}",
        "box: quartiles and median, whisker: 5% to 95%, dot: mean",
        "tall line: mean of the same layers' neurons outside the class",
    )
    return _draw_layers(rows, title).properties(
        width=520,
        height=max(ROW_HEIGHT * len(rows), min(64 * len(rows), LEAST_HEIGHT)),
        title=make_title(FIGURES["frequency-by-class"].title, model, *notes),
    )


def split_by_class(frequencies: Values, ids: Values) -> list[ClassFrequency]:
    """Return the frequencies of each class that has any, in the published order."""
    finite = ~np.isnan(frequencies) & ~np.isnan(ids)
    totals = np.where(finite, frequencies, 0).sum(axis=1)
    sizes = finite.sum(axis=1)
    class_frequencies = []
    for class_id in range(len(CLASS_COLOURS)):
        in_class = finite & (ids == class_id)
        n, sums = in_class.sum(axis=1), np.where(in_class, frequencies, 0).sum(axis=1)
        comparable = (n > 0) & (sizes > n)
        means = (totals - sums)[comparable] / (sizes - n)[comparable]
        outside = float(np.average(means, weights=n[comparable])) if comparable.any() else None
        if in_class.any():
            class_frequencies.append(ClassFrequency(class_id, frequencies[in_class], outside))
    return class_frequencies


def _make_row(class_frequency: ClassFrequency) -> dict[str, Any]:
    spread = np.quantile(class_frequency.values, list(QUANTILES.values()))
    return {
        "class": list(CLASS_COLOURS)[class_frequency.class_id],
        "n": len(class_frequency.values),
        "mean": round_value(class_frequency.values.mean(), 5),
        "outside": None
        if class_frequency.outside is None
        else round_value(class_frequency.outside, 5),
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
