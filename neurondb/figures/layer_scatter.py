"""The neurons of one layer by their cosines: cos(gate, out) against cos(in, out)."""

from collections.abc import Iterator
from typing import Any, Final

import altair as alt
import numpy as np
from jaxtyping import Float
from sqlalchemy import Connection

from neurondb.figures import cosine_histogram
from neurondb.figures.binning import Grid, choose_points, make_grid
from neurondb.figures.chart_parts import (
    PAIR_TITLES,
    make_data,
    make_neuron_link,
    make_title,
    overlay,
    round_value,
)
from neurondb.figures.class_regions import make_names, make_threshold_lines, widen_limit
from neurondb.figures.palette import DIVERGING, INK, MUTED, OUTLINE, SURFACE
from neurondb.figures.requirements import make_missing_layer_error
from neurondb.reading.arrays import read_all_cosines, read_random_regions
from neurondb.reading.models import Model

SIDE: Final = 440
KINDS: Final = ("mismatched", "gaussian")
_IS_NARROW: Final = "width < 300"
_LABEL: Final = (
    f"{_IS_NARROW} && !datum.upright ? replace(datum['class'], ' ', '/') : datum['class']"
)
"""What a class is called where its name is written: in two lines where names would meet."""
_LINE: Final = 11
Values = Float[np.ndarray, " neurons"]


def draw(
    connection: Connection,
    model: Model,
    layer: int,
    neuron: int | None = None,
    base_url: str = "",
) -> alt.TopLevelMixin:
    """Return cos(gate, out) × cos(in, out); of ungated models the distribution of the latter."""
    cosines = {
        pair: values[0] for pair, values in read_all_cosines(connection, model, layer).items()
    }
    if np.isnan(cosines["in_out"]).all():
        raise make_missing_layer_error("weights", model, layer)
    if not model.gated:
        return cosine_histogram.draw_layer(connection, model, layer, cosines["in_out"], neuron)
    limit = find_limit(model, cosines["gate_out"], cosines["in_out"])
    cells, points = _split_rows(model, layer, cosines, limit, base_url)
    parts: list[alt.Chart | alt.LayerChart] = [_draw_cross(limit)]
    if cells:
        parts.append(_draw_cells(cells, limit))
    parts += [_draw_points(points, limit), _draw_regions(connection, model, layer, limit)]
    parts += _draw_classes(model.threshold, limit)
    if neuron is not None and not np.isnan(cosines["in_out"][neuron]):
        parts.append(_draw_highlight(cosines, neuron, model.name_place(layer, neuron), limit))
    notes = [f"dotted: ±τ = {model.threshold:g}" if limit > model.threshold else ""]
    if cells:
        notes.append("squares: several neurons, the more the denser")
    title = make_title(f"Neurons of layer {layer} by their cosines", model, *notes)
    return overlay(*parts).properties(width=SIDE, height=SIDE, title=title)


def find_limit(model: Model, *values: Values) -> float:
    """Return how far both axes reach on either side of 0: to a tenth, or to have room beyond τ."""
    largest = max(float(np.nanmax(np.abs(of_pair))) for of_pair in values)
    return widen_limit(min(1.0, float(np.ceil(largest * 10 + 0.25)) / 10), model.threshold)


def make_axes(limit: float, n_ticks: int = 7) -> dict[str, Any]:
    """Return cos(gate, out) across and cos(in, out) up, from −limit to limit."""
    scale = alt.Scale(domain=[-limit, limit], nice=False)
    axis = alt.Axis(tickCount=n_ticks, format="~r")
    return {
        "x": alt.X("x:Q", title=PAIR_TITLES["gate_out"], scale=scale, axis=axis),
        "y": alt.Y("y:Q", title=PAIR_TITLES["in_out"], scale=scale, axis=axis),
    }


def make_colour() -> alt.Color:
    """Return the colours of cos(gate, in)."""
    scale = alt.Scale(
        domain=[-1, -0.5, 0, 0.5, 1], range=list(DIVERGING), clamp=True, interpolate="rgb"
    )
    legend = alt.Legend(values=[-1, -0.5, 0, 0.5, 1], format="~r")
    return alt.Color("c:Q", title=PAIR_TITLES["gate_in"], scale=scale, legend=legend)


def _split_rows(
    model: Model, layer: int, cosines: dict[str, Values], limit: float, base_url: str
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return the rows of the cells and those of the points."""
    finite = np.flatnonzero(~np.isnan(cosines["in_out"]) & ~np.isnan(cosines["gate_out"]))
    x, y, c = (np.nan_to_num(cosines[pair][finite]) for pair in ("gate_out", "in_out", "gate_in"))
    lattice = make_grid((-limit, limit), (-limit, limit))
    cells = lattice.cells(x, y)
    single = choose_points(cells, np.zeros(len(cells), dtype=bool))
    points = [
        {
            "x": round_value(x[i]),
            "y": round_value(y[i]),
            "c": round_value(c[i]),
            "name": model.name_place(layer, int(finite[i])),
            "href": make_neuron_link(base_url, model, layer, int(finite[i])),
        }
        for i in np.flatnonzero(single)
    ]
    return list(make_cell_rows(lattice, cells[~single], c[~single])), points


def make_cell_rows(lattice: Grid, cells: Any, c: Values) -> Iterator[dict[str, Any]]:
    """Yield the occupied cells: their ends, how many neurons are in each, and their mean `c`."""
    occupied, place, counts = np.unique(cells, return_inverse=True, return_counts=True)
    means = np.bincount(place, weights=c, minlength=len(occupied)) / counts
    for x, y, n, mean in zip(*lattice.corners(occupied), counts, means, strict=True):
        width, height = lattice.step
        yield {
            "x": round_value(x),
            "x2": round_value(x + width),
            "y": round_value(y),
            "y2": round_value(y + height),
            "n": int(n),
            "c": round_value(mean),
        }


def _draw_cells(rows: list[dict[str, Any]], limit: float) -> alt.Chart:
    highest = max(row["n"] for row in rows)
    chart: alt.Chart = (
        alt.Chart(make_data(rows))
        .mark_rect()
        .encode(
            **make_axes(limit),
            x2="x2:Q",
            y2="y2:Q",
            color=make_colour(),
            opacity=alt.Opacity(
                "n:Q",
                scale=alt.Scale(type="log", domain=[1, max(highest, 2)], range=[0.2, 1]),
                legend=None,
            ),
            tooltip=[
                alt.Tooltip("n:Q", title="neurons", format=","),
                alt.Tooltip("c:Q", title=f"mean {PAIR_TITLES['gate_in']}", format=".3f"),
            ],
        )
    )
    return chart


def _draw_points(rows: list[dict[str, Any]], limit: float) -> alt.Chart:
    tooltip = [
        alt.Tooltip("name:N", title="neuron"),
        alt.Tooltip("y:Q", title=PAIR_TITLES["in_out"], format=".3f"),
        alt.Tooltip("x:Q", title=PAIR_TITLES["gate_out"], format=".3f"),
        alt.Tooltip("c:Q", title=PAIR_TITLES["gate_in"], format=".3f"),
    ]
    mark = alt.Chart(make_data(rows)).mark_circle(size=26, opacity=0.85)
    chart: alt.Chart = mark.encode(
        **make_axes(limit), color=make_colour(), tooltip=tooltip, href="href:N"
    )
    return chart


def _draw_regions(connection: Connection, model: Model, layer: int, limit: float) -> alt.Chart:
    """Return the outlines of the random regions, side by side: rectangles have no dashes."""
    regions = read_random_regions(connection, model)
    rows = [
        {"kind": kind} | dict(zip(("x", "x2", "y", "y2"), map(round_value, side), strict=True))
        for kind in KINDS
        if (x := regions.get((layer, "gate_out", kind)))
        and (y := regions.get((layer, "in_out", kind)))
        for side in (
            (*x, y.low, y.low),
            (*x, y.high, y.high),
            (x.low, x.low, *y),
            (x.high, x.high, *y),
        )
    ]
    kinds = list(dict.fromkeys(str(row["kind"]) for row in rows))
    dashes = {"mismatched": [1, 0], "gaussian": [4, 3]}
    dash = alt.StrokeDash(
        "kind:N",
        title="95% of random pairs",
        scale=alt.Scale(domain=kinds, range=[dashes[kind] for kind in kinds]),
        legend=alt.Legend(symbolType="stroke", symbolSize=300, symbolStrokeColor=INK),
    )
    mark = alt.Chart(make_data(rows)).mark_rule(color=INK, strokeWidth=1.25)
    chart: alt.Chart = mark.encode(**make_axes(limit), x2="x2:Q", y2="y2:Q", strokeDash=dash)
    return chart


def _draw_classes(threshold: float, limit: float) -> list[alt.Chart]:
    """Return the lines at ±τ, and the names of the classes that they tell apart."""
    lines = make_threshold_lines(threshold, limit)
    if not lines:
        return []
    axes = make_axes(limit)
    mark = alt.Chart(make_data(lines)).mark_rule(color=OUTLINE, strokeWidth=0.9, strokeDash=[2, 3])
    parts = [mark.encode(**axes, x2="x2:Q", y2="y2:Q")]
    names = make_names(threshold, limit)
    upright = [name for name in names if name["upright"]]
    above = [name for name in names if not name["upright"] and name["y"] > 0]
    below = [name for name in names if not name["upright"] and name["y"] <= 0]
    # Lines follow downwards: at the lower edge, the first of two stands a line higher.
    raised = alt.expr(f"{_IS_NARROW} ? -{_LINE} : 0")
    for group, angle, dy in ((above, 0, 0), (below, 0, raised), (upright, 270, 0)):
        base = alt.Chart(make_data(group)).transform_calculate(label=_LABEL)
        base = base.encode(**axes, text="label:N")
        look: dict[str, Any] = {"angle": angle, "dy": dy, "fontSize": 10, "aria": False}
        look |= {"lineBreak": "/", "lineHeight": _LINE}
        parts.append(base.mark_text(stroke=SURFACE, strokeWidth=3, **look))
        parts.append(base.mark_text(color=MUTED, **look))
    return parts


def _draw_cross(limit: float) -> alt.LayerChart:
    origin = alt.Chart(make_data([{"x": 0, "y": 0}])).mark_rule(color=OUTLINE, strokeWidth=0.6)
    axes = make_axes(limit)
    return overlay(origin.encode(x=axes["x"]), origin.encode(y=axes["y"]))


def _draw_highlight(
    cosines: dict[str, Values], neuron: int, name: str, limit: float
) -> alt.LayerChart:
    x, y = (float(cosines[pair][neuron]) for pair in ("gate_out", "in_out"))
    to_left = x > 0.6 * limit
    rows = [{"x": round_value(x), "y": round_value(y), "name": name}]
    base = alt.Chart(make_data(rows)).encode(**make_axes(limit))
    ring = base.mark_point(filled=False, size=150, strokeWidth=2.5, color=INK, opacity=1)
    side, dx = ("right", -11) if to_left else ("left", 11)
    place: dict[str, Any] = {"align": side, "dx": dx, "dy": -9}
    label = base.mark_text(fontWeight=600, color=INK, **place).encode(text="name:N")
    halo = base.mark_text(fontWeight=600, stroke=SURFACE, strokeWidth=4, **place)
    return overlay(ring, halo.encode(text="name:N"), label)
