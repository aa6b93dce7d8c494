"""What the stage `weights` hands over of one layer; arrays have one row a neuron, NaN is NULL."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

import numpy as np
from jaxtyping import Float, Int

PerNeuron: TypeAlias = Float[np.ndarray, " neurons"]
PerNeuronInt: TypeAlias = Int[np.ndarray, " neurons"]


class Baseline(NamedTuple):
    """The interval that random cosines of one pair of vectors fill in one layer (METHODS §3)."""

    kind: str
    pair: str
    low: float
    high: float
    n_pairs: int | None
    standard_error: float


@dataclass(frozen=True)
class WeightsRecord:
    """The weight analysis of one layer (METHODS §1–3); what needs a gate is None without one.

    `sign` is 1 or −1: what in and out were multiplied by, so that gate·in is not negative.
    """

    sign: PerNeuronInt
    gate_norm: PerNeuron | None
    in_norm: PerNeuron
    out_norm: PerNeuron
    gate_bias: PerNeuron | None
    in_bias: PerNeuron | None
    penalty: PerNeuron
    gate_in: PerNeuron | None
    gate_out: PerNeuron | None
    in_out: PerNeuron
    baselines: Sequence[Baseline]
