"""Into which histogram bins a batch's values fall."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ingest.activations.reduction.quantities import NeuronKind, compute_canonical_values, is_finite
from ingest.forward import MLPActivations
from neurondb import histogram


def find_histogram_bins(
    kind: NeuronKind,
    activations: MLPActivations,
    sign: Float[Tensor, " neurons"],
    tokens: Int[Tensor, "2 tokens"],
) -> Int[Tensor, "quantities tokens neurons"]:
    """Return where to count each value of some tokens: (quantity, neuron, bin) as one number.

    The rows of `tokens` are their texts and positions. The number after the last stands for a
    value that is not counted: NaN or infinite.
    """
    n_neurons = activations.in_.shape[-1]
    texts, positions = tokens
    sampled = MLPActivations(
        None if activations.gate is None else activations.gate[texts, positions],
        activations.in_[texts, positions],
        activations.post[texts, positions],
    )
    finite = is_finite(sampled)
    values = compute_canonical_values(sampled, sign)
    neuron = torch.arange(n_neurons, device=tokens.device)
    numbers = []
    for row, quantity in enumerate(kind.histograms):
        place = _bins(values[quantity]) + (neuron + row * n_neurons) * histogram.N_BINS
        numbers.append(
            torch.where(finite, place, len(kind.histograms) * n_neurons * histogram.N_BINS)
        )
    return torch.stack(numbers)


def _bins(values: Float[Tensor, "*shape"]) -> Int[Tensor, "*shape"]:
    """Return the bins of `neurondb.histogram`, from the exponent and the first bit after it."""
    size = values.abs().view(torch.int32) >> 22
    innermost = 2 * (127 + histogram.SMALLEST)
    outwards = (size - (innermost - 1)).clamp(0, histogram.BINS_A_SIDE - 1).long()
    middle = histogram.BINS_A_SIDE
    return torch.where(values < 0, middle - 1 - outwards, middle + outwards)
