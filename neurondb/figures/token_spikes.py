"""Which neurons encode a token, over the layers (after specialised-feature-neurons, figure 1)."""

from collections.abc import Sequence
from typing import Any, Final

import altair as alt
import numpy as np
from sqlalchemy import Connection

from neurondb.errors import UnknownNameError
from neurondb.figures.chart_parts import (
    make_data,
    make_neuron_link,
    make_title,
    overlay,
    round_value,
)
from neurondb.figures.palette import ACCENT, ACCENT_SOFT, INK
from neurondb.find.token_names import find_tokens
from neurondb.formatting.text import format_side
from neurondb.reading.lm_head import DecodedNeuron, Decoding, rank_neurons, read_decoding
from neurondb.reading.models import Model
from neurondb.reading.tokens import NamedToken

POINTS: Final = 1000
"""Neurons that are points, at most: those of the largest normalised probability."""
SLICES: Final = 16
"""Slices of a layer; each shows the largest of its neurons that are no points."""
NAMED: Final = 10
WIDTH: Final = 720
HEIGHT: Final = 320
LABEL: Final = (52, 8)
"""Pixels that a neuron's name takes, across and on either side of its middle."""
TOKEN_CHARACTERS: Final = 40
_SHAPES: Final = ("circle", "triangle-down")
_DECODED_OF: Final = {1: "softmax(U·in) of every neuron", 2: "softmax(±U·in) of every neuron"}


def draw(connection: Connection, model: Model, token: str, base_url: str = "") -> alt.TopLevelMixin:
    """Return the neurons that were decoded and stored for a token."""
    named = find_token(connection, model, token)
    decoding = read_decoding(connection, model, named.token_id)
    if decoding is None:
        raise UnknownNameError(
            f"{named.token!r} (#{named.token_id}) was not decoded for {model.name}: run `neurondb "
            f"tokens {model.name} '#{named.token_id}' --lm-head --store`"
        )
    return draw_token(decoding, model, named, base_url)


def find_token(connection: Connection, model: Model, spelled: str) -> NamedToken:
    """Return the one token that somebody means; the first where several ids have its text.

    Raises:
        UnknownNameError: when there is none.
    """
    return find_tokens(connection, model, [spelled])[0]


def draw_token(
    decoding: Decoding, model: Model, token: NamedToken, base_url: str = ""
) -> alt.LayerChart:
    """Return every neuron's normalised probability of a token, at its place in its layer.

    A gated neuron has two, of +in and of −in.

    Raises:
        UnknownNameError: when every `in` vector is zero.
    """
    best = rank_neurons(decoding, POINTS)
    if not best:
        raise UnknownNameError(f"every in vector of {model.name} is zero: nothing is decoded")
    highest = max(best[0].normalised, 1e-9)
    below = best[-1].normalised if len(best) == POINTS else 0.0
    points = [_make_row(one, model, base_url) for one in best]
    labels = _place_labels(best, model, highest)
    shown = repr(token.token[:TOKEN_CHARACTERS])  # nothing in it acts, as commands take it
    notes = [_DECODED_OF[len(decoding.sides)]]
    if below > 0:
        notes.append("pale: the largest of the neurons that are no points")
    return overlay(
        _draw_crowd(_make_slices(decoding, model, below), model, highest),
        _draw_points(points, model, highest, [format_side(side) for side in decoding.sides]),
        _draw_names(labels, model, highest),
    ).properties(
        width=WIDTH,
        height=HEIGHT,
        title=make_title(f"Neurons that encode {shown} (#{token.token_id})", model, *notes),
    )


def _find_place(one: DecodedNeuron, model: Model) -> float:
    """Return a neuron's place on the axis of layers: a layer's neurons fill its middle 80%."""
    return one.layer - 0.4 + 0.8 * (one.neuron + 0.5) / model.d_mlp


def _make_row(one: DecodedNeuron, model: Model, base_url: str) -> dict[str, Any]:
    return {
        "x": round_value(_find_place(one, model)),
        "y": round_value(one.normalised),
        "name": one.name,
        "of": format_side(one.side),
        "p": round_value(one.probability, 7),
        "href": make_neuron_link(base_url, model, one.layer, one.neuron),
    }


def _make_slices(decoding: Decoding, model: Model, below: float) -> list[dict[str, Any]]:
    """Return the largest value of each slice of each layer, among the neurons below the points."""
    values = np.where(decoding.normalised < below, decoding.normalised, 0.0).max(axis=0)
    edges = np.unique(np.linspace(0, model.d_mlp, SLICES + 1).astype(int))
    peaks = np.maximum.reduceat(values, edges[:-1], axis=1)
    places = -0.4 + 0.8 * edges / model.d_mlp
    return [
        {
            "x": round_value(layer + places[i]),
            "x2": round_value(layer + places[i + 1]),
            "y": round_value(peaks[layer, i]),
        }
        for layer, i in np.argwhere(peaks > 0).tolist()
    ]


def _place_labels(
    best: Sequence[DecodedNeuron], model: Model, highest: float
) -> list[dict[str, Any]]:
    """Return the names of the highest points that have room for them, and on which side."""
    a_layer, a_unit = WIDTH / model.n_layers, HEIGHT / (1.08 * highest)
    places = np.array(
        [((_find_place(one, model) + 0.5) * a_layer, one.normalised * a_unit) for one in best]
    )
    taken = places
    rows: list[dict[str, Any]] = []
    for one, (x, y) in zip(best[: 4 * NAMED], places, strict=False):
        for side, start in (("right", x + 3), ("left", x - LABEL[0] - 3)):
            box = np.array([(start, start + LABEL[0])]), np.array([(y - LABEL[1], y + LABEL[1])])
            free = 0 <= start <= WIDTH - LABEL[0] and not _lies_within(taken, *box)
            if free and len(rows) < NAMED:
                row = {
                    "x": round_value(_find_place(one, model)),
                    "y": round_value(one.normalised),
                    "name": one.name,
                }
                rows.append(row | {"side": side})
                # The next names keep clear of this one, begin and end.
                ends = [(start + part * LABEL[0], y) for part in (0, 0.5, 1)]
                taken = np.concatenate([taken, ends])
                break
    return rows


def _lies_within(places: Any, across: Any, up: Any) -> bool:
    """Tell whether one of the places lies in a box."""
    x, y = places.T
    inside = (x > across[0, 0]) & (x < across[0, 1]) & (y > up[0, 0]) & (y < up[0, 1])
    return bool(inside.any())


def _make_axes(model: Model, highest: float) -> dict[str, Any]:
    step = max(1, round(model.n_layers / 16))
    return {
        "x": alt.X(
            "x:Q",
            title="layer",
            scale=alt.Scale(domain=[-0.5, model.n_layers - 0.5], nice=False),
            axis=alt.Axis(values=list(range(0, model.n_layers, step)), format="d", grid=False),
        ),
        "y": alt.Y(
            "y:Q",
            title="normalised probability",
            scale=alt.Scale(domain=[0, 1.08 * highest], nice=False),
            axis=alt.Axis(tickCount=5, format="~s"),
        ),
    }


def _draw_crowd(rows: list[dict[str, Any]], model: Model, highest: float) -> alt.Chart:
    mark = alt.Chart(make_data(rows)).mark_rect(color=ACCENT_SOFT)
    chart: alt.Chart = mark.encode(**_make_axes(model, highest), x2="x2:Q", y2=alt.datum(0))
    return chart


def _draw_points(
    rows: list[dict[str, Any]], model: Model, highest: float, sides: Sequence[str]
) -> alt.Chart:
    tooltip = [
        alt.Tooltip("name:N", title="neuron"),
        alt.Tooltip("of:N", title="side"),
        alt.Tooltip("y:Q", title="normalised", format=".3f"),
        alt.Tooltip("p:Q", title="probability", format=".3g"),
    ]
    mark = alt.Chart(make_data(rows)).mark_point(size=16, color=ACCENT, filled=True, opacity=0.75)
    shape = alt.Shape(
        "of:N",
        title="softmax of U times",
        scale=alt.Scale(domain=list(sides), range=list(_SHAPES[: len(sides)])),
        legend=alt.Legend() if len(sides) > 1 else None,
    )
    encoding = {**_make_axes(model, highest), "shape": shape}
    chart: alt.Chart = mark.encode(**encoding, tooltip=tooltip, href="href:N")
    return chart


def _draw_names(rows: list[dict[str, Any]], model: Model, highest: float) -> alt.LayerChart:
    axes = _make_axes(model, highest)
    sides: dict[str, tuple[Any, int]] = {"right": ("left", 5), "left": ("right", -5)}
    parts = []
    for side, (align, dx) in sides.items():
        of_side = [row for row in rows if row["side"] == side]
        mark = alt.Chart(make_data(of_side)).mark_text(
            align=align, baseline="middle", dx=dx, color=INK, fontSize=10.5
        )
        parts.append(mark.encode(**axes, text="name:N"))
    return overlay(*parts)
