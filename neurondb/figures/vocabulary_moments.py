"""What a layer's out vectors do to the vocabulary, by skewness and kurtosis (METHODS §4)."""

from collections.abc import Sequence
from typing import Any, Final

import altair as alt
import numpy as np
from jaxtyping import Bool, Float
from sqlalchemy import Connection

from neurondb.figures.binning import MOST_POINTS, choose_points, make_grid, thin
from neurondb.figures.chart_parts import (
    make_data,
    make_neuron_link,
    make_title,
    overlay,
    round_value,
)
from neurondb.figures.palette import OUTLINE, ROLE_COLOURS
from neurondb.figures.requirements import make_missing_layer_error
from neurondb.reading.arrays import read_out_moments
from neurondb.reading.models import Model
from neurondb.schema.views import PARTITION_VARIANCE, ROLE_KURTOSIS

ROLES: Final = tuple(ROLE_COLOURS)
TICKS: Final = (1, 2, 3, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000, 100_000)
PREDICTION, SUPPRESSION, PARTITION, NONE = range(4)
Values = Float[np.ndarray, " neurons"]


def draw(connection: Connection, model: Model, layer: int, base_url: str = "") -> alt.TopLevelMixin:
    """Return skewness × kurtosis of cos(U, out), a point a neuron, coloured by role."""
    skewness, kurtosis, variance = read_out_moments(connection, model, layer)
    finite = ~np.isnan(skewness) & ~np.isnan(kurtosis)
    if not finite.any():
        raise make_missing_layer_error("vocab", model, layer)
    role = assign_roles(skewness, kurtosis, variance)
    drawn = finite.copy()
    drawn[finite] = _choose_neurons(skewness[finite], kurtosis[finite], role[finite])
    rows = [
        {
            "x": round_value(skewness[i]),
            "y": round_value(max(kurtosis[i], 1.0)),
            "role": ROLES[role[i]],
            "name": model.name_place(layer, int(i)),
            "href": make_neuron_link(base_url, model, layer, int(i)),
        }
        # Those without a role first, so that no point hides one with a role.
        for i in sorted(np.flatnonzero(drawn), key=lambda i: -int(role[i]))
    ]
    counts = np.bincount(role[finite], minlength=len(ROLES))
    n, n_shown = int(finite.sum()), int(drawn.sum())
    note = f"{n_shown:,} of {n:,} neurons: a draw of those without a role" if n_shown < n else ""
    return _draw_layers(rows, counts.tolist()).properties(
        width=520,
        height=360,
        title=make_title(f"What out writes to the vocabulary in layer {layer}", model, note),
    )


def assign_roles(skewness: Values, kurtosis: Values, variance: Values) -> Any:
    """Return the place in ROLES of every neuron, by the rule of neuron_overview."""
    heavy_tailed = kurtosis > ROLE_KURTOSIS
    conditions = [heavy_tailed & (skewness > 0), heavy_tailed & (skewness < 0)]
    conditions.append(variance > PARTITION_VARIANCE)
    return np.select(conditions, [PREDICTION, SUPPRESSION, PARTITION], NONE)


def _choose_neurons(skewness: Values, kurtosis: Values, role: Any) -> Bool[np.ndarray, " neurons"]:
    """Return which neurons are points: where they are too many, sparse ones and a draw."""
    if len(role) <= MOST_POINTS:
        return np.ones(len(role), dtype=bool)
    height = np.log(np.maximum(kurtosis, 1.0))
    lattice = make_grid(
        (float(skewness.min()), float(np.nextafter(skewness.max(), np.inf))),
        (float(height.min()), float(np.nextafter(height.max(), np.inf))),
    )
    single = choose_points(lattice.cells(skewness, height), np.zeros(len(role), dtype=bool))
    with_role = thin(role != NONE, MOST_POINTS // 2)
    sampled = thin(~with_role & ~single & (role == NONE), MOST_POINTS // 4)
    return np.asarray((single & (role == NONE)) | with_role | sampled)


def _draw_layers(rows: list[dict[str, Any]], counts: Sequence[int]) -> alt.LayerChart:
    titles = [f"{role} ({n:,})" for role, n in zip(ROLES, counts, strict=True)]
    present = [(t, ROLE_COLOURS[r]) for t, r, n in zip(titles, ROLES, counts, strict=True) if n]
    labelled = dict(zip(ROLES, titles, strict=True))
    rows = [row | {"role": labelled[row["role"]]} for row in rows]
    highest = max(ROLE_KURTOSIS, *(row["y"] for row in rows))
    x = alt.X("x:Q", title="skewness of cos(U, out)", axis=alt.Axis(tickCount=8, format="~r"))
    y = alt.Y(
        "y:Q",
        title="kurtosis of cos(U, out), 3 is a Gaussian's",
        scale=alt.Scale(type="log", domain=[1, 1.25 * highest], nice=False),
        axis=alt.Axis(values=[tick for tick in TICKS if tick <= 1.25 * highest], format="~s"),
    )
    colour = alt.Color(
        "role:N",
        title="role (neurons)",
        scale=alt.Scale(domain=[t for t, _ in present], range=[c for _, c in present]),
        legend=alt.Legend(symbolOpacity=1, symbolSize=60),
    )
    tooltip = [
        alt.Tooltip("name:N", title="neuron"),
        alt.Tooltip("role:N"),
        alt.Tooltip("x:Q", title="skewness", format=".3f"),
        alt.Tooltip("y:Q", title="kurtosis", format=".3f"),
    ]
    points = alt.Chart(make_data(rows)).mark_circle(size=24, opacity=0.7)
    line = alt.Chart(make_data([{"y": ROLE_KURTOSIS}])).mark_rule(color=OUTLINE, strokeDash=[4, 3])
    return overlay(
        line.encode(y=y),
        points.encode(x=x, y=y, color=colour, tooltip=tooltip, href="href:N"),
    )
