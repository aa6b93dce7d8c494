"""The neurons of many layers by their cosines, a small panel each."""

from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple

import altair as alt
import numpy as np
from jaxtyping import Float
from sqlalchemy import Connection

from neurondb.figures import cosine_histogram_grid
from neurondb.figures.binning import choose_points, make_grid
from neurondb.figures.chart_parts import (
    PAIR_TITLES,
    choose_columns,
    choose_layers,
    make_data,
    make_title,
    overlay,
    round_value,
)
from neurondb.figures.class_regions import SHORT_NAMES, make_names, make_threshold_lines
from neurondb.figures.layer_scatter import find_limit, make_axes, make_cell_rows, make_colour
from neurondb.figures.palette import INK, MUTED, OUTLINE, SURFACE
from neurondb.figures.registry import FIGURES
from neurondb.figures.requirements import make_missing_stage_error
from neurondb.reading.arrays import choose_region, read_all_cosines, read_random_regions
from neurondb.reading.models import Model

Values = Float[np.ndarray, " neurons"]


class _Size(NamedTuple):
    """How large panels are, and how much stands in each, so that the whole stays small.

    Attributes:
        side: pixels of a panel.
        columns: most panels side by side.
        cells: cells along each axis where neurons are too many to be points.
        points: up to so many neurons, each is a point.
        sparse: with more, so many points of the sparsest cells.
    """

    side: int
    columns: int
    cells: int
    points: int
    sparse: int


_SIZES: Final = {
    4: _Size(230, 4, 56, 2000, 500),
    12: _Size(160, 4, 40, 700, 150),
    24: _Size(125, 6, 32, 300, 0),
    48: _Size(105, 8, 26, 150, 0),
}
"""Most panels → sizes."""


def draw(
    connection: Connection, model: Model, layers: Sequence[int] | None = None
) -> alt.TopLevelMixin:
    """Return cos(gate, out) × cos(in, out), a panel a layer; of ungated models histograms."""
    shown = list(layers) if layers else choose_layers(model.n_layers, max(_SIZES))
    cosines = {layer: read_all_cosines(connection, model, layer) for layer in shown}
    of_layer = {
        layer: {pair: values[0] for pair, values in pairs.items()}
        for layer, pairs in cosines.items()
        if not np.isnan(pairs["in_out"]).all()
    }
    if not of_layer:
        raise make_missing_stage_error("weights", model)
    if not model.gated:
        values = {layer: pairs["in_out"] for layer, pairs in of_layer.items()}
        return cosine_histogram_grid.draw_layers(connection, model, values)
    size = next(size for most, size in _SIZES.items() if len(of_layer) <= most or most == 48)
    limit = find_limit(
        model, *(pairs[pair] for pairs in of_layer.values() for pair in ("gate_out", "in_out"))
    )
    rows = [
        *_make_rows(model, of_layer, limit, size),
        *_make_frames(connection, model, of_layer, limit),
    ]
    facet = alt.Facet("layer:O", header=alt.Header(title=None, labelExpr="'layer ' + datum.value"))
    chart: alt.TopLevelMixin = (
        _draw_panel(limit, size, max((row["n"] for row in rows if "n" in row), default=1))
        .facet(
            facet,
            columns=choose_columns(len(of_layer), size.columns),
            data=make_data(rows),
            spacing=14,
        )
        .properties(
            title=make_title(
                FIGURES["layer-scatter-grid"].title, model, *_write_notes(model, limit, rows)
            )
        )
    )
    return chart


def _write_notes(model: Model, limit: float, rows: Sequence[dict[str, Any]]) -> Iterator[str]:
    yield "rectangles: 95% of mismatched or random pairs"
    if limit > model.threshold:
        names = ", ".join(f"{short} {name}" for name, short in SHORT_NAMES.items())
        yield f"dotted: ±τ = {model.threshold:g}; {names}"
    if any("n" in row for row in rows):
        yield "squares: several neurons, the more the denser"


def _make_rows(
    model: Model, of_layer: dict[int, dict[str, Values]], limit: float, size: _Size
) -> Iterator[dict[str, Any]]:
    """Yield the points and the cells of every layer."""
    lattice = make_grid((-limit, limit), (-limit, limit), size.cells)
    for layer, cosines in of_layer.items():
        finite = np.flatnonzero(~np.isnan(cosines["in_out"]) & ~np.isnan(cosines["gate_out"]))
        x, y, c = (np.nan_to_num(cosines[p][finite]) for p in ("gate_out", "in_out", "gate_in"))
        cells = lattice.cells(x, y)
        nowhere = np.zeros(len(cells), dtype=bool)
        single = choose_points(cells, nowhere, size.points, size.sparse)
        for row in make_cell_rows(lattice, cells[~single], c[~single]):
            yield {"layer": layer, "kind": "cell"} | row
        for i in np.flatnonzero(single):
            place = {"x": round_value(x[i], 3), "y": round_value(y[i], 3)}
            name = model.name_place(layer, int(finite[i]))
            yield {
                "layer": layer,
                "kind": "point",
                **place,
                "c": round_value(c[i], 3),
                "name": name,
            }


def _make_frames(
    connection: Connection, model: Model, layers: Sequence[int] | dict[int, Any], limit: float
) -> Iterator[dict[str, Any]]:
    """Yield the lines at ±τ, the names of classes and the random region of every layer."""
    regions = read_random_regions(connection, model)
    for layer in layers:
        for line in make_threshold_lines(model.threshold, limit):
            yield {"layer": layer, "kind": "line"} | line
        for name in make_names(model.threshold, limit):
            yield {"layer": layer, "kind": "class", **{k: name[k] for k in ("x", "y", "short")}}
        x, y = (choose_region(regions, layer, pair) for pair in ("gate_out", "in_out"))
        if x is not None and y is not None:
            ends = {"x": x[0].low, "x2": x[0].high, "y": y[0].low, "y2": y[0].high}
            yield {"layer": layer, "kind": "region"} | {k: round_value(v) for k, v in ends.items()}


def _draw_panel(limit: float, size: _Size, highest: int) -> alt.LayerChart:
    axes = make_axes(limit, 3 if size.side < 200 else 5)
    ends = {"x2": "x2:Q", "y2": "y2:Q"}

    def choose(kind: str) -> alt.Chart:
        return alt.Chart().transform_filter(f"datum.kind == '{kind}'").encode(**axes)

    # Without descriptions for screen readers, which would be most of a file.
    opacity = alt.Opacity(
        "n:Q",
        scale=alt.Scale(type="log", domain=[1, max(highest, 2)], range=[0.45, 1]),
        legend=None,
    )
    cells = choose("cell").mark_rect(aria=False)
    points = choose("point").mark_circle(size=9 if size.side < 150 else 16, opacity=1, aria=False)
    lines = choose("line").mark_rule(color=OUTLINE, strokeWidth=0.7, strokeDash=[2, 3], aria=False)
    region = choose("region").mark_rect(
        fill=None, stroke=INK, strokeWidth=0.9, fillOpacity=0, aria=False
    )
    names = choose("class").encode(text="short:N")
    font: dict[str, Any] = {"fontSize": 8 if size.side < 150 else 9, "aria": False}
    return overlay(
        cells.encode(**ends, color=make_colour(), opacity=opacity, tooltip=_make_tooltip("n")),
        points.encode(color=make_colour(), tooltip=_make_tooltip("name")),
        region.encode(**ends),
        lines.encode(**ends),
        names.mark_text(stroke=SURFACE, strokeWidth=2.5, **font),
        names.mark_text(color=MUTED, **font),
    ).properties(width=size.side, height=size.side)


def _make_tooltip(what: str) -> list[Any]:
    of_many = what == "n"
    first = (
        alt.Tooltip("n:Q", title="neurons", format=",")
        if of_many
        else alt.Tooltip("name:N", title="neuron")
    )
    prefix = "mean " if of_many else ""
    return [first, alt.Tooltip("c:Q", title=f"{prefix}{PAIR_TITLES['gate_in']}", format=".3f")]
