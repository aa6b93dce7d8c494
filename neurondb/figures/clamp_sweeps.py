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
from neurondb.formatting.text import format_token, make_visible, quote_prompt
from neurondb.reading.clamps import ClampedTarget, ClampSweep, list_clamps, list_neuron_clamps
from neurondb.reading.models import Model, find_neuron_id

DIGITS: Final = 7
COLOURS: Final = (
    ACCENT,
    *(CLASS_COLOURS[name] for name in ("strengthening", "weakening", "proportional change")),
    *(CLASS_COLOURS[name] for name in ("conditional strengthening", "conditional weakening")),
)
LABEL_CELLS: Final = 44
PROMPT_CELLS: Final = 60
PANEL_HEIGHT: Final = 170


def draw(
    connection: Connection,
    model: Model,
    run: int | None = None,
    layer: int | None = None,
    neuron: int | None = None,
) -> alt.TopLevelMixin:
    """Return a line for each sweep and target token; the clean probability is dotted.

    Sweeps of different prompts, or over different ranges of values, have panels of their own.
    """
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
    panels = _group(sweeps)
    rows = [
        row | {"panel": name} for name, of_panel in panels.items() for row in _make_rows(of_panel)
    ]
    first = sweeps[0].run
    notes = ["dotted: nothing held"]
    chart: Any = _draw_lines(rows)
    if len(panels) > 1:
        notes.insert(0, "a panel for each prompt and range of values")
        chart = _stack(chart.properties(width=520, height=PANEL_HEIGHT), rows)
    else:
        after = f"after {quote_prompt(first.prompt, 90)}"
        notes = [f"{first.hook} held at {_describe_position(first.position)}", after, *notes]
        chart = chart.properties(width=520, height=300, data=make_data(rows))
    found: alt.TopLevelMixin = chart.properties(
        title=make_title(FIGURES["clamp-sweeps"].title, model, *notes)
    )
    return found


def _group(sweeps: Sequence[ClampSweep]) -> dict[str, list[ClampSweep]]:
    """Return the sweeps that can be compared, by what stands above them.

    They are of one prompt, hook and position, over one range of values.
    """
    groups: dict[Any, list[ClampSweep]] = {}
    for sweep in sweeps:
        run, values = sweep.run, [value for one in sweep.targets for value in one.values]
        place = (run.prompt, run.chat, run.hook, run.position, min(values), max(values))
        groups.setdefault(place, []).append(sweep)
    named: dict[str, list[ClampSweep]] = {}
    for (prompt, chat, hook, position, low, high), of_one in groups.items():
        span = f"{low:g} to {high:g}".replace("-", "−")
        words = [f"{span} after {quote_prompt(prompt, PROMPT_CELLS)}{' as a chat' * chat}"]
        words += [hook] if len({place[2] for place in groups}) > 1 else []
        words += [_describe_position(position)] if len({place[3] for place in groups}) > 1 else []
        name = make_visible(", ".join(words))
        named[name if name not in named else f"{name} (run {of_one[0].run.run_id})"] = of_one
    return named


def _stack(chart: alt.LayerChart, rows: list[dict[str, Any]]) -> alt.FacetChart:
    """Return a panel below the other, each with an axis of its own."""
    names = list(dict.fromkeys(row["panel"] for row in rows))
    header = alt.Header(title=None, labelAnchor="start", labelLimit=520)
    facet = alt.Facet("panel:N", sort=names, header=header)
    stacked = chart.facet(facet, columns=1, data=make_data(rows), spacing=16)
    found: alt.FacetChart = stacked.resolve_scale(x="independent")
    return found


def _describe_position(position: str) -> str:
    return "every position" if position == "all" else "the last position"


def _make_rows(sweeps: Sequence[ClampSweep]) -> Iterator[dict[str, Any]]:
    """Yield a row a point; a line's name says only what tells it from the others."""
    neurons = {sweep.neurons for sweep in sweeps}
    several = len({target.token_id for sweep in sweeps for target in sweep.targets}) > 1
    seen: set[str] = set()
    for sweep in sweeps:
        for target in sweep.targets:
            parts = [f"p({format_token(target.token, 16)})"] if several else []
            parts += [",".join(sweep.neurons)] if len(neurons) > 1 else []
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
    base = alt.Chart().encode(
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
    zero = alt.Chart().transform_aggregate(n="count()")
    zero = zero.mark_rule(color=OUTLINE, strokeWidth=0.6)
    return overlay(
        zero.encode(x=alt.datum(0)),
        base.mark_line(strokeDash=[2, 3], strokeWidth=1).encode(y="clean:Q"),
        base.mark_line(point=alt.OverlayMarkDef(size=18)).encode(y=y, tooltip=tooltip),
    )
