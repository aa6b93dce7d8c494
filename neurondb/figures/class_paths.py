"""How neurons go through the read-write classes over a series of models: bars joined by bands."""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, Final

import altair as alt
import numpy as np
from sqlalchemy import Connection

from neurondb.errors import UnknownNameError
from neurondb.figures.chart_parts import (
    make_data,
    make_panel_title,
    make_title,
    overlay,
    round_value,
)
from neurondb.figures.palette import CLASS_COLOURS
from neurondb.figures.registry import FIGURES
from neurondb.figures.requirements import require_series
from neurondb.figures.series_steps import make_step_axis, name_steps
from neurondb.formatting.text import make_visible
from neurondb.reading.models import Model
from neurondb.reading.series_page import Classes, SeriesComparisons

HEIGHT: Final = 320
BAR: Final = 0.07
"""Half the width of a bar, in steps."""
_CURVE: Final = tuple(round(float(x), 4) for x in np.linspace(0, 1, 13))
"""Where along a band its edges are drawn, from one bar to the next."""
_NAMES: Final = tuple(CLASS_COLOURS)
Edges = dict[int, tuple[float, float]]


def draw(connection: Connection, model: Model, series: int | None = None) -> alt.TopLevelMixin:
    """Return two panels: all neurons, and those whose class changes."""
    found = require_series(connection, model, series)
    classes = SeriesComparisons(connection, found).read_classes()
    known = classes[:, (classes >= 0).all(0)]
    if not known.shape[1]:
        raise UnknownNameError(f"series {found.series_id}: no neuron has a class in every model")
    changing = known[:, (known != known[0]).any(0)]
    present = [name for i, name in enumerate(_NAMES) if (known == i).any()]
    panels = [_draw_panel(known, "all neurons", found.models, present)]
    if changing.shape[1]:
        panels.append(_draw_panel(changing, "those whose class changes", found.models, present))
    n_kept = known.shape[1] - changing.shape[1]
    notes = (
        f"{name_steps(found)} · {n_kept:,} of {known.shape[1]:,} neurons keep their class",
        f"classes at τ = {found.models[0].threshold:g} · a band has the colour it comes from",
    )
    chart: alt.TopLevelMixin = alt.hconcat(*panels, spacing=30).properties(
        title=make_title(FIGURES["class-paths"].title, None, *notes)
    )
    return chart


def _draw_panel(
    classes: Classes, title: str, models: Sequence[Model], present: list[str]
) -> alt.LayerChart:
    n = classes.shape[1]
    last = len(models) - 1
    x = alt.X(
        "x:Q",
        scale=alt.Scale(domain=[-BAR, last + BAR], nice=False, zero=False),
        axis=make_step_axis(models, ticks=False, domain=False),
        title=None,
    )
    y = alt.Y(
        "y:Q",
        scale=alt.Scale(domain=[0, n], nice=False),
        axis=alt.Axis(format=",d", grid=False, tickCount=5, labelFlush=True),
        title="neurons",
    )
    place = {"x": x, "y": y, "y2": "y2:Q"}
    return overlay(
        _draw_bands(list(_make_bands(classes)), present, place),
        _draw_bars(list(_make_bars(classes, models)), present, place),
    ).properties(
        width=max(170, min(380, 85 * last)),
        height=HEIGHT,
        title=make_panel_title(f"{title}: {n:,}"),
    )


def _draw_bars(rows: list[dict[str, Any]], present: list[str], place: dict[str, Any]) -> alt.Chart:
    tooltip = [
        alt.Tooltip("model:N"),
        alt.Tooltip("class:N"),
        alt.Tooltip("n:Q", title="neurons", format=","),
        alt.Tooltip("share:Q", format=".2%"),
    ]
    colour = _make_colour("class:N", present)
    bars = alt.Chart(make_data(rows)).mark_rect()
    chart: alt.Chart = bars.encode(**place, x2="x2:Q", color=colour, tooltip=tooltip)
    return chart


def _draw_bands(rows: list[dict[str, Any]], present: list[str], place: dict[str, Any]) -> alt.Chart:
    tooltip = [
        alt.Tooltip("from:N"),
        alt.Tooltip("to:N"),
        alt.Tooltip("n:Q", title="neurons", format=","),
    ]
    colour = _make_colour("from:N", present)
    bands = alt.Chart(make_data(rows)).mark_area(opacity=0.55)
    chart: alt.Chart = bands.encode(**place, detail="band:N", color=colour, tooltip=tooltip)
    return chart


def _make_colour(field: str, present: list[str]) -> alt.Color:
    scale = alt.Scale(domain=present, range=[CLASS_COLOURS[name] for name in present])
    legend = alt.Legend(symbolOpacity=1)
    return alt.Color(field, title="class", scale=scale, sort=present, legend=legend)


def _stack(counts: Counter[int]) -> Edges:
    """Return class id → where its part of a bar begins and ends, the first class at the top."""
    edges: Edges = {}
    top = float(sum(counts.values()))
    for class_id in sorted(counts):
        edges[class_id] = (top - counts[class_id], top)
        top -= counts[class_id]
    return edges


def _make_bars(classes: Classes, models: Sequence[Model]) -> Iterator[dict[str, Any]]:
    n = classes.shape[1]
    for step, of_step in enumerate(classes):
        counts = Counter(of_step.tolist())
        for class_id, (low, high) in _stack(counts).items():
            yield {
                "step": step,
                "model": make_visible(models[step].name),
                "class": _NAMES[class_id],
                "n": counts[class_id],
                "share": round_value(counts[class_id] / n, 6),
                "x": step - BAR,
                "x2": step + BAR,
                "y": low,
                "y2": high,
            }


def _make_bands(classes: Classes) -> Iterator[dict[str, Any]]:
    """Yield the points of the band of every pair of classes between two steps."""
    for step in range(len(classes) - 1):
        flows = Counter(zip(classes[step].tolist(), classes[step + 1].tolist(), strict=True))
        left = {k: high for k, (_, high) in _stack(Counter(classes[step].tolist())).items()}
        right = {k: high for k, (_, high) in _stack(Counter(classes[step + 1].tolist())).items()}
        for (before, after), n in sorted(flows.items()):
            band = {
                "band": f"{step} {before} {after}",
                "from": _NAMES[before],
                "to": _NAMES[after],
                "n": n,
            }
            for part in _CURVE:
                x = step + BAR + part * (1 - 2 * BAR)
                smooth = part * part * (3 - 2 * part)
                top = left[before] + smooth * (right[after] - left[before])
                yield band | {
                    "x": round_value(x),
                    "y": round_value(top - n, 2),
                    "y2": round_value(top, 2),
                }
            left[before] -= n
            right[after] -= n
