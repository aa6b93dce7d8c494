"""Where in their texts peaks stand: for all of a batch in one more pass, for a few one by one."""

from typing import Final

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from ingest.activations.reduction.quantities import (
    SWISH,
    Activation,
    NeuronKind,
    compute_canonical_values,
    hold_constants,
    is_finite,
    make_bit_mask,
    mask_sign_cases,
)
from ingest.forward import MLPActivations

SAME_SWISH: Final = 1 - 2**-20
"""swish is computed anew where a peak is looked for, and may differ in its last bits."""

_BEYOND: Final = 2**30


def find_peak_positions(
    kind: NeuronKind,
    activation: Activation,
    activations: MLPActivations,
    sign: Float[Tensor, " neurons"],
    counted: Bool[Tensor, "texts positions"],
    peaks: Float[Tensor, "lists texts neurons"],
) -> Int[Tensor, "lists texts neurons"]:
    """Return the first position of each peak in its text; the text's length where it has none."""
    values = compute_canonical_values(activations, sign, activation)
    usable = is_finite(activations) & counted[:, :, None]
    length = counted.shape[1]
    places = torch.arange(length, dtype=torch.int32, device=counted.device)[None, :, None]
    first = []
    cases = dict(zip(kind.cases, mask_sign_cases(kind, values, usable), strict=True))
    for (case, quantity), peak in zip(kind.peaks, peaks.unbind(0), strict=True):
        is_peak = cases[case] & _is_peak(quantity, values[quantity], peak[:, None])
        # Elsewhere a bit above every position is set.
        first.append((places | (~make_bit_mask(is_peak) & _BEYOND)).amin(1).clamp(max=length))
    return torch.stack(first)


def gather_peak_positions(
    kind: NeuronKind,
    activation: Activation,
    activations: MLPActivations,
    sign: Float[Tensor, " neurons"],
    counted: Bool[Tensor, "texts positions"],
    peaks: Float[Tensor, "lists texts neurons"],
    peak_places: Int[Tensor, "3 peaks"],
) -> Int[Tensor, " peaks"]:
    """Return the first position in its text of each of a few peaks.

    Only the values of these texts and neurons are read, where `find_peak_positions` would read all
    of the batch; the result is what that returns at `peak_places`, whose rows are the peaks' lists,
    texts and neurons.
    """
    lists, texts, neurons = peak_places

    def columns(values: Tensor) -> Tensor:
        return values[texts, :, neurons][:, :, None]

    chosen = MLPActivations(
        None if activations.gate is None else columns(activations.gate),
        columns(activations.in_),
        columns(activations.post),
    )
    values = compute_canonical_values(chosen, sign[neurons, None, None], activation)
    cases, quantities = (
        hold_constants(codes, lists.device) for codes in zip(*kind.peaks, strict=True)
    )
    inside = torch.zeros_like(chosen.in_, dtype=torch.bool)
    usable = is_finite(chosen) & counted[texts][:, :, None]
    for case, holds in zip(kind.cases, mask_sign_cases(kind, values, usable), strict=True):
        inside |= (cases == case)[lists][:, None, None] & holds
    peak = peaks[lists, texts, neurons][:, None, None]
    is_peak = torch.zeros_like(inside)
    for quantity in kind.quantities:
        of_quantity = (quantities == quantity)[lists][:, None, None]
        is_peak |= of_quantity & _is_peak(quantity, values[quantity], peak)
    return (is_peak & inside).squeeze(2).byte().argmax(1)


def _is_peak(quantity: int, values: Tensor, peak: Tensor) -> Tensor:
    if quantity != SWISH:
        return values == peak
    return values.abs() >= peak.abs() * SAME_SWISH
