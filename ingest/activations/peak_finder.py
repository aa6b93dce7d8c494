"""What is looked for in a batch once more: where peaks stand, and sums that overflowed."""

from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from ingest.activations.compiled import Kernels
from ingest.activations.counted_batch import CountedBatch
from ingest.activations.reduction import (
    Activation,
    FloatSums,
    NeuronKind,
    gather_peak_positions,
    sum_in_float64,
)
from ingest.forward import MLPActivations

DENSE_SHARE: Final = 24
"""More peaks than 1/24 of the batch's texts × neurons are looked for in one pass over all values,
fewer one by one: a column costs as much as that many do in the pass."""
COLUMNS_AT_ONCE: Final = 2**22
"""Values gathered at once where few peaks are looked for."""


@dataclass
class PeakFinder:
    """Finds where in their texts peaks stand, in one pass over all values or neuron by neuron."""

    kernels: Kernels
    kind: NeuronKind
    activation: Activation
    activations: MLPActivations
    sign: Tensor
    counted: Tensor
    peaks: Tensor
    all_positions: Tensor | None
    """The positions of all peaks, once one pass has found them; None before."""
    batch: CountedBatch

    def positions(self, lists: Tensor, texts: Tensor, neurons: Tensor) -> Tensor:
        """Return the position of each peak of these lists, texts and neurons."""
        inputs = (self.kind, self.activation, self.activations, self.sign, self.counted, self.peaks)
        if self.all_positions is None and len(lists) * DENSE_SHARE > self.peaks[0].numel():
            columns = self.kernels.find_peak_positions(*inputs)
            self.all_positions = self.batch.find_all_positions(columns)
        if self.all_positions is not None:
            return self.all_positions[lists, texts, neurons]
        size = max(1, COLUMNS_AT_ONCE // self.counted.shape[1])
        parts = torch.stack([lists, texts, neurons]).split(size, dim=1)  # type: ignore[no-untyped-call]
        columns = torch.cat([gather_peak_positions(*inputs, part) for part in parts])
        return self.batch.find_positions(columns, texts)

    def sum_again(self, sums: FloatSums) -> FloatSums:
        """Return the batch's sums with those of cases in float64, where float32 overflowed."""
        again = sum_in_float64(
            self.kind, self.activation, self.activations, self.sign, self.counted
        )
        return sums._replace(sum=torch.stack(again).view_as(sums.sum))
