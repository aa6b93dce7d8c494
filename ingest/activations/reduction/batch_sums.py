"""Counts, sums, extremes, powers and peaks of one batch.

Every value is read some sixty times in plain PyTorch; `parts.py` takes a batch in parts.
"""

from typing import Final

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from ingest.activations.reduction.quantities import (
    HOOK_POST,
    HOOK_PRE,
    Activation,
    NeuronKind,
    compute_canonical_values,
    is_finite,
    make_bit_mask,
    mask_sign_cases,
)
from ingest.activations.reduction.totals import BatchSums
from ingest.forward import MLPActivations

_INFINITY: Final = 0x7F800000
_MINUS_INFINITY: Final = -0x00800000


def reduce_batch(
    kind: NeuronKind,
    activation: Activation,
    activations: MLPActivations,
    sign: Float[Tensor, " neurons"],
    counted: Bool[Tensor, "texts positions"],
    centre: Float[Tensor, "2 neurons"],
) -> tuple[BatchSums, Float[Tensor, "lists texts neurons"]]:
    """Return the sums over a batch, and each text's peak in every example list.

    A peak is the signed value with the largest |value| among the text's tokens in the case, where
    a quantity has one sign, so that v and −v never compete; 0 where there is none. Powers are
    summed about `centre`, which should be near the means, so that nothing cancels.
    """
    values = compute_canonical_values(activations, sign, activation)
    usable = is_finite(activations) & counted[:, :, None]
    in_case, sums, low, high, peaks = [], [], [], [], []
    for case, inside in zip(kind.cases, mask_sign_cases(kind, values, usable), strict=True):
        in_case.append(inside.sum(1, dtype=torch.int32).sum(0))
        mask = make_bit_mask(inside)
        above, below = ~mask & _INFINITY, ~mask & _MINUS_INFINITY
        for quantity in kind.quantities:
            value = values[quantity].view(torch.int32) & mask
            # Within a text a float32 sum of one sign is good to some 1e-7; between texts float64.
            sums.append(value.view(torch.float32).sum(1).sum(0, dtype=torch.float64))
            least = (value | above).view(torch.float32).amin(1)
            most = (value | below).view(torch.float32).amax(1)
            low.append(least.amin(0))
            high.append(most.amax(0))
            if (case, quantity) in kind.peaks:
                peak = torch.where(most >= -least, most, least)
                peaks.append(torch.where(peak.abs() == torch.inf, 0.0, peak))
    positive, powers = [], []
    mask = make_bit_mask(usable)
    for row, quantity in enumerate((HOOK_PRE, HOOK_POST)):
        value = (values[quantity].view(torch.int32) & mask).view(torch.float32)
        positive.append((value > 0).sum(1, dtype=torch.int32).sum(0))
        deviation = (value.double() - centre[row]) * usable
        square = deviation * deviation
        deviation_powers = (deviation, square, square * deviation, square * square)
        powers.append([power.sum(1).sum(0) for power in deviation_powers])
    n_usable = usable.sum(1, dtype=torch.int32).sum(0)
    batch = BatchSums(n_usable, counted.sum(), positive, powers, in_case, sums, low, high)
    return batch, torch.stack(peaks)


def sum_in_float64(
    kind: NeuronKind,
    activation: Activation,
    activations: MLPActivations,
    sign: Float[Tensor, " neurons"],
    counted: Bool[Tensor, "texts positions"],
) -> list[Tensor]:
    """Return `BatchSums.sum` in float64 throughout, for texts within which float32 overflows."""
    values = compute_canonical_values(activations, sign, activation)
    usable = is_finite(activations) & counted[:, :, None]
    return [
        torch.where(inside, values[quantity], 0.0).sum((0, 1), dtype=torch.float64)
        for inside in mask_sign_cases(kind, values, usable)
        for quantity in kind.quantities
    ]


def compute_centres(
    activations: MLPActivations, sign: Float[Tensor, " neurons"], tokens: Int[Tensor, "2 tokens"]
) -> Float[Tensor, "2 neurons"]:
    """Return the centres about which a batch's powers are summed: means over some of its tokens.

    The rows of `tokens` are their texts and positions. Nothing but the batch enters, so that its
    sums are the same whatever came before it.
    """
    texts, positions = tokens
    sampled = MLPActivations(
        None if activations.gate is None else activations.gate[texts, positions],
        activations.in_[texts, positions],
        activations.post[texts, positions],
    )
    values = compute_canonical_values(sampled, sign)
    usable = is_finite(sampled)
    pre_and_post = torch.stack([values[HOOK_PRE], values[HOOK_POST]]).double()
    return torch.where(usable, pre_and_post, 0.0).sum(1) / usable.sum(0).clamp(min=1)


def sum_by_text(
    activations: MLPActivations,
    sign: Float[Tensor, " neurons"],
    counted: Bool[Tensor, "texts positions"],
) -> Float[Tensor, "7 texts neurons"]:
    """Return each text's sums for the statistics by label, in float64.

    Tokens; positive hook_pre, hook_post; hook_pre, its square; hook_post, its square.
    """
    values = compute_canonical_values(activations, sign)
    usable = is_finite(activations) & counted[:, :, None]
    pre, post = (torch.where(usable, values[q], 0.0).double() for q in (HOOK_PRE, HOOK_POST))
    columns = (usable.double(), (pre > 0).double(), (post > 0).double())
    summed = [column.sum(1) for column in (*columns, pre, pre * pre, post, post * post)]
    return torch.stack(summed)
