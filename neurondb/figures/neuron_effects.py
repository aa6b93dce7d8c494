"""What removing each neuron does, against its first-order estimate (METHODS §6)."""

import shlex
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

import altair as alt
import numpy as np
from jaxtyping import Float, Int
from sqlalchemy import Connection

from neurondb.errors import UnknownNameError
from neurondb.figures.binning import Grid, choose_points, make_grid
from neurondb.figures.chart_parts import (
    make_count_colour,
    make_data,
    make_neuron_link,
    make_title,
    overlay,
    round_value,
)
from neurondb.figures.palette import CLASS_COLOURS, OUTLINE
from neurondb.formatting.text import make_visible
from neurondb.interventions import ESTIMATED_METRICS
from neurondb.reading.arrays import read_class_ids
from neurondb.reading.effects import (
    ATTRIBUTION,
    SINGLE_NEURON,
    Agreement,
    compute_agreement,
    find_shown_run,
    match_estimates,
)
from neurondb.reading.models import Model

SIDE: Final = 460
DIGITS: Final = 8
"""Decimals of effects and estimates: what one neuron does is small."""
Values = Float[np.ndarray, " neurons"]


def draw(
    connection: Connection, model: Model, metric: str = ESTIMATED_METRICS[0], base_url: str = ""
) -> alt.TopLevelMixin:
    """Return a point for each neuron that has both, and the line where they are equal."""
    measured, attribution = (
        find_shown_run(connection, model, kind) for kind in (SINGLE_NEURON, ATTRIBUTION)
    )
    if measured is None or attribution is None:
        raise _make_missing_error(model, measured=measured is not None)
    if measured.treatment != attribution.treatment:
        raise UnknownNameError(
            f"{model.name} has effects of {measured.treatment}, and estimates of "
            f"{attribution.treatment}: run `neurondb ablate-each` with the same --mode and "
            "--condition"
        )
    ids, effects, estimates = match_estimates(
        connection, measured.run_id, attribution.run_id, metric
    )
    if not len(ids):
        raise _make_missing_error(model, measured=False, metric=metric)
    scale = _Scale.of(estimates, effects)
    cells, points = _split_rows(connection, model, (ids, estimates, effects), scale, base_url)
    axes = scale.axes(metric)
    parts: list[alt.Chart | alt.LayerChart] = [_draw_lines(scale.limit, axes)]
    if cells:
        parts.append(_draw_cells(cells, axes))
    parts.append(_draw_points(points, axes))
    notes = (
        f"{measured.treatment} on {make_visible(measured.dataset)}, {len(ids):,} neurons",
        _describe_correlation(
            compute_agreement(connection, measured.run_id, attribution.run_id, metric)
        ),
        "line: estimate and effect equal" + ("; squares: several neurons" if cells else ""),
    )
    title = make_title(f"Effect on {metric} against its estimate", model, *notes)
    return overlay(*parts).properties(width=SIDE, height=SIDE, title=title)


def _make_missing_error(model: Model, *, measured: bool, metric: str = "") -> UnknownNameError:
    option = "--attribution" if measured else "--where EXPR"
    metrics_option = f" --metrics {metric}" if metric else ""
    return UnknownNameError(
        f"{model.name} has no neurons with both an effect and an estimate of it: run "
        f"`neurondb ablate-each {shlex.quote(model.name)} {option} --dataset TEXTS{metrics_option}`"
    )


def _describe_correlation(agreement: Agreement) -> str:
    if agreement.pearson is None or agreement.spearman is None:
        return ""
    text = f"Pearson's r = {agreement.pearson:.3f}, of the ranks {agreement.spearman:.3f}"
    return text.replace("-", "−")


class _Scale(NamedTuple):
    """The scale of both axes: linear up to about `unit` on either side of 0, by tens beyond.

    Some neurons do a thousand times what most do.
    """

    unit: float
    limit: float

    @classmethod
    def of(cls, *values: Values) -> "_Scale":
        """Return the scale that has half of the values in its linear part."""
        sizes = np.abs(np.concatenate(values))
        unit = float(np.median(sizes)) or float(sizes.max()) or 1e-6
        return cls(unit, 1.06 * float(np.log10(1 + sizes.max() / unit)) or 1.0)

    def places(self, values: Values) -> Values:
        """Return where values stand on the axis."""
        return np.asarray(np.sign(values) * np.log10(1 + np.abs(values) / self.unit))

    def axes(self, metric: str) -> dict[str, Any]:
        """Return the axes, whose labels are the values."""
        powers = 10.0 ** np.arange(np.ceil(np.log10(self.unit)), 3)
        powers = powers[self.places(powers) <= self.limit]
        # From the largest down, as many as do not run into each other near zero.
        ticks = [x for x in self.places(powers)[::-1] if x > 0.3]
        label = (
            "datum.value == 0 ? '0' : (datum.value < 0 ? '−' : '') + "
            f"format((pow(10, abs(datum.value)) - 1) * {self.unit!r}, '.1~g')"
        )
        axis = alt.Axis(
            values=[round_value(x) for t in ticks for x in (-t, t)] + [0], labelExpr=label
        )
        scale = alt.Scale(domain=[-self.limit, self.limit], nice=False)
        titles = {"x": f"estimate of clean − ablated {metric}", "y": f"clean − ablated {metric}"}
        return {
            "x": alt.X("x:Q", title=titles["x"], scale=scale, axis=axis),
            "y": alt.Y("y:Q", title=titles["y"], scale=scale, axis=axis),
        }


def _split_rows(
    connection: Connection,
    model: Model,
    matched: tuple[Int[np.ndarray, " neurons"], Values, Values],
    scale: _Scale,
    base_url: str,
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return the rows of the cells and those of the points."""
    ids, estimates, effects = matched
    x, y = scale.places(estimates), scale.places(effects)
    ends = (-scale.limit, scale.limit)
    lattice = make_grid(ends, ends)
    cells = lattice.cells(x, y)
    single = choose_points(cells, np.zeros(len(cells), dtype=bool))
    of_class = read_class_ids(connection, model).ravel()
    names = list(CLASS_COLOURS)
    points = []
    for i in np.flatnonzero(single):
        place = int(ids[i]) - model.first_neuron_id
        layer, neuron = divmod(place, model.d_mlp)
        class_id = of_class[place]
        points.append(
            {
                "x": round_value(x[i]),
                "y": round_value(y[i]),
                "estimate": round_value(estimates[i], DIGITS),
                "effect": round_value(effects[i], DIGITS),
                "name": model.name_neuron(int(ids[i])),
                "class": "undefined" if np.isnan(class_id) else names[int(class_id)],
                "href": make_neuron_link(base_url, model, layer, neuron),
            }
        )
    return list(_make_cell_rows(lattice, cells[~single])), points


def _make_cell_rows(lattice: Grid, cells: Int[np.ndarray, " neurons"]) -> Iterator[dict[str, Any]]:
    occupied, counts = np.unique(cells, return_counts=True)
    width, height = lattice.step
    for x, y, n in zip(*lattice.corners(occupied), counts, strict=True):
        yield {
            "x": round_value(x),
            "x2": round_value(x + width),
            "y": round_value(y),
            "y2": round_value(y + height),
            "n": int(n),
        }


def _draw_lines(limit: float, axes: dict[str, Any]) -> alt.LayerChart:
    zero = alt.Chart(make_data([{"x": 0, "y": 0}])).mark_rule(color=OUTLINE, strokeWidth=0.6)
    ends = [{"x": end, "y": end} for end in (-limit, limit)]
    equal = alt.Chart(make_data(ends)).mark_line(color=OUTLINE, strokeWidth=1, strokeDash=[4, 3])
    return overlay(zero.encode(x=axes["x"]), zero.encode(y=axes["y"]), equal.encode(**axes))


def _draw_cells(rows: list[dict[str, Any]], axes: dict[str, Any]) -> alt.Chart:
    colour: Any = make_count_colour(max(row["n"] for row in rows)).to_dict()
    chart: alt.Chart = (
        alt.Chart(make_data(rows))
        .mark_rect()
        .encode(
            **axes,
            x2="x2:Q",
            y2="y2:Q",
            fill=alt.Fill(colour.pop("field"), **colour),
            tooltip=[alt.Tooltip("n:Q", title="neurons", format=",")],
        )
    )
    return chart


def _draw_points(rows: list[dict[str, Any]], axes: dict[str, Any]) -> alt.Chart:
    names = [name for name in CLASS_COLOURS if any(row["class"] == name for row in rows)]
    scale = alt.Scale(domain=names, range=[CLASS_COLOURS[name] for name in names])
    tooltip = [
        alt.Tooltip("name:N", title="neuron"),
        alt.Tooltip("class:N"),
        alt.Tooltip("effect:Q", format=".3~g"),
        alt.Tooltip("estimate:Q", format=".3~g"),
    ]
    mark = alt.Chart(make_data(rows)).mark_circle(
        size=30, opacity=0.9, stroke=OUTLINE, strokeWidth=0.4
    )
    chart: alt.Chart = mark.encode(
        **axes,
        color=alt.Color("class:N", title="class", scale=scale),
        tooltip=tooltip,
        href="href:N",
    )
    return chart
