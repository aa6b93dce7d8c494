"""Median and quartiles of the cosines in every layer, before the random region (METHODS §10)."""

from collections.abc import Iterator
from typing import Any, Final

import altair as alt
from sqlalchemy import Connection

from neurondb.figures.chart_parts import (
    PAIR_TITLES,
    compute_quantiles,
    make_data,
    make_layer_axis,
    make_title,
    overlay,
    round_value,
)
from neurondb.figures.palette import ACCENT, BAND
from neurondb.figures.registry import FIGURES
from neurondb.figures.requirements import make_missing_stage_error
from neurondb.reading.arrays import choose_region, list_pairs, read_all_cosines, read_random_regions
from neurondb.reading.models import Model

QUARTILES: Final = (0.25, 0.5, 0.75)


def draw(connection: Connection, model: Model) -> alt.TopLevelMixin:
    """Return a panel for each pair of vectors."""
    rows = list(_make_rows(connection, model))
    if not rows:
        raise make_missing_stage_error("weights", model)
    y = alt.Y("median:Q", title="cosine", scale=alt.Scale(nice=True, zero=True))
    x = alt.X(
        "layer:Q", title="layer", axis=make_layer_axis(model.n_layers), scale=alt.Scale(nice=False)
    )
    base = alt.Chart().encode(x=x)
    layers = overlay(
        base.mark_area(color=BAND).encode(y=alt.Y("low:Q", title="cosine"), y2="high:Q"),
        base.mark_area(color=ACCENT, opacity=0.25).encode(y="q25:Q", y2="q75:Q"),
        base.mark_line(color=ACCENT, strokeWidth=2).encode(y=y),
        base.mark_point(color=ACCENT, filled=True, size=28, opacity=1).encode(
            y=y, tooltip=_make_tooltip()
        ),
    ).properties(width=230, height=230)
    panels = [PAIR_TITLES[pair] for pair in list_pairs(model)]
    facet = alt.Facet("pair:N", sort=panels, header=alt.Header(title=None))
    notes = ("line: median, band: quartiles", "grey: where 95% of mismatched or random pairs lie")
    return layers.facet(facet, columns=len(panels), data=make_data(rows)).properties(
        title=make_title(FIGURES["median-cosines-by-layer"].title, model, *notes)
    )


def _make_rows(connection: Connection, model: Model) -> Iterator[dict[str, Any]]:
    regions = read_random_regions(connection, model)
    for pair, values in read_all_cosines(connection, model).items():
        for layer, of_layer in enumerate(values):
            three = compute_quantiles(of_layer, QUARTILES)
            if three is None:
                continue
            row = dict(zip(("q25", "median", "q75"), three, strict=True))
            region = choose_region(regions, layer, pair)
            if region is not None:
                # cos(gate, in) is compared by its absolute value, and is not negative here.
                ends = region[0]
                row |= {"low": round_value(ends.low), "high": round_value(ends.high)}
            yield {"layer": layer, "pair": PAIR_TITLES[pair], **row}


def _make_tooltip() -> list[alt.Tooltip]:
    names = {"median": "median", "q25": "lower quartile", "q75": "upper quartile"}
    ends = {"low": "random from", "high": "random to"}
    return [
        alt.Tooltip("pair:N", title="of"),
        alt.Tooltip("layer:Q"),
        *(alt.Tooltip(f"{k}:Q", title=v, format=".3f") for k, v in (names | ends).items()),
    ]
