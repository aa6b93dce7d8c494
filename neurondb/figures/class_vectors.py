"""What each read-write class is, as the vectors of a neuron of it in the plane of gate and in.

Gate and in span a plane: there both stand at their own angle. Out need not lie in it, and what is
drawn is its projection, whose products with gate and with in are cos(gate, out) and cos(in, out)
themselves. Its length tells how much of out lies in the plane; the rest is perpendicular to both.
"""

import math
from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple

import altair as alt
import numpy as np
from jaxtyping import Float
from sqlalchemy import Connection

from neurondb.errors import UnknownNameError
from neurondb.figures.chart_parts import make_data, make_title, overlay, round_value
from neurondb.figures.palette import ACCENT, CLASS_COLOURS, GRID, OUTLINE, SURFACE
from neurondb.figures.registry import FIGURES
from neurondb.figures.requirements import make_missing_stage_error
from neurondb.neurons import parse_neurons
from neurondb.reading.arrays import (
    RandomRegion,
    choose_region,
    read_all_cosines,
    read_class_ids,
    read_random_regions,
)
from neurondb.reading.models import Model, locate_place

TYPICAL: Final = (
    *("strengthening", "conditional strengthening", "proportional change"),
    *("weakening", "conditional weakening", "orthogonal output"),
)
"""The six classes, in the order of their panels."""
COLOURS: Final = {
    "gate": CLASS_COLOURS["conditional strengthening"],
    "in": CLASS_COLOURS["proportional change"],
    "out": ACCENT,
}
SIDE: Final = 200
REACH: Final = 1.45
"""How far a panel reaches on either side of its middle; vectors have length 1."""
CROWDED: Final = math.radians(20)
"""The name of out stands at this angle from other vectors at least."""

Values = Float[np.ndarray, "layers neurons"]


class Vector(NamedTuple):
    """A vector in the plane."""

    name: str
    x: float
    y: float

    @property
    def length(self) -> float:
        """Its length: 1 of what lies in the plane."""
        return math.hypot(self.x, self.y)

    @property
    def angle(self) -> float:
        """Its angle from gate towards in, in radians from −π to π."""
        return math.atan2(self.y, self.x)


def place_vectors(
    gate_in: float | None, gate_out: float | None, in_out: float
) -> tuple[Vector, ...]:
    """Return gate, in and the projection of out, given the cosines; gate lies along x.

    Without a gate, in lies along x, and out is in the plane.
    """
    if gate_in is None or gate_out is None:
        return Vector("in", 1.0, 0.0), Vector("out", in_out, _find_rest(in_out))
    height = _find_rest(gate_in)
    # Of a plane that gate and in do not span, out does the rest.
    up = (in_out - gate_in * gate_out) / height if height > 1e-6 else _find_rest(gate_out)
    return Vector("gate", 1.0, 0.0), Vector("in", gate_in, height), Vector("out", gate_out, up)


def _find_rest(cosine: float) -> float:
    return math.sqrt(max(0.0, 1 - cosine * cosine))


class Shown(NamedTuple):
    """A neuron that is drawn, and its cosines; those of a gate are None without one."""

    name: str
    class_name: str
    gate_in: float | None
    gate_out: float | None
    in_out: float


def draw(connection: Connection, model: Model, neurons: str | None = None) -> alt.TopLevelMixin:
    """Return a panel for each neuron: its vectors as arrows in the unit circle."""
    cosines = read_all_cosines(connection, model)
    class_ids = read_class_ids(connection, model)
    class_ids[np.isnan(cosines["in_out"])] = np.nan
    if np.isnan(class_ids).all():
        raise make_missing_stage_error("weights", model)
    if neurons is None:
        regions = read_random_regions(connection, model)
        places = list(_choose_prototypes(cosines, class_ids, regions))
    else:
        places = [locate_place(model, place)[:2] for place in parse_neurons(neurons)]
    shown = [_describe(model, cosines, class_ids, *place) for place in places]
    notes = _write_notes(model, shown, neurons)
    chart: alt.TopLevelMixin = alt.concat(*map(_draw_panel, shown), columns=3, spacing=22)
    return chart.properties(title=make_title(FIGURES["class-vectors"].title, model, *notes))


def _choose_prototypes(
    cosines: dict[str, Values], class_ids: Values, regions: dict[tuple[int, str, str], RandomRegion]
) -> Iterator[tuple[int, int]]:
    """Yield the neuron of each class that shows it most clearly, in the order of the panels.

    That is the one with the strongest cosine that defines its class, among those whose other
    cosine, if it ought to be 0, is within the random region (weakening-neurons, app. F.2); of
    orthogonal output the one with the smallest sum of the squares of both.
    """
    in_out = cosines["in_out"]
    gate_out = cosines.get("gate_out", np.zeros_like(in_out))
    scores = {
        "proportional change": np.abs(gate_out),
        "orthogonal output": -(in_out**2 + gate_out**2),
    }
    ought_to_be_zero = {
        "conditional strengthening": "gate_out",
        "conditional weakening": "gate_out",
        "proportional change": "in_out",
    }
    for name in TYPICAL:
        fitting = class_ids == list(CLASS_COLOURS).index(name)
        if (pair := ought_to_be_zero.get(name)) is not None and fitting.any():
            low, high = _read_ends(regions, pair, len(in_out))
            fitting &= (cosines[pair] >= low) & (cosines[pair] <= high)
        if fitting.any():
            score = np.where(fitting, scores.get(name, np.abs(in_out)), -np.inf)
            layer, neuron = np.unravel_index(int(np.argmax(score)), score.shape)
            yield int(layer), int(neuron)


def _read_ends(
    regions: dict[tuple[int, str, str], RandomRegion], pair: str, n_layers: int
) -> tuple[Values, Values]:
    """Return the lower and the upper end of the random region of every layer, as columns."""
    found = [choose_region(regions, layer, pair) for layer in range(n_layers)]
    ends = np.array([(np.nan, np.nan) if region is None else region[0] for region in found])
    return ends[:, :1], ends[:, 1:]


def _describe(
    model: Model, cosines: dict[str, Values], class_ids: Values, layer: int, neuron: int
) -> Shown:
    class_id = class_ids[layer, neuron]
    if np.isnan(class_id):
        raise UnknownNameError(
            f"{model.name_place(layer, neuron)} of {model.name} has no cosines: a vector of it is "
            "zero, or its layer was not ingested; name others"
        )
    values = {pair: float(of_pair[layer, neuron]) for pair, of_pair in cosines.items()}
    return Shown(
        model.name_place(layer, neuron),
        list(CLASS_COLOURS)[int(class_id)],
        values.get("gate_in"),
        values.get("gate_out"),
        values["in_out"],
    )


def _write_notes(model: Model, shown: Sequence[Shown], neurons: str | None) -> Iterator[str]:
    which = "of each class the neuron that shows it most clearly" if neurons is None else ""
    yield ", ".join(filter(None, (which, f"τ = {model.threshold:g}, canonical signs")))
    if model.gated:
        yield "gate and in stand at their own angle; out is projected on their plane: its parts"
        yield "along both are its exact cosines, what lacks to the circle is perpendicular to both"
    else:
        yield "in and out stand at their own angle; there is no gate"
    if neurons is None and model.gated:
        classes = {one.class_name for one in shown}
        missing = [name for name in TYPICAL if name not in classes]
        if missing:
            yield f"no neuron is like: {', '.join(missing)}"


def _draw_panel(shown: Shown) -> alt.LayerChart:
    vectors = place_vectors(shown.gate_in, shown.gate_out, shown.in_out)
    arrows = alt.Chart(make_data(list(_make_rows(vectors)))).encode(
        color=alt.Color(
            "vector:N",
            scale=alt.Scale(domain=list(COLOURS), range=list(COLOURS.values())),
            legend=None,
        )
    )
    axes = {name: _make_axis(name) for name in ("x", "y")}
    ends: dict[str, Any] = {**axes, "x2": "zero:Q", "y2": "zero:Q"}
    heads = arrows.mark_point(shape="triangle-up", filled=True, size=75, opacity=1)
    label = alt.Chart(make_data(list(_make_labels(vectors)))).encode(
        x=_make_axis("x"), y=_make_axis("y"), text="vector:N"
    )
    return overlay(
        _draw_circle(),
        arrows.mark_rule(strokeWidth=2.5).encode(**ends),
        heads.encode(**axes, angle=alt.Angle("turn:Q", scale=None)),
        label.mark_text(fontSize=11, stroke=SURFACE, strokeWidth=3),
        label.mark_text(fontSize=11, fontWeight=600).encode(
            color=alt.Color("vector:N", scale=alt.Scale(domain=list(COLOURS)))
        ),
    ).properties(
        width=SIDE,
        height=SIDE,
        title=alt.TitleParams(
            shown.class_name,
            subtitle=[shown.name, *_write_cosines(shown, vectors[-1].length)],
            fontSize=12,
            subtitleFontSize=11,
            offset=4,
        ),
    )


def _make_axis(name: str) -> Any:
    scale = alt.Scale(domain=[-REACH, REACH], nice=False)
    channel: Any = alt.X if name == "x" else alt.Y
    return channel(f"{name}:Q", title=None, scale=scale, axis=None)


def _draw_circle() -> alt.LayerChart:
    circle = [
        {"x": math.cos(turn), "y": math.sin(turn), "turn": turn}
        for turn in (math.tau * i / 72 for i in range(73))
    ]
    base = alt.Chart(make_data(circle)).encode(x=_make_axis("x"), y=_make_axis("y"))
    origin = alt.Chart(make_data([{"x": 0, "y": 0}]))
    return overlay(
        origin.mark_rule(color=GRID).encode(x=_make_axis("x")),
        origin.mark_rule(color=GRID).encode(y=_make_axis("y")),
        base.mark_line(color=OUTLINE, strokeWidth=0.8).encode(order="turn:Q"),
    )


def _make_rows(vectors: Sequence[Vector]) -> Iterator[dict[str, Any]]:
    for vector in vectors:
        turn = 90 - math.degrees(vector.angle)
        yield {
            "vector": vector.name,
            "x": round_value(vector.x),
            "y": round_value(vector.y),
            "zero": 0,
            "turn": round_value(turn, 2),
        }


def _make_labels(vectors: Sequence[Vector]) -> Iterator[dict[str, Any]]:
    """Yield a name beyond each arrow; that of out is moved aside where it would lie on another."""
    *others, out = vectors
    angles = {vector.name: vector.angle for vector in others}
    angles["out"] = _find_free_angle(out.angle, list(angles.values()))
    for vector in vectors:
        radius, angle = vector.length + 0.16, angles[vector.name]
        # Names are wider than high.
        x, y = (radius + 0.1 * abs(math.cos(angle))) * math.cos(angle), radius * math.sin(angle)
        yield {"vector": vector.name, "x": round_value(x), "y": round_value(y)}


def _find_free_angle(wanted: float, taken: Sequence[float]) -> float:
    """Return the angle nearest to the wanted one that is not crowded."""
    steps = (wanted + sign * math.radians(4 * i) for i in range(20) for sign in (1, -1))
    return next(
        angle
        for angle in steps
        if all(abs(math.remainder(angle - other, math.tau)) >= CROWDED for other in taken)
    )


def _write_cosines(shown: Shown, length: float) -> Iterator[str]:
    if shown.gate_in is None or shown.gate_out is None:
        yield f"cos(in, out) {_format(shown.in_out)}"
        return
    yield f"cos(gate, in) {_format(shown.gate_in)}, (gate, out) {_format(shown.gate_out)}"
    yield f"cos(in, out) {_format(shown.in_out)}, in the plane {min(length, 1):.2f}"


def _format(cosine: float) -> str:
    return f"{round(cosine, 2) + 0.0:.2f}".replace("-", "−")
