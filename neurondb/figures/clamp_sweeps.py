"""A next token's probability against what neurons are held at (specialised-feature-neurons)."""

import shlex
from collections.abc import Iterator, Sequence
from typing import Any, Final

import altair as alt
from sqlalchemy import Connection

from neurondb.errors import UnknownNameError, UsageError
from neurondb.figures.chart_parts import make_data, make_title, overlay, round_value
from neurondb.figures.palette import ACCENT, CLASS_COLOURS, OUTLINE
from neurondb.figures.registry import FIGURES
from neurondb.formatting.text import format_token, keep_start, make_visible
from neurondb.reading.clamps import ClampedTarget, ClampSweep, list_clamps, list_neuron_clamps
from neurondb.reading.models import Model, find_neuron_id

DIGITS: Final = 7
COLOURS: Final = (
    ACCENT,
    *(CLASS_COLOURS[name] for name in ("strengthening", "weakening", "proportional change")),
    *(CLASS_COLOURS[name] for name in ("conditional strengthening", "conditional weakening")),
)
LABEL_CELLS: Final = 44


def draw(
    connection: Connection,
    model: Model,
    run: int | None = None,
    layer: int | None = None,
    neuron: int | None = None,
) -> alt.TopLevelMixin:
    """Return a line for each sweep and target token; the clean probability is dotted."""
    if (layer is None) != (neuron is None):
        raise UsageError("layer and neuron name one neuron: give both or neither")
    sweeps = (
        list_clamps(connection, model, run)
        if layer is None or neuron is None
        else list_neuron_clamps(connection, model, find_neuron_id(model, layer, neuron))
    )
    if not sweeps:
        which = ""
        if layer is not None and neuron is not None:
            which = f" of {model.name_place(layer, neuron)}"
        raise UnknownNameError(
            f"no clamp sweep{which} of {model.name} is stored: run `neurondb clamp "
            f"{shlex.quote(model.name)} L.N PROMPT`"
        )
    rows = list(_make_rows(sweeps))
    first = sweeps[0].run
    notes = [f"{first.hook} held at {_describe_position(first.position)}"]
    if len({sweep.run.prompt for sweep in sweeps}) == 1:
        notes.append(f"after “{keep_start(first.prompt, 90)}”")
    notes.append("dotted: nothing held")
    chart: alt.TopLevelMixin = _draw_lines(rows).properties(
        width=520, height=300, title=make_title(FIGURES["clamp-sweeps"].title, model, *notes)
    )
    return chart


def _describe_position(position: str) -> str:
    return "every position" if position == "all" else "the last position"


def _make_rows(sweeps: Sequence[ClampSweep]) -> Iterator[dict[str, Any]]:
    """Yield a row a point; a line's name says only what tells it from the others."""
    neurons = {sweep.neurons for sweep in sweeps}
    prompts = {sweep.run.prompt for sweep in sweeps}
    several = len({target.token_id for sweep in sweeps for target in sweep.targets}) > 1
    seen: set[str] = set()
    for sweep in sweeps:
        for target in sweep.targets:
            parts = [f"p({format_token(target.token, 16)})"] if several else []
            parts += [",".join(sweep.neurons)] if len(neurons) > 1 else []
            parts += [f"“{keep_start(sweep.run.prompt, 24)}”"] if len(prompts) > 1 else []
            name = " ".join(parts) or f"p({format_token(target.token, 16)})"
            if name in seen:  # the same again in other values
                name = f"{name} (run {sweep.run.run_id})"
            seen.add(name)
            yield from _make_points(sweep, target, name)


def _make_points(sweep: ClampSweep, target: ClampedTarget, name: str) -> Iterator[dict[str, Any]]:
    for value, probability in zip(target.values, target.probabilities, strict=True):
        yield {
            "line": make_visible(name)[:LABEL_CELLS],
            "value": round_value(value, DIGITS),
            "probability": round_value(probability, DIGITS),
            "clean": round_value(target.clean, DIGITS),
            "run": sweep.run.run_id,
        }


def _draw_lines(rows: list[dict[str, Any]]) -> alt.LayerChart:
    names = list(dict.fromkeys(row["line"] for row in rows))
    colours = [COLOURS[i % len(COLOURS)] for i in range(len(names))]
    colour = alt.Color("line:N", title=None, scale=alt.Scale(domain=names, range=colours))
    base = alt.Chart(make_data(rows)).encode(
        x=alt.X("value:Q", title="held at, canonical sign", axis=alt.Axis(format="~r")),
        color=colour,
    )
    y = alt.Y("probability:Q", title="probability of the next token", scale=alt.Scale(domainMin=0))
    tooltip = [
        alt.Tooltip("line:N"),
        alt.Tooltip("value:Q", format="~g"),
        alt.Tooltip("probability:Q", format=".3~g"),
        alt.Tooltip("clean:Q", format=".3~g"),
        alt.Tooltip("run:Q"),
    ]
    zero = alt.Chart(make_data([{"value": 0}])).mark_rule(color=OUTLINE, strokeWidth=0.6)
    return overlay(
        zero.encode(x="value:Q"),
        base.mark_line(strokeDash=[2, 3], strokeWidth=1).encode(y="clean:Q"),
        base.mark_line(point=alt.OverlayMarkDef(size=18)).encode(y=y, tooltip=tooltip),
    )
