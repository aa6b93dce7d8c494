"""What taking neurons out of heads' queries changes (universal-neurons, figures 8b, 8c and 27)."""

import shlex
from collections.abc import Iterator, Sequence
from typing import Any, Final

import altair as alt
from sqlalchemy import Connection

from neurondb.errors import UnknownNameError, UsageError
from neurondb.figures.chart_parts import (
    make_data,
    make_panel_title,
    make_title,
    overlay,
    round_value,
)
from neurondb.figures.head_scores import require_head_run
from neurondb.figures.palette import CLASS_COLOURS, OUTLINE
from neurondb.figures.registry import FIGURES
from neurondb.formatting.text import make_visible
from neurondb.reading.heads import AblatedToken, HeadEffect, list_ablated_tokens, list_head_effects
from neurondb.reading.models import Model, find_neuron_id

MOST: Final = 6
"""Pairs that are drawn unless one neuron is asked for."""
DIGITS: Final = 7
PANELS: Final = {
    "bos_change": "attention to BOS, ablated − clean",
    "norm_change": "norm of head output, ablated − clean",
}
SIDES: Final = {
    "deactivates": CLASS_COLOURS["weakening"],
    "activates": CLASS_COLOURS["strengthening"],
}


def draw(
    connection: Connection, model: Model, layer: int | None = None, neuron: int | None = None
) -> alt.TopLevelMixin:
    """Return, for each pair, the two changes against the neuron's activation, a point a token."""
    if (layer is None) != (neuron is None):
        raise UsageError("layer and neuron name one neuron: give both or neither")
    run = require_head_run(connection, model)
    one = None if layer is None or neuron is None else find_neuron_id(model, layer, neuron)
    effects = choose_effects(list_head_effects(connection, run, one))
    if not effects:
        name = None if one is None else model.name_neuron(one)
        which = "" if name is None else f" of {name}"
        more = "" if name is None else f" --pairs {name}:LAYER.HEAD"
        raise UnknownNameError(
            f"no path ablation{which} of {model.name} is stored: run `neurondb heads "
            f"{shlex.quote(model.name)} --dataset FILE{more}`"
        )
    panels = [
        _draw_panel(effect, list_ablated_tokens(connection, run, effect), column)
        for effect in effects
        for column in PANELS
    ]
    notes = (
        "the neuron is taken out of the head's query alone; a point a position, in the second"
        " halves of texts",
        "blue: firing should raise the attention to BOS by the score; red: lower it",
    )
    chart: alt.TopLevelMixin = alt.concat(*panels, columns=4, spacing=20).properties(
        title=make_title(FIGURES["head-ablations"].title, model, *notes)
    )
    return chart


def choose_effects(effects: Sequence[HeadEffect]) -> list[HeadEffect]:
    """Return the pairs that change the attention to BOS the most where the neuron fires."""
    by_change = sorted(
        effects, key=lambda one: (-abs(one.firing_bos_change or 0), one.neuron_id, one.head)
    )
    return by_change[:MOST]


def _make_rows(effect: HeadEffect, tokens: Sequence[AblatedToken]) -> Iterator[dict[str, Any]]:
    pair = f"{effect.name} → head {effect.head_name}"
    for token in tokens:
        yield {
            "pair": make_visible(pair),
            "side": "deactivates" if effect.score > 0 else "activates",
            "activation": round_value(token.activation, DIGITS),
            "bos_clean": round_value(token.bos_clean, DIGITS),
            "bos_change": round_value(token.bos_ablated - token.bos_clean, DIGITS),
            "norm_clean": round_value(token.norm_clean, DIGITS),
            "norm_change": round_value(token.norm_ablated - token.norm_clean, DIGITS),
        }


def _draw_panel(effect: HeadEffect, tokens: Sequence[AblatedToken], column: str) -> alt.LayerChart:
    rows = list(_make_rows(effect, tokens))
    side = "deactivates" if effect.score > 0 else "activates"
    clean = column.replace("change", "clean")
    tooltip = [
        alt.Tooltip("pair:N"),
        alt.Tooltip("activation:Q", title="hook_post", format=".3~g"),
        alt.Tooltip(f"{clean}:Q", title="clean", format=".3~g"),
        alt.Tooltip(f"{column}:Q", title="ablated − clean", format="+.3~g"),
    ]
    points = (
        alt.Chart(make_data(rows))
        .mark_circle(size=14, opacity=0.6, color=SIDES[side])
        .encode(
            x=alt.X("activation:Q", title="hook_post", axis=alt.Axis(format=".3~g", tickCount=4)),
            y=alt.Y(f"{column}:Q", title=PANELS[column], axis=alt.Axis(format=".3~g", tickCount=5)),
            tooltip=tooltip,
        )
    )
    zero = alt.Chart(make_data([{"at": 0}])).mark_rule(color=OUTLINE, strokeWidth=0.6)
    note = f"score {effect.score:+.2f}"
    chart: alt.LayerChart = overlay(zero.encode(y="at:Q"), zero.encode(x="at:Q"), points)
    sized: alt.LayerChart = chart.properties(
        width=170,
        height=150,
        title=make_panel_title(f"{effect.name} → {effect.head_name}", note),
    )
    return sized
