"""Median cos(in, out) over the depth of a model, of several models in one chart."""

from collections.abc import Iterator, Sequence
from itertools import cycle, product
from typing import Any, Final

import altair as alt
from sqlalchemy import Connection

from neurondb.figures.chart_parts import (
    PAIR_TITLES,
    compute_quantiles,
    make_data,
    make_title,
    overlay,
    round_value,
)
from neurondb.figures.palette import BAND, LINE_COLOURS, LINE_DASHES, OUTLINE
from neurondb.figures.registry import FIGURES
from neurondb.figures.requirements import make_missing_stage_error
from neurondb.formatting.text import make_visible
from neurondb.reading.arrays import choose_region, read_neuron_values, read_random_regions
from neurondb.reading.models import Model
from neurondb.schema import tables

PAIR: Final = "in_out"
WIDTH, HEIGHT = 620, 320


def draw(connection: Connection, model: Model) -> alt.TopLevelMixin:
    """Return the line of one model."""
    return draw_models(connection, [model])


def draw_models(connection: Connection, models: Sequence[Model]) -> alt.TopLevelMixin:
    """Return a line for each model, from its first layer (0) to its last (1)."""
    rows = [row for model in models for row in _make_rows(connection, model)]
    only = models[0] if len(models) == 1 else None
    notes = ["", "grey: where 95% of mismatched or random pairs lie"]
    if only is None:
        notes[1] += ", of any of the models"
    title = make_title(FIGURES["median-in-out-by-depth"].title, only, *notes)
    names = list(dict.fromkeys(row["model"] for row in rows))
    return _draw_layers(rows, names).properties(width=WIDTH, height=HEIGHT, title=title)


def _make_rows(connection: Connection, model: Model) -> Iterator[dict[str, Any]]:
    (cosines,) = read_neuron_values(connection, model, [tables.cosines.c[PAIR]])
    regions = read_random_regions(connection, model)
    found = False
    for layer, of_layer in enumerate(cosines):
        median = compute_quantiles(of_layer, (0.5,))
        if median is None:
            continue
        found = True
        row = {
            "model": make_visible(model.name),
            "layer": layer,
            "depth": round_value(layer / max(model.n_layers - 1, 1)),
            "median": median[0],
        }
        if (region := choose_region(regions, layer, PAIR)) is not None:
            row |= {"low": round_value(region[0].low), "high": round_value(region[0].high)}
        yield row
    if not found:
        raise make_missing_stage_error("weights", model)


def _draw_layers(rows: list[dict[str, Any]], names: list[str]) -> alt.LayerChart:
    looks = list(zip(names, cycle(product(LINE_DASHES, LINE_COLOURS)), strict=False))
    legend = None if len(names) == 1 else alt.Legend(symbolType="stroke", symbolSize=400)
    colour = alt.Color(
        "model:N",
        title="model",
        scale=alt.Scale(domain=names, range=[colour for _, (_, colour) in looks]),
        legend=legend,
    )
    dash = alt.StrokeDash(
        "model:N",
        title="model",
        scale=alt.Scale(domain=names, range=[dash for _, (dash, _) in looks]),
        legend=legend,
    )
    x = alt.X(
        "depth:Q",
        title="depth: layer ÷ last layer",
        scale=alt.Scale(domain=[0, 1], nice=False),
        axis=alt.Axis(tickCount=5, format="~r", grid=False),
    )
    y = alt.Y("median:Q", title=f"median {PAIR_TITLES[PAIR]}", axis=alt.Axis(tickCount=6))
    base = alt.Chart(make_data(rows)).encode(x=x)
    zero = alt.Chart(make_data([{"median": 0}])).mark_rule(color=OUTLINE, strokeWidth=0.75)
    return overlay(
        base.mark_area(color=BAND).encode(y=alt.Y("low:Q"), y2="high:Q", detail="model:N"),
        zero.encode(y=y),
        base.mark_line(strokeWidth=2).encode(y=y, color=colour, strokeDash=dash),
        base.mark_point(filled=True, size=22, opacity=1).encode(
            y=y, color=colour, tooltip=_make_tooltip()
        ),
    )


def _make_tooltip() -> list[Any]:
    titles = {"median": "median", "low": "random from", "high": "random to"}
    return [
        alt.Tooltip("model:N"),
        alt.Tooltip("layer:Q"),
        *(alt.Tooltip(f"{name}:Q", title=title, format=".3f") for name, title in titles.items()),
    ]
