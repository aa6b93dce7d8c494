"""Where the read-write classes lie in the plane of cos(gate, out) and cos(in, out).

The lines at ±τ cut the plane into nine parts (METHODS §2): the corners are strengthening above and
weakening below, between them lie their conditional forms, at the sides proportional change, and in
the middle orthogonal output. Whether a neuron is typical of its class is up to cos(gate, in), its
colour.
"""

from typing import Any, Final

from neurondb.figures.chart_parts import round_value

LEAST_STRIP: Final = 0.25
"""How far the axes reach beyond τ at least where any neuron does, so that names have room."""
SHORT_NAMES: Final = {
    "strengthening": "S",
    "conditional strengthening": "CS",
    "proportional change": "P",
    "orthogonal output": "O",
    "weakening": "W",
    "conditional weakening": "CW",
}
"""Class → what stands for it in a small panel."""
_BY_PLACE: Final = {
    1: ("strengthening", "conditional strengthening", "strengthening"),
    0: ("proportional change", "orthogonal output", "proportional change"),
    -1: ("weakening", "conditional weakening", "weakening"),
}
_INSET: Final = 0.03
"""Share of the plane's side between its edge and the middle of a name."""


def widen_limit(limit: float, threshold: float) -> float:
    """Return how far axes reach on either side of 0, given how far the neurons do."""
    return limit if limit <= threshold else min(1.0, max(limit, threshold + LEAST_STRIP))


def make_threshold_lines(threshold: float, limit: float) -> list[dict[str, Any]]:
    """Return the four lines at ±τ, from edge to edge; none where the axes do not reach τ."""
    if limit <= threshold:
        return []
    edges = {"x": -limit, "x2": limit, "y": -limit, "y2": limit}
    lines = [
        edges | {axis: sign * threshold, f"{axis}2": sign * threshold}
        for axis in ("x", "y")
        for sign in (-1, 1)
    ]
    return [{key: round_value(value) for key, value in line.items()} for line in lines]


def make_names(threshold: float, limit: float) -> list[dict[str, Any]]:
    """Return the name of the class of each of the nine parts, and where its middle stands.

    Names stand at the outer edge of their part, that of the middle at its lower edge; those of the
    sides are `upright`, to be read from below. There are none where the axes do not reach τ.
    """
    if limit <= threshold:
        return []
    inset = 2 * limit * _INSET
    across = {-1: -(threshold + limit) / 2, 0: 0.0, 1: (threshold + limit) / 2}
    names = []
    for up, classes in _BY_PLACE.items():
        for right, class_name in zip((-1, 0, 1), classes, strict=True):
            upright = up == 0 and right != 0
            x = right * (limit - inset) if upright else across[right]
            y = up * (limit - inset) if up else -threshold + inset
            names.append(
                {
                    "x": round_value(x),
                    "y": round_value(0.0 if upright else y),
                    "class": class_name,
                    "short": SHORT_NAMES[class_name],
                    "upright": upright,
                }
            )
    return names
