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
"""At most so many neurons are points: those of the largest normalised probability."""
SLICES: Final = 16
"""Slices of a layer; each shows the largest of its neurons that are no points."""
MOST_LABELS: Final = 10
WIDTH: Final = 720
HEIGHT: Final = 320
LABEL: Final = (52, 8)
"""Pixels that a neuron's name takes, across and on either side of its middle."""
TOKEN_CHARACTERS: Final = 40
_SHAPES: Final = ("circle", "triangle-down")
_DECODED_OF: Final = {1: "softmax(U·in) of every neuron", 2: "softmax(±U·in) of every neuron"}


def draw(connection: Connection, model: Model, token: str, base_url: str = "") -> alt.TopLevelMixin:
    """Return the neurons that were decoded and stored for a token."""
    named_token = find_token(connection, model, token)
    decoding = read_decoding(connection, model, named_token.token_id)
    if decoding is None:
        raise UnknownNameError(
            f"{named_token.token!r} (#{named_token.token_id}) was not decoded for "
            f"{model.name}: run `neurondb "
            f"tokens {model.name} '#{named_token.token_id}' --lm-head --store`"
        )
    return draw_token(decoding, model, named_token, base_url)


def find_token(connection: Connection, model: Model, text: str) -> NamedToken:
    """Return the token that a text names; the first one where several ids have this text.

    Raises:
        UnknownNameError: when there is none.
    """
    return find_tokens(connection, model, [text])[0]


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
    threshold = best[-1].normalised if len(best) == POINTS else 0.0
    points = [_make_row(neuron, model, base_url) for neuron in best]
    labels = _place_labels(best, model, highest)
    token_text = repr(token.token[:TOKEN_CHARACTERS])  # nothing in it acts, as commands take it
    notes = [_DECODED_OF[len(decoding.sides)]]
    if threshold > 0:
        notes.append("pale: the largest of the neurons that are no points")
    return overlay(
        _draw_crowd(_make_slices(decoding, model, threshold), model, highest),
        _draw_points(points, model, highest, [format_side(side) for side in decoding.sides]),
        _draw_names(labels, model, highest),
    ).properties(
        width=WIDTH,
        height=HEIGHT,
        title=make_title(f"Neurons that encode {token_text} (#{token.token_id})", model, *notes),
    )


def _find_place(neuron: DecodedNeuron, model: Model) -> float:
    """Return a neuron's place on the axis of layers: a layer's neurons fill its middle 80%."""
    return neuron.layer - 0.4 + 0.8 * (neuron.neuron + 0.5) / model.d_mlp


def _make_row(neuron: DecodedNeuron, model: Model, base_url: str) -> dict[str, Any]:
    return {
        "x": round_value(_find_place(neuron, model)),
        "y": round_value(neuron.normalised),
        "name": model.name_place(neuron.layer, neuron.neuron),
        "of": format_side(neuron.side),
        "p": round_value(neuron.probability, 7),
        "href": make_neuron_link(base_url, model, neuron.layer, neuron.neuron),
    }


def _make_slices(decoding: Decoding, model: Model, threshold: float) -> list[dict[str, Any]]:
    """Return the largest value of each slice of each layer, among the neurons below the points."""
    values = np.where(decoding.normalised < threshold, decoding.normalised, 0.0).max(axis=0)
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
        [
            ((_find_place(neuron, model) + 0.5) * a_layer, neuron.normalised * a_unit)
            for neuron in best
        ]
    )
    occupied = places
    rows: list[dict[str, Any]] = []
    for neuron, (x, y) in zip(best[: 4 * MOST_LABELS], places, strict=False):
        for side, start in (("right", x + 3), ("left", x - LABEL[0] - 3)):
            box = np.array([(start, start + LABEL[0])]), np.array([(y - LABEL[1], y + LABEL[1])])
            fits = 0 <= start <= WIDTH - LABEL[0] and not _lies_within(occupied, *box)
            if fits and len(rows) < MOST_LABELS:
                row = {
                    "x": round_value(_find_place(neuron, model)),
                    "y": round_value(neuron.normalised),
                    "name": model.name_place(neuron.layer, neuron.neuron),
                }
                rows.append(row | {"side": side})
                # The next names keep clear of this one, begin and end.
                ends = [(start + part * LABEL[0], y) for part in (0, 0.5, 1)]
                occupied = np.concatenate([occupied, ends])
                break
    return rows


def _lies_within(places: Any, across: Any, up: Any) -> bool:
    """Tell whether one of the places lies in a box."""
    x, y = places.T
    covered = (x > across[0, 0]) & (x < across[0, 1]) & (y > up[0, 0]) & (y < up[0, 1])
    return bool(covered.any())


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
