"""What neurons do where their best test holds, by position, and by the next token (METHODS §9)."""

from collections.abc import Iterator, Sequence
from typing import Any, Final

import altair as alt
from sqlalchemy import Connection

from neurondb.errors import UnknownNameError
from neurondb.figures.chart_parts import make_data, make_panel_title, make_title, overlay
from neurondb.figures.families_by_layer import COLOURS, require_run
from neurondb.figures.palette import INK, MUTED
from neurondb.figures.registry import FIGURES
from neurondb.formatting.text import format_token, make_visible
from neurondb.reading.families import (
    ShownNeuron,
    list_shown_families,
    read_shown_neurons,
)
from neurondb.reading.models import Model

DEFAULT_FAMILIES: Final = {
    "test": "unigram",
    "position": "position",
    "next_token": "next_token",
}
DIGITS: Final = 5
COLUMNS: Final = 3
WIDTH, ROW_HEIGHT, POSITION_HEIGHT = 190, 17, 130
POSITION_WIDTH: Final = 230
LABEL_CELLS: Final = 16
ELSEWHERE: Final = "elsewhere"
_SAYS: Final = {
    "test": "parted by whether the best test holds",
    "position": "by position in the text, the prefix token at 0",
    "next_token": "by the token that comes next: those before which |mean| is largest",
}


def draw(
    connection: Connection, model: Model, family: str | None = None, by: str = "test"
) -> alt.TopLevelMixin:
    """Return a panel of boxes for each of the neurons that a family explains best."""
    run = require_run(connection, model)
    there = list_shown_families(connection, run.run_id)
    chosen = family or DEFAULT_FAMILIES[by]
    if family is None and chosen not in there and there:
        chosen = there[0]
    neurons = read_shown_neurons(connection, run.run_id, chosen, by)
    if not neurons:
        known = f"; there are those of {', '.join(there)}" if there else ""
        raise UnknownNameError(
            f"no activations of neurons of the family {chosen!r} of {model.name} are stored{known}"
        )
    panels = [_draw_panel(one, by, COLOURS.get(chosen, MUTED)) for one in neurons]
    notes = (
        f"{chosen}: canonical hook_post, {_SAYS[by]}",
        "box: 25 to 75%, line: 5 to 95%, stroke: median; in the headings the test and its score",
    )
    chart: alt.TopLevelMixin = alt.concat(*panels, columns=COLUMNS, spacing=26).properties(
        title=make_title(FIGURES["family-activations"].title, model, *notes)
    )
    return chart


def _make_rows(neuron: ShownNeuron, by: str) -> Iterator[dict[str, Any]]:
    for one in neuron.parts:
        part = format_token(one.part, LABEL_CELLS) if by == "next_token" else one.part
        numbers = one._asdict() | {"part": make_visible(part), "neuron": neuron.name}
        yield {name: _shorten(value) for name, value in numbers.items()}


def _shorten(value: Any) -> Any:
    return float(f"{value:.{DIGITS}g}") if isinstance(value, float) else value


def _draw_panel(neuron: ShownNeuron, by: str, colour: str) -> alt.LayerChart:
    rows = list(_make_rows(neuron, by))
    upright = by == "position"
    sort = [row["part"] for row in rows]
    tooltip = [
        alt.Tooltip("part:N", title="where"),
        alt.Tooltip("n:Q", title="tokens", format=","),
        alt.Tooltip("mean:Q", format=".4~g"),
        *(alt.Tooltip(f"{q}:Q", title=t, format=".4~g") for q, t in _TOOLTIPS.items()),
    ]
    base = alt.Chart(make_data(rows))
    shade = alt.condition(f"datum.part == '{ELSEWHERE}'", alt.value(MUTED), alt.value(colour))
    whisker = _encode(base.mark_rule(strokeWidth=1), "q05", "q95", sort, upright)
    box = _encode(
        base.mark_bar(opacity=0.75, size=7 if upright else 9), "q25", "q75", sort, upright
    )
    stroke = base.mark_tick(color=INK, thickness=1.5, size=8 if upright else 12)
    median = _encode(stroke, "q50", None, sort, upright)
    sign = "−" if neuron.sign < 0 else ""
    title = make_panel_title(neuron.name, f"{neuron.test}, {sign}{neuron.score:.2f}")
    height = POSITION_HEIGHT if upright else ROW_HEIGHT * len(rows)
    return overlay(
        whisker.encode(color=shade, tooltip=tooltip),
        box.encode(color=shade, tooltip=tooltip),
        median.encode(tooltip=tooltip),
    ).properties(width=POSITION_WIDTH if upright else WIDTH, height=height, title=title)


def _encode(
    chart: alt.Chart, low: str, high: str | None, sort: Sequence[str], upright: bool
) -> alt.Chart:
    """Return a mark from one quantile to another, across or upright."""
    labels: dict[str, Any] = {"labelAngle": -90, "labelOverlap": False} if upright else {}
    part_axis = alt.Axis(labelLimit=110, ticks=False, **labels)
    parts: Any = (alt.X if upright else alt.Y)("part:N", title=None, sort=sort, axis=part_axis)
    value_axis = alt.Axis(format=".4~g", tickCount=4)
    values: Any = (alt.Y if upright else alt.X)(f"{low}:Q", title=None, axis=value_axis)
    found = chart.encode(parts, values)
    if high is not None:
        found = found.encode(alt.Y2(f"{high}:Q") if upright else alt.X2(f"{high}:Q"))
    return found


_TOOLTIPS: Final = {"q05": "5%", "q25": "25%", "q50": "median", "q75": "75%", "q95": "95%"}
