"""The eleven read-write classes and the rule that assigns them (METHODS §2).

Source: weakening-neurons §2.2, with the corrected rule for the atypical forms; the second set of
names is that of input-output-functionality.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:  # who only asks for the names of the classes need not wait for numpy
    import numpy as np
    from jaxtyping import Float, Int8
    from numpy.typing import NDArray

DEFAULT_THRESHOLD = 0.5


class ReadWriteClass(NamedTuple):
    """One class under both published names; `class_id` is its place in the published order."""

    class_id: int
    name: str
    io_name: str


def _make_classes() -> tuple[ReadWriteClass, ...]:
    pairs = (
        ("strengthening", "enrichment"),
        ("conditional strengthening", "conditional enrichment"),
        ("proportional change", "proportional change"),
        ("orthogonal output", "orthogonal output"),
        ("weakening", "depletion"),
        ("conditional weakening", "conditional depletion"),
    )
    names: list[tuple[str, str]] = []
    for name, io_name in pairs:
        names.append((name, io_name))
        if name != "orthogonal output":
            names.append((f"atypical {name}", f"atypical {io_name}"))
    return tuple(ReadWriteClass(i, name, io_name) for i, (name, io_name) in enumerate(names))


CLASSES = _make_classes()
UNDEFINED = ReadWriteClass(11, "undefined", "undefined")
"""Not one of the eleven: the class of a neuron with a zero vector, whose cosines are NULL."""

ORTHOGONAL = 6
_TYPICAL = ((9, 7), (ORTHOGONAL, 4), (2, 0))
"""[1 + A][B] → id of the typical form; the atypical form has the next."""


def compute_levels(cosine: Float[np.ndarray, " neurons"], threshold: float) -> NDArray[np.int8]:
    """Return +1 for a cosine above the threshold, −1 below its negative, 0 between (strictly)."""
    import numpy as np

    return (cosine > threshold).astype(np.int8) - (cosine < -threshold).astype(np.int8)


def classify(
    gate_in: Float[np.ndarray, " neurons"] | None,
    gate_out: Float[np.ndarray, " neurons"] | None,
    in_out: Float[np.ndarray, " neurons"],
    threshold: float = DEFAULT_THRESHOLD,
) -> Int8[np.ndarray, " neurons"]:
    """Return the class id of every neuron.

    Args:
        gate_in: cos(gate, in); None, like `gate_out`, for ungated neurons.
        gate_out: cos(gate, out).
        in_out: cos(in, out).
        threshold: τ, in (0, 1); inequalities are strict.

    A NaN cosine (a zero vector) gives `UNDEFINED`, never orthogonal output.
    """
    import numpy as np

    out_levels = compute_levels(in_out, threshold)
    undefined = np.isnan(in_out)
    if gate_in is None or gate_out is None:
        ids = np.choose(out_levels + 1, [_TYPICAL[0][1], ORTHOGONAL, _TYPICAL[2][1]]).astype(
            np.int8
        )
    else:
        undefined |= np.isnan(gate_in) | np.isnan(gate_out)
        gate_in_levels, gated = (
            compute_levels(gate_in, threshold),
            compute_levels(gate_out, threshold),
        )
        manipulates = np.abs(gated)
        expected = out_levels * gated  # 0 unless both are set: then +G for A = +, −G for A = −
        typical = (gate_in_levels == expected) | ((out_levels == 0) & (manipulates == 0))
        ids = np.array(_TYPICAL, dtype=np.int8)[out_levels + 1, manipulates] + np.where(
            typical, 0, 1
        ).astype(np.int8)
    return np.where(undefined, np.int8(UNDEFINED.class_id), ids).astype(np.int8)
