"""What every class does to a metric under every condition, token by token (METHODS §6).

Weakening-neurons, figures 14 to 21: a row of histograms for each class, a column for each
condition, random neurons of the same layers as a line over each.
"""

from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple

import altair as alt
from sqlalchemy import Connection

from neurondb.errors import UnknownNameError
from neurondb.figures.change_histograms import (
    FLOOR,
    Changes,
    describe_suite,
    format_mean,
    format_runs,
    make_bar_tooltip,
    make_bars,
    make_change_axis,
    make_outline,
    make_token_axis,
    name_change,
    name_condition,
    read_changes,
)
from neurondb.figures.chart_parts import make_data, make_title, overlay
from neurondb.figures.palette import CLASS_COLOURS, INK, MUTED, OUTLINE
from neurondb.figures.requirements import require_class_suite
from neurondb.interventions import MODES, PUBLISHED_CONDITIONS, UNGATED_CONDITIONS
from neurondb.reading.class_runs import ClassSuite
from neurondb.reading.models import Model

WIDTH, HEIGHT = 150, 96
MOST_MISSING: Final = 4
"""Panels without a run that the subtitle names; of more it says how many they are."""


class Cell(NamedTuple):
    """A panel: its class and condition, its changes, and those under random neurons, if any."""

    class_name: str
    condition: str | None
    changes: Changes | None
    random: Changes | None


def draw(
    connection: Connection,
    model: Model,
    metric: str = "entropy",
    mode: str = MODES[0],
    drawn: int | None = None,
) -> alt.TopLevelMixin:
    """Return a panel for each class and condition, all on the same axes."""
    suite = require_class_suite(connection, model, mode, drawn)
    cells = list(_read_cells(connection, model, suite, metric))
    if not any(cell.changes for cell in cells):
        raise UnknownNameError(f"the runs on classes of {model.name} have no {metric}")
    rows = [row for cell in cells for row in _make_rows(cell)]
    classes = list(dict.fromkeys(cell.class_name for cell in cells))
    conditions = list(dict.fromkeys(name_condition(cell.condition) for cell in cells))
    chart: alt.TopLevelMixin = (
        _draw_cell(rows, classes, metric)
        .facet(
            row=alt.Row("class:N", sort=classes, title=None, header=_make_row_header()),
            column=alt.Column("condition:N", sort=conditions, title=None),
            data=make_data(rows),
            spacing=8,
        )
        .properties(
            title=make_title(
                f"Changes of {metric} by token, by class and condition",
                model,
                *_write_notes(suite, cells, mode, metric),
            )
        )
    )
    return chart


def _read_cells(
    connection: Connection, model: Model, suite: ClassSuite, metric: str
) -> Iterator[Cell]:
    found = {(runs.class_name, runs.run.run.condition): runs for runs in suite.runs}
    conditions = list(_list_conditions(model, suite))
    for name in dict.fromkeys(name for name, _ in found):
        for condition in conditions:
            runs = found.get((name, condition))
            if runs is None:
                yield Cell(name, condition, None, None)
                continue
            changes = read_changes(connection, [runs.run], metric)
            yield Cell(name, condition, changes, read_changes(connection, runs.baselines, metric))


def _list_conditions(model: Model, suite: ClassSuite) -> Iterator[str | None]:
    """Yield those that any class was ablated under: at every token, the papers', others."""
    there = {runs.run.run.condition for runs in suite.runs}
    known = (None, *(PUBLISHED_CONDITIONS if model.gated else UNGATED_CONDITIONS))
    yield from (condition for condition in known if condition in there)
    yield from sorted(there - set(known), key=str)


def _make_rows(cell: Cell) -> Iterator[dict[str, Any]]:
    """Yield what a panel draws: bars, the corners of the line over them, and words."""
    place = {"class": cell.class_name, "condition": name_condition(cell.condition)}
    if cell.changes is None:
        yield place | {"what": "word", "word": "no run", "x": 0, "tokens": FLOOR}
        return
    if not cell.changes.bins:
        yield place | {"what": "word", "word": "no token changes", "x": 0, "tokens": FLOOR}
    means = [f"mean {format_mean(cell.changes.mean)}"]
    if cell.random is not None:
        means.append(f"random {format_mean(cell.random.mean)}")
    yield place | {"what": "mean", "word": "\n".join(means), "x": 0, "tokens": FLOOR}
    yield from make_bars(cell.changes, **place, what="removed")
    if cell.random is not None:
        yield from make_outline(cell.random, **place, what="random")


def _draw_cell(rows: Sequence[dict[str, Any]], classes: list[str], metric: str) -> alt.LayerChart:
    axes = {
        # The subtitle names the axes: beside panels this small, titles would overlap.
        "x": make_change_axis(rows, metric, titled=False),
        "y": make_token_axis(rows, headroom=20, titled=False),
    }
    colour = alt.Color(
        "class:N",
        legend=None,
        scale=alt.Scale(domain=classes, range=[CLASS_COLOURS[name] for name in classes]),
    )
    bars, line, words, means = (
        alt.Chart().transform_filter(f"datum.what == '{what}'")
        for what in ("removed", "random", "word", "mean")
    )
    zero = alt.Chart().mark_rule(color=OUTLINE, strokeWidth=0.6)
    return overlay(
        zero.encode(x=alt.datum(0)),
        bars.mark_rect().encode(
            **axes,
            x2="x2:Q",
            y2=alt.datum(FLOOR),
            color=colour,
            tooltip=make_bar_tooltip("class", "condition"),
        ),
        line.mark_line(color=INK, strokeWidth=1, interpolate="step-after").encode(**axes),
        words.mark_text(color=MUTED, fontSize=11).encode(
            x=alt.value(WIDTH / 2), y=alt.value(HEIGHT / 2), text="word:N"
        ),
        means.mark_text(
            color=MUTED, fontSize=9, align="left", baseline="top", lineBreak="\n"
        ).encode(x=alt.value(3), y=alt.value(3), text="word:N"),
    ).properties(width=WIDTH, height=HEIGHT)


def _make_row_header() -> alt.Header:
    """Return the header of rows: a class to the left of its panels, a line a word."""
    return alt.Header(
        labelExpr="split(datum.label, ' ')",
        labelAngle=0,
        labelOrient="left",
        labelAlign="left",
        labelAnchor="middle",
        labelFontSize=11,
    )


def _write_notes(suite: ClassSuite, cells: Sequence[Cell], mode: str, metric: str) -> Iterator[str]:
    yield describe_suite(suite, mode)
    runs = [run for cell in cells if cell.changes for run in cell.changes.run_ids]
    lines = "line: as many random neurons of the same layers" if _have_random(cells) else ""
    yield "; ".join(filter(None, (format_runs(runs), lines)))
    yield f"across: {name_change(metric)}; upwards: tokens"
    yield f"left of zero: removing the neurons raises the {metric}"
    missing = [cell for cell in cells if cell.changes is None]
    if len(missing) > MOST_MISSING:
        yield f"{len(missing)} of {len(cells)} panels have no run"
    elif missing:
        names = (f"{cell.class_name} {name_condition(cell.condition)}" for cell in missing)
        yield f"no run: {', '.join(names)}"


def _have_random(cells: Sequence[Cell]) -> bool:
    return any(cell.random is not None for cell in cells)
