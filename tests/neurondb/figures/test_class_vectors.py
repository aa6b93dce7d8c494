"""The vectors of the six classes against the cosines that they are drawn from."""

import math
from typing import Any

import numpy as np
import pytest
from sqlalchemy import Engine

from neurondb.errors import UnknownNameError, UsageError
from neurondb.figures.class_vectors import TYPICAL, place_vectors
from tests.neurondb.figures.specs import GATED, UNGATED, specification
from tests.support.sample_facts import REGION, Row, Sample


def panels(spec: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the neuron's name → its class, cosines as text and arrows."""
    found = {}
    for panel in spec["concat"]:
        name, *notes = panel["title"]["subtitle"]
        places = {layer.get("data", {}).get("name") for layer in panel["layer"]}
        (arrows,) = (
            {row["vector"]: (row["x"], row["y"]) for row in spec["datasets"][place]}
            for place in places
            if place
            and "turn" in spec["datasets"][place][0]
            and "vector" in spec["datasets"][place][0]
        )
        found[name] = {"class": panel["title"]["text"], "notes": notes, "arrows": arrows}
    return found


def multiply(one: tuple[float, float], other: tuple[float, float]) -> float:
    return one[0] * other[0] + one[1] * other[1]


def test_products_in_the_plane_are_the_cosines_of_vectors_in_space() -> None:
    draw = np.random.default_rng(0)
    for _ in range(200):
        vectors = draw.normal(size=(3, 5))
        gate, in_, out = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        placed = place_vectors(float(gate @ in_), float(gate @ out), float(in_ @ out))
        drawn = {vector.name: (vector.x, vector.y) for vector in placed}
        assert multiply(drawn["gate"], drawn["in"]) == pytest.approx(gate @ in_)
        assert multiply(drawn["gate"], drawn["out"]) == pytest.approx(gate @ out)
        assert multiply(drawn["in"], drawn["out"]) == pytest.approx(in_ @ out)
        basis, _ = np.linalg.qr(np.stack([gate, in_], axis=1))
        assert placed[-1].length == pytest.approx(float(np.linalg.norm(basis.T @ out)))


@pytest.mark.parametrize("gate_in", [1.0, -1.0])
def test_where_gate_and_in_are_one_line_out_is_in_the_plane(gate_in: float) -> None:
    *_, out = place_vectors(gate_in, 0.6, 0.6 * gate_in)
    assert (out.x, out.y) == pytest.approx((0.6, 0.8))


def choose_prototype(sample: Sample, model: str, class_name: str) -> Row | None:
    """The neuron of app. F.2, and of orthogonal output that nearest to the middle."""
    here = [n for n in sample.neurons if n["model"] == model and n["class"] == class_name]
    ought_to_be_zero = {
        "conditional strengthening": "gate_out",
        "conditional weakening": "gate_out",
        "proportional change": "in_out",
    }.get(class_name)
    if ought_to_be_zero:
        here = [n for n in here if abs(n[ought_to_be_zero]) <= REGION]

    def score(neuron: Row) -> float:
        if class_name == "orthogonal output":
            return -math.hypot(neuron["in_out"], neuron["gate_out"] or 0)
        return float(abs(neuron["gate_out" if class_name == "proportional change" else "in_out"]))

    return max(here, key=score, default=None)


@pytest.mark.parametrize("model", [GATED, UNGATED])
def test_each_class_has_its_prototype(model: str, sample: Sample, sample_engine: Engine) -> None:
    spec = specification(sample_engine, "class-vectors", model)
    chosen = {name: choose_prototype(sample, model, name) for name in TYPICAL}
    drawn = panels(spec)
    assert [one["class"] for one in drawn.values()] == [n for n in TYPICAL if chosen[n]]
    for name, panel in drawn.items():
        neuron = chosen[panel["class"]]
        assert neuron is not None
        assert neuron["name"] == name
        arrows = panel["arrows"]
        assert multiply(arrows["in"], arrows["out"]) == pytest.approx(neuron["in_out"], abs=3e-4)
        if model == GATED:
            assert multiply(arrows["gate"], arrows["in"]) == pytest.approx(
                neuron["gate_in"], abs=3e-4
            )
            assert multiply(arrows["gate"], arrows["out"]) == pytest.approx(
                neuron["gate_out"], abs=3e-4
            )
        else:
            assert set(arrows) == {"in", "out"}
    told = " ".join(spec["title"]["subtitle"])
    missing = [name for name in TYPICAL if not chosen[name]]
    assert all((name in told) == (model == GATED) for name in missing)


def test_given_neurons_stand_in_their_order(sample: Sample, sample_engine: Engine) -> None:
    spec = specification(sample_engine, "class-vectors", neurons="2.5, 0.3")
    assert list(panels(spec)) == ["2.5", "0.3"]
    assert panels(spec)["2.5"]["class"] == sample.named(GATED, "2.5")["class"]


@pytest.mark.parametrize(
    ("neurons", "error", "said"),
    [
        ("9.1", UnknownNameError, "0 to 3"),
        ("1.64", UnknownNameError, "0 to 63"),
        ("one", UsageError, "'one'"),
        ("2.5,1.63", UnknownNameError, "1.63"),
    ],
)
def test_what_has_no_vectors_is_one_line(
    neurons: str, error: type[Exception], said: str, sample_engine: Engine
) -> None:
    with pytest.raises(error, match=said) as raised:
        specification(sample_engine, "class-vectors", neurons=neurons)
    assert "\n" not in str(raised.value)
