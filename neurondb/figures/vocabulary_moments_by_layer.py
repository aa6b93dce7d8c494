"""How the out vectors of every layer act on the vocabulary: moments and roles (METHODS §4)."""

from collections.abc import Iterator, Sequence
from typing import Any, Final

import altair as alt
import numpy as np
from jaxtyping import Float
from sqlalchemy import Connection

from neurondb.figures.chart_parts import (
    make_data,
    make_layer_axis,
    make_panel_title,
    make_title,
    overlay,
    round_value,
)
from neurondb.figures.palette import ACCENT, ACCENT_SOFT, OUTLINE, ROLE_COLOURS
from neurondb.figures.registry import FIGURES
from neurondb.figures.requirements import make_missing_stage_error
from neurondb.figures.vocabulary_moments import NONE, ROLES, assign_roles
from neurondb.reading.arrays import read_all_out_moments
from neurondb.reading.models import Model
from neurondb.schema.views import PARTITION_VARIANCE, ROLE_KURTOSIS

PERCENTS: Final = (1, 5, 25, 50, 75, 95, 99)
BANDS: Final = ((1, 99, 0.35), (5, 95, 0.6), (25, 75, 1.0))
"""Each band's percentiles and its opacity, the widest first."""
WIDTH, HEIGHT = 250, 170
DIGITS: Final = 6
HEAVY_TAILS: Final = "skewness, kurtosis > 10"
TITLES: Final = {
    "kurtosis": "kurtosis of cos(U, out)",
    "skewness": "skewness of cos(U, out)",
    "variance": "variance of cos(U, out)",
    HEAVY_TAILS: f"skewness where kurtosis > {ROLE_KURTOSIS}",
}
Moments = Float[np.ndarray, "moments layers neurons"]


def draw(connection: Connection, model: Model) -> alt.TopLevelMixin:
    """Return percentiles of the three moments and the share of each role, by layer."""
    moments = read_all_out_moments(connection, model)
    rows = list(make_quantile_rows(moments))
    if not rows:
        raise make_missing_stage_error("vocab", model)
    panels = [_draw_panel(rows, moment, model.n_layers) for moment in TITLES]
    panels.append(_draw_roles(list(make_role_rows(moments)), model.n_layers))
    notes = (
        "line: median; bands: 25–75, 5–95 and 1–99% of a layer's neurons",
        f"dashed: a Gaussian's kurtosis is 3; a role takes a kurtosis > {ROLE_KURTOSIS}, or a "
        f"variance > {PARTITION_VARIANCE:g}",
    )
    chart: alt.TopLevelMixin = alt.concat(*panels, columns=3, spacing=24).properties(
        title=make_title(FIGURES["vocabulary-moments-by-layer"].title, model, *notes)
    )
    return chart


def make_quantile_rows(moments: Moments) -> Iterator[dict[str, Any]]:
    """Yield the percentiles of each moment in each layer, and how many neurons they are of."""
    skewness, kurtosis, variance = moments
    with np.errstate(invalid="ignore"):
        heavy = np.where(kurtosis > ROLE_KURTOSIS, skewness, np.nan)
    of_moment = {
        "kurtosis": kurtosis,
        "skewness": skewness,
        "variance": variance,
        HEAVY_TAILS: heavy,
    }
    for moment, values in of_moment.items():
        for layer, of_layer in enumerate(values):
            finite = of_layer[~np.isnan(of_layer)]
            if not len(finite):
                continue
            quantiles = np.quantile(finite, [percent / 100 for percent in PERCENTS])
            row = {"layer": layer, "moment": moment, "n": len(finite)}
            yield row | {
                f"q{percent:02}": round_value(value, DIGITS)
                for percent, value in zip(PERCENTS, quantiles, strict=True)
            }


def make_role_rows(moments: Moments) -> Iterator[dict[str, Any]]:
    """Yield how many neurons of each layer have each role, and their share of the layer's."""
    for layer, (skewness, kurtosis, variance) in enumerate(np.moveaxis(moments, 1, 0)):
        finite = ~np.isnan(kurtosis)
        if not finite.any():
            continue
        roles = assign_roles(skewness[finite], kurtosis[finite], variance[finite])
        for role in range(NONE):
            n = int((roles == role).sum())
            yield {
                "layer": layer,
                "role": ROLES[role],
                "neurons": n,
                "share": round_value(n / finite.sum(), DIGITS),
            }


def _draw_panel(rows: Sequence[dict[str, Any]], moment: str, n_layers: int) -> alt.LayerChart:
    of_moment = [row for row in rows if row["moment"] == moment]
    x = alt.X(
        "layer:Q",
        title="layer",
        axis=make_layer_axis(n_layers),
        scale=alt.Scale(domain=[0, max(n_layers - 1, 1)], nice=False),
    )
    y = _make_moment_axis(of_moment, moment)
    tooltip = [
        alt.Tooltip("layer:Q"),
        alt.Tooltip("n:Q", title="neurons", format=","),
        *(alt.Tooltip(f"q{p:02}:Q", title=f"{p}%", format=".4~g") for p in PERCENTS),
    ]
    base = alt.Chart(make_data(of_moment)).encode(x=x)
    parts: list[alt.Chart] = []
    if moment == HEAVY_TAILS:  # of a few neurons in some layers only: no bands between layers
        parts += [
            base.mark_rule(color=ACCENT, opacity=0.5, strokeWidth=1.5).encode(y=y, y2="q99:Q"),
            base.mark_circle(color=ACCENT, size=34, opacity=1).encode(y="q50:Q", tooltip=tooltip),
        ]
    else:
        parts += [
            base.mark_area(color=ACCENT_SOFT, opacity=opacity).encode(
                y=y if (low, high) == BANDS[0][:2] else alt.Y(f"q{low:02}:Q"), y2=f"q{high:02}:Q"
            )
            for low, high, opacity in BANDS
        ]
        parts.append(base.mark_line(color=ACCENT, strokeWidth=2).encode(y="q50:Q"))
        parts.append(
            base.mark_circle(color=ACCENT, size=14, opacity=1).encode(y="q50:Q", tooltip=tooltip)
        )
    marks = [alt.Chart(make_data([{"y": value}])) for value in _LINES.get(moment, ())]
    rules = [
        mark.mark_rule(color=OUTLINE, strokeDash=[4, 3]).encode(y=alt.Y("y:Q")) for mark in marks
    ]
    return overlay(*rules, *parts).properties(
        width=WIDTH, height=HEIGHT, title=make_panel_title(TITLES[moment])
    )


_LINES: Final = {
    "kurtosis": (3.0, float(ROLE_KURTOSIS)),
    "skewness": (0.0,),
    "variance": (PARTITION_VARIANCE,),
    HEAVY_TAILS: (0.0,),
}


def _make_moment_axis(rows: Sequence[dict[str, Any]], moment: str) -> alt.Y:
    if moment not in ("kurtosis", "variance"):
        return alt.Y("q01:Q", title=None, axis=alt.Axis(tickCount=6))
    low = min([row["q01"] for row in rows] + list(_LINES[moment]))
    high = max([row["q99"] for row in rows] + list(_LINES[moment]))
    return alt.Y(
        "q01:Q",
        title=None,
        axis=alt.Axis(tickCount=5, format="~g"),
        scale=alt.Scale(type="log", domain=[max(low, 1e-6) / 1.1, high * 1.1], nice=False),
    )


def _draw_roles(rows: list[dict[str, Any]], n_layers: int) -> alt.LayerChart:
    names = list(ROLES[:NONE])
    colour = alt.Color(
        "role:N",
        title=None,
        scale=alt.Scale(domain=names, range=[ROLE_COLOURS[name] for name in names]),
        legend=alt.Legend(orient="bottom", columns=3),
    )
    base = alt.Chart(make_data(rows)).encode(
        x=alt.X(
            "layer:Q",
            title="layer",
            axis=make_layer_axis(n_layers),
            scale=alt.Scale(domain=[0, max(n_layers - 1, 1)], nice=False),
        ),
        y=alt.Y("share:Q", title=None, axis=alt.Axis(format="~%", tickCount=5)),
        color=colour,
        tooltip=[
            alt.Tooltip("role:N"),
            alt.Tooltip("layer:Q"),
            alt.Tooltip("neurons:Q", format=","),
            alt.Tooltip("share:Q", format=".2%"),
        ],
    )
    title = make_panel_title("share of neurons with a role")
    return overlay(base.mark_line(strokeWidth=2), base.mark_circle(size=24, opacity=1)).properties(
        width=WIDTH, height=HEIGHT, title=title
    )
