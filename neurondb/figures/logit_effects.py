"""What a neuron does to the logits of all tokens, split by a property (METHODS §4)."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import altair as alt
import numpy as np
from sqlalchemy import Connection

from neurondb.errors import UnknownNameError, UsageError
from neurondb.figures.chart_parts import (
    make_data,
    make_panel_title,
    make_title,
    overlay,
    round_value,
)
from neurondb.figures.palette import ACCENT, OUTLINE
from neurondb.figures.registry import FIGURES
from neurondb.figures.requirements import make_missing_stage_error
from neurondb.figures.vocabulary_moments import (
    NONE,
    PARTITION,
    PREDICTION,
    ROLES,
    SUPPRESSION,
    assign_roles,
)
from neurondb.find.coverage import has_tokenizer
from neurondb.name_matching import quote_word, suggest_names
from neurondb.reading.logit_effects import (
    LogitEffects,
    OutMoments,
    list_neurons_with_logit_effects,
    read_logit_effects,
)
from neurondb.reading.models import Model, find_neuron_id

WIDTH, HEIGHT = 290, 220
WITH, WITHOUT = "tokens with the property", "all other tokens"


class Panel(NamedTuple):
    """A neuron, the name of its role, and its histogram."""

    moments: OutMoments
    role: str
    effects: LogitEffects


def draw(
    connection: Connection,
    model: Model,
    layer: int | None = None,
    neuron: int | None = None,
    property: str | None = None,  # noqa: A002  as parameters of figures are called
) -> alt.TopLevelMixin:
    """Return the histogram of a neuron, or of the most extreme one of each role, side by side."""
    neurons = list_neurons_with_logit_effects(connection, model)
    if not neurons:
        raise _make_missing_error(connection, model)
    roles = assign_roles(*np.array([tuple(n)[1:] for n in neurons]).T)
    if layer is None and neuron is None:
        chosen = list(_choose_extremes(neurons, roles))
        if not chosen:
            raise UnknownNameError(
                f"no neuron of {model.name} has a role: name one that a property explains, such as "
                f"neuron={_name(model, neurons[0].neuron_id)}"
            )
    else:
        chosen = [_find_neuron(model, neurons, layer, neuron)]
    panels = [
        Panel(
            neurons[i],
            ROLES[roles[i]],
            _choose_effects(connection, model, neurons[i], int(roles[i]), property),
        )
        for i in chosen
    ]
    one = len(panels) == 1
    absent = [role for role in ROLES[:NONE] if role not in {panel.role for panel in panels}]
    note = f"no {' and no '.join(absent)} neuron" if absent and layer is None else ""
    chart: alt.TopLevelMixin = alt.hconcat(
        *(_draw_panel(model, panel, wide=one) for panel in panels), spacing=24
    ).properties(
        title=make_title(
            FIGURES["logit-effects"].title, model, "each group's tokens are 100%", note
        )
    )
    return chart


def _make_missing_error(connection: Connection, model: Model) -> UnknownNameError:
    if not has_tokenizer(connection, model):
        return UnknownNameError(
            f"no tokenizer came with {model.name}: its tokens have no properties"
        )
    return make_missing_stage_error("logit_effects", model)


def _choose_extremes(neurons: Sequence[OutMoments], roles: Any) -> Iterator[int]:
    """Yield the place of the most extreme neuron of each role that there is."""
    for role in range(NONE):
        places = np.flatnonzero(roles == role)
        moment = "variance" if role == PARTITION else "kurtosis"
        strength = [getattr(neurons[i], moment) for i in places.tolist()]
        if len(places):
            yield int(places[int(np.argmax(strength))])


def _find_neuron(
    model: Model, neurons: Sequence[OutMoments], layer: int | None, neuron: int | None
) -> int:
    if layer is None or neuron is None:
        raise UsageError("logit-effects takes layer and neuron together, or neither")
    neuron_id = find_neuron_id(model, layer, neuron)
    place = next((i for i, one in enumerate(neurons) if one.neuron_id == neuron_id), None)
    if place is None:
        raise UnknownNameError(
            f"no histogram of {model.name_neuron(neuron_id)} of {model.name} is stored: "
            f"{len(neurons):,} neurons have one, those with a role and those that a property of "
            "tokens explains the best, of each layer; the view logit_effects lists them"
        )
    return place


def _choose_effects(
    connection: Connection, model: Model, moments: OutMoments, role: int, name: str | None
) -> LogitEffects:
    """Return the histogram by a property; by default one that explains what makes the role.

    A prediction or suppression neuron is one by its tail, so that of the largest third moment;
    others by the spread of their effects, so that of the largest variance.
    """
    effects = read_logit_effects(connection, moments.neuron_id)
    if name is None:
        in_tail = role in (PREDICTION, SUPPRESSION)
        return max(effects, key=lambda e: abs(e.third_moment) if in_tail else e.variance)
    for effect in effects:
        if effect.property_name == name:
            return effect
    names = [effect.property_name for effect in effects]
    raise UnknownNameError(
        f"{_name(model, moments.neuron_id)} of {model.name} has no histogram by the property "
        f"{quote_word(name)}{suggest_names(name, names)}; it has {', '.join(names)}"
    )


def _name(model: Model, neuron_id: int) -> str:
    return model.name_neuron(neuron_id)


def _draw_panel(model: Model, panel: Panel, *, wide: bool) -> alt.LayerChart:
    effects = panel.effects
    rows = list(_make_rows(effects))
    colour = alt.Color(
        "of:N",
        title=None,
        scale=alt.Scale(domain=[WITH, WITHOUT], range=[ACCENT, OUTLINE]),
        legend=alt.Legend(orient="bottom", symbolOpacity=0.75),
    )
    x = alt.X("low:Q", title="cos(U, out) of a token", axis=alt.Axis(format="~r", tickCount=6))
    y = alt.Y("share:Q", title="share of the group's tokens", axis=alt.Axis(format="~%"))
    tooltip = [
        alt.Tooltip("of:N", title="tokens"),
        alt.Tooltip("low:Q", title="from", format="~g"),
        alt.Tooltip("high:Q", title="to", format="~g"),
        alt.Tooltip("n:Q", title="how many", format=","),
        alt.Tooltip("share:Q", format=".2%"),
    ]
    zero = alt.Chart().mark_rule(color=OUTLINE, strokeWidth=0.8).encode(x=alt.datum(0))
    bars = alt.Chart(make_data(rows)).mark_rect(opacity=0.6)
    role = panel.role if panel.role == ROLES[NONE] else f"{panel.role} neuron"
    heading = make_panel_title(
        f"{_name(model, effects.neuron_id)}, {role}",
        f"{effects.property_name}: {effects.n_inside:,} of {effects.n:,} tokens",
        f"skewness {panel.moments.skewness:.1f}, kurtosis {panel.moments.kurtosis:.1f}, "
        f"variance {panel.moments.variance:.2g}".replace("-", "−"),
    )
    return overlay(
        zero,
        bars.encode(x=x, x2="high:Q", y=y, y2=alt.datum(0), color=colour, tooltip=tooltip),
    ).properties(width=2 * WIDTH if wide else WIDTH, height=HEIGHT, title=heading)


def _make_rows(effects: LogitEffects) -> Iterator[dict[str, Any]]:
    n_inside, n_outside = effects.n_inside, effects.n - effects.n_inside
    for group, total in ((WITHOUT, n_outside), (WITH, n_inside)):
        for bin_ in effects.bins:
            n = bin_.n_inside if group == WITH else bin_.n - bin_.n_inside
            if n:
                edges = {"low": bin_.low, "high": bin_.high}
                yield {"of": group, **edges, "n": n, "share": round_value(n / total, 6)}
