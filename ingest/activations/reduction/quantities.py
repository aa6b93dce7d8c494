"""What is counted of a neuron, and the values and sign cases that counting begins with."""

from collections.abc import Callable
from functools import cache
from typing import Final, NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from ingest.forward import MLPActivations
from ingest.forward.transfers import copy_to
from neurondb.schema.codes import (
    GATED_CASES,
    HISTOGRAM_QUANTITIES,
    QUANTITIES,
    SIGN_CASES,
    UNGATED_CASES,
    encode_example_list,
)

HOOK_POST, HOOK_PRE_LINEAR, HOOK_PRE, SWISH = range(len(QUANTITIES))

Activation = Callable[[Tensor], Tensor]


class NeuronKind(NamedTuple):
    """What is counted of a neuron, by whether it has a gate."""

    gated: bool
    cases: tuple[int, ...]
    quantities: tuple[int, ...]
    peaks: tuple[tuple[int, int], ...]
    """Case and quantity of every example list, in the order of their codes."""
    histograms: tuple[int, ...]

    @property
    def example_lists(self) -> list[int]:
        """Codes of the example lists."""
        return [encode_example_list(case, quantity) for case, quantity in self.peaks]


def _kind(*, gated: bool) -> NeuronKind:
    cases = tuple(GATED_CASES if gated else UNGATED_CASES)
    quantities = (HOOK_POST, HOOK_PRE_LINEAR, HOOK_PRE, SWISH) if gated else (HOOK_POST, HOOK_PRE)
    # Where the gate is positive, swish is monotone in hook_pre and has the same extremes.
    peaks = tuple(
        (case, quantity)
        for case in cases
        for quantity in quantities
        if quantity != SWISH or "gate-" in SIGN_CASES[case]
    )
    drawn = [QUANTITIES.index(name) for name in HISTOGRAM_QUANTITIES]
    return NeuronKind(gated, cases, quantities, peaks, tuple(q for q in drawn if q in quantities))


GATED: Final = _kind(gated=True)


UNGATED: Final = _kind(gated=False)


def compute_canonical_values(
    activations: MLPActivations,
    sign: Float[Tensor, " neurons"],
    activation: Activation | None = None,
) -> dict[int, Float[Tensor, "texts positions neurons"]]:
    """Return the quantities of METHODS §5 in float32 by code; x_in and x_post times the sign.

    Without the activation function there is no swish.
    """
    in_, post = activations.in_.float(), activations.post.float()
    if activations.gate is None:
        return {HOOK_POST: post, HOOK_PRE: in_}
    gate = activations.gate.float()
    values = {HOOK_POST: post * sign, HOOK_PRE_LINEAR: in_ * sign, HOOK_PRE: gate}
    if activation is None:
        return values
    swish = activation(gate) if activations.swish is None else activations.swish
    return {**values, SWISH: swish}


def is_finite(activations: MLPActivations) -> Bool[Tensor, "texts positions neurons"]:
    """Return where gate, in and post are all finite."""
    # Compilers vectorise this comparison, but not isfinite.
    finite = _below_infinity(activations.in_) & _below_infinity(activations.post)
    return finite if activations.gate is None else finite & _below_infinity(activations.gate)


def _below_infinity(values: Tensor) -> Tensor:
    return values.float().abs() < torch.inf


def mask_sign_cases(
    kind: NeuronKind, values: dict[int, Tensor], usable: Tensor
) -> list[Bool[Tensor, "texts positions neurons"]]:
    """Return where each sign case holds; strictly, so exact zeros are in none."""
    up, down = (values[HOOK_PRE] > 0) & usable, (values[HOOK_PRE] < 0) & usable
    if not kind.gated:
        return [up if SIGN_CASES[case] == "in+" else down for case in kind.cases]
    in_up, in_down = values[HOOK_PRE_LINEAR] > 0, values[HOOK_PRE_LINEAR] < 0
    return [
        (up if "gate+" in SIGN_CASES[case] else down)
        & (in_up if "in+" in SIGN_CASES[case] else in_down)
        for case in kind.cases
    ]


def make_bit_mask(holds: Bool[Tensor, "*shape"]) -> Int[Tensor, "*shape"]:
    """Return all ones where a condition holds, else all zeros.

    To take values by such masks, as integers, is several times faster in plain PyTorch than
    `torch.where`, and unlike a product with 0 and 1 it lets no NaN through.
    """
    return holds.to(torch.int32).neg()


@cache
def hold_constants(values: tuple[int, ...], device: torch.device) -> Int[Tensor, " values"]:
    """Return a few numbers on a device, where they stay: to send them again is to wait for it."""
    return copy_to(torch.tensor(values), device)
