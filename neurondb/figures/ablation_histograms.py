"""What a class does to a metric, token by token: all of it, random neurons, and by its signs.

The six histograms of weakening-neurons, figure 5 (METHODS §6).
"""

import math
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import altair as alt
from sqlalchemy import Connection

from neurondb.figures.change_histograms import (
    FLOOR,
    Changes,
    describe_suite,
    format_mean,
    format_runs,
    make_bar_tooltip,
    make_bars,
    make_change_axis,
    make_token_axis,
    read_changes,
)
from neurondb.figures.chart_parts import make_data, make_panel_title, make_title, overlay
from neurondb.figures.palette import CLASS_COLOURS, MUTED, OUTLINE
from neurondb.figures.requirements import require_class_suite
from neurondb.find.neuron_sets import find_class
from neurondb.interventions import MODES, PUBLISHED_CONDITIONS, UNGATED_CONDITIONS
from neurondb.reading.models import Model
from neurondb.reading.runs import ClassRuns
from neurondb.taxonomy import CLASSES

WIDTH, HEIGHT = 300, 130


class Panel(NamedTuple):
    """A panel: its heading, the colour of its bars, and its changes; None is no run."""

    heading: str
    colour: str
    changes: Changes | None


def draw(
    connection: Connection,
    model: Model,
    metric: str = "entropy",
    rw_class: str = "weakening",
    mode: str = MODES[0],
    drawn: int | None = None,
) -> alt.TopLevelMixin:
    """Return the panels, two in a row: the class, random neurons, then each sign condition."""
    name = CLASSES[find_class(rw_class)].name
    suite = require_class_suite(connection, model, mode, drawn, name)
    of_class = {runs.run.run.condition: runs for runs in suite.runs if runs.class_name == name}
    panels = list(_read_panels(connection, model, of_class, name, metric))
    rows = [row for panel in panels if panel.changes for row in make_bars(panel.changes)]
    axes = {"x": make_change_axis(rows, metric), "y": make_token_axis(rows)}
    n = next(iter(of_class.values())).run.run.n_neurons
    runs = [run for panel in panels if panel.changes for run in panel.changes.run_ids]
    missing = [panel.heading for panel in panels if panel.changes is None]
    notes = (
        f"{n:,} neuron{'s' * (n != 1)}, {describe_suite(suite, mode)}",
        f"{format_runs(runs)}; left of zero: removing the neurons raises the {metric}",
        f"no run: {', '.join(missing)}" if missing else "",
    )
    charts = [_draw_panel(panel, axes) for panel in panels]
    chart: alt.TopLevelMixin = alt.concat(*charts, columns=2, spacing=18).properties(
        title=make_title(f"What {name} neurons do to {metric}, by token", model, *notes)
    )
    return chart


def _read_panels(
    connection: Connection,
    model: Model,
    of_class: dict[str | None, ClassRuns],
    name: str,
    metric: str,
) -> Iterator[Panel]:
    everywhere = of_class.get(None)
    colour = CLASS_COLOURS[name]
    of_random = () if everywhere is None else everywhere.baselines
    n = len(of_random)
    yield Panel(name, colour, _read_class(connection, everywhere, metric))
    yield Panel(
        "random neurons of the same layers" + (f", mean of {n} sets" if n > 1 else ""),
        OUTLINE,
        read_changes(connection, of_random, metric),
    )
    for condition in PUBLISHED_CONDITIONS if model.gated else UNGATED_CONDITIONS:
        yield Panel(condition, colour, _read_class(connection, of_class.get(condition), metric))


def _read_class(connection: Connection, runs: ClassRuns | None, metric: str) -> Changes | None:
    return None if runs is None else read_changes(connection, [runs.run], metric)


def _draw_panel(panel: Panel, axes: dict[str, Any]) -> alt.LayerChart:
    heading = make_panel_title(panel.heading, _describe_changes(panel.changes))
    rows = list(make_bars(panel.changes)) if panel.changes else []
    zero = alt.Chart(make_data([{"x": 0}])).mark_rule(color=OUTLINE, strokeWidth=0.8)
    parts: list[alt.Chart] = [zero.encode(x=axes["x"])]
    if rows:
        parts.append(_draw_bars(rows, panel.colour, axes))
    else:
        reason = "no run" if panel.changes is None else "no token changes"
        parts.append(_draw_reason(reason, axes))
    return overlay(*parts).properties(width=WIDTH, height=HEIGHT, title=heading)


def _describe_changes(changes: Changes | None) -> str:
    if changes is None or math.isnan(changes.mean):
        return " "
    return f"mean {format_mean(changes.mean)}"


def _draw_bars(rows: Sequence[dict[str, Any]], colour: str, axes: dict[str, Any]) -> alt.Chart:
    chart: alt.Chart = (
        alt.Chart(make_data(rows))
        .mark_rect(color=colour)
        .encode(**axes, x2="x2:Q", y2=alt.datum(FLOOR), tooltip=make_bar_tooltip())
    )
    return chart


def _draw_reason(reason: str, axes: dict[str, Any]) -> alt.Chart:
    """Return a word where there are no bars, so that a panel is not merely empty."""
    chart: alt.Chart = (
        alt.Chart(make_data([{"x": 0, "tokens": FLOOR, "reason": reason}]))
        .mark_text(color=MUTED, align="center", fontSize=12)
        .encode(x=alt.value(WIDTH / 2), y=alt.value(HEIGHT / 2), text="reason:N")
    )
    return chart
