"""What removing each class does under each condition, against random neurons (METHODS §6)."""

import math
import shlex
from collections.abc import Iterator, Sequence
from typing import Any, Final

import altair as alt
from sqlalchemy import Connection

from neurondb.errors import UnknownNameError
from neurondb.figures.chart_parts import make_data, make_title, overlay, round_value
from neurondb.figures.palette import CLASS_COLOURS, INK, OUTLINE, SURFACE
from neurondb.figures.registry import FIGURES
from neurondb.formatting.text import make_visible
from neurondb.interventions import METRICS, MODES, PUBLISHED_CONDITIONS
from neurondb.reading.models import Model
from neurondb.reading.runs import ClassRuns, list_class_runs

DIGITS: Final = 7
ALWAYS: Final = "at every token"
CONDITIONS: Final = (ALWAYS, *PUBLISHED_CONDITIONS)
"""Conditions in the order of the figure's rows; others follow."""
ROW_HEIGHT: Final = 17
DEFAULT_METRICS: Final = ("entropy", "loss")


def draw(
    connection: Connection, model: Model, metric: str = "entropy and loss", mode: str = MODES[0]
) -> alt.TopLevelMixin:
    """Return a panel for each class: a dot for each condition, random sets as ticks."""
    class_runs = list_class_runs(connection, model, mode)
    if not class_runs:
        raise UnknownNameError(
            f"no class of {model.name} was ablated by mode {mode}: run "
            f"`neurondb ablate-suite {shlex.quote(model.name)} --dataset TEXTS --modes {mode}`"
        )
    metrics = DEFAULT_METRICS if metric not in METRICS else (metric,)
    conditions = _list_conditions(class_runs)
    panels = [
        _draw_panels(_make_rows(class_runs, name, conditions), name, conditions) for name in metrics
    ]
    first = class_runs[0].run.run
    n_tokens = "" if first.n_tokens is None else f", {first.n_tokens:,} tokens"
    notes = (
        f"mode {mode} on {make_visible(first.dataset)}{n_tokens}",
        "dot: mean of clean − ablated; ticks: as many random neurons of the same layers",
        "left of zero: removing the neurons raises the metric",
    )
    chart: alt.TopLevelMixin = alt.hconcat(*panels, spacing=28).properties(
        title=make_title(FIGURES["ablation-effects"].title, model, *notes)
    )
    return chart


def _list_conditions(class_runs: Sequence[ClassRuns]) -> list[str]:
    conditions = {runs.run.run.condition or ALWAYS for runs in class_runs}
    known_conditions = [name for name in CONDITIONS if name in conditions]
    return [*known_conditions, *sorted(conditions - set(known_conditions))]


def _make_rows(
    class_runs: Sequence[ClassRuns], metric: str, conditions: Sequence[str]
) -> Iterator[dict[str, Any]]:
    for runs in class_runs:
        result = runs.run.results.get((metric, "all"))
        if result is None or math.isnan(result.mean):
            continue
        run = runs.run.run
        row = {
            "class": runs.class_name,
            "condition": run.condition or ALWAYS,
            "neurons": run.n_neurons,
            "run": run.run_id,
        }
        yield row | {"what": "removed", "mean": round_value(result.mean, DIGITS)}
        for baseline in runs.baselines:
            counterpart = baseline.results.get((metric, "all"))
            if counterpart is not None and not math.isnan(counterpart.mean):
                mean = round_value(counterpart.mean, DIGITS)
                yield row | {"what": "random", "mean": mean, "run": baseline.run.run_id}


def _draw_panels(rows: Iterator[dict[str, Any]], metric: str, conditions: Sequence[str]) -> Any:
    data = list(rows)
    names = [name for name in CLASS_COLOURS if any(row["class"] == name for row in data)]
    axis = alt.Axis(format="~r", tickCount=5)
    x = alt.X("mean:Q", title=f"clean − ablated {metric}", axis=axis)
    y = alt.Y(
        "condition:N",
        title=None,
        sort=list(conditions),
        axis=alt.Axis(grid=True, domain=False, ticks=False),
    )
    base = alt.Chart().encode(x=x, y=y, tooltip=_make_tooltip())
    colour = alt.Color(
        "class:N",
        legend=None,
        scale=alt.Scale(domain=names, range=[CLASS_COLOURS[name] for name in names]),
    )
    removed, random = (base.transform_filter(f"datum.what == '{w}'") for w in ("removed", "random"))
    zero = alt.Chart().mark_rule(color=OUTLINE, strokeWidth=0.8)
    chart = overlay(
        zero.encode(x=alt.datum(0)),
        random.mark_tick(color=INK, thickness=1.5, size=ROW_HEIGHT - 5, opacity=0.55),
        removed.mark_circle(size=90, opacity=1, stroke=SURFACE, strokeWidth=1).encode(color=colour),
    ).properties(width=280, height=ROW_HEIGHT * len(conditions))
    header = alt.Header(labelAngle=0, labelOrient="top", labelAnchor="start")
    row = alt.Row("class:N", title=None, sort=names, header=header)
    return chart.facet(row=row, data=make_data(data), spacing=10)


def _make_tooltip() -> list[Any]:
    return [
        alt.Tooltip("class:N"),
        alt.Tooltip("condition:N"),
        alt.Tooltip("what:N", title="neurons"),
        alt.Tooltip("mean:Q", title="clean − ablated", format=".4~g"),
        alt.Tooltip("neurons:Q", title="how many", format=","),
        alt.Tooltip("run:Q"),
    ]
