"""Which neurons of a layer are set, and to what."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor


@dataclass(frozen=True)
class Targets:
    """Neurons of one layer, and what each is set to.

    Attributes:
        neurons: Their numbers within the layer, each once.
        signs: Their canonical signs, 1 or −1 (METHODS §1); ungated neurons have 1.
        values: The values to set, in canonical sign: one for each, or one row for each text of
            the batch (a sweep of clamps in one pass). Where NaN stands the neuron stays as it is.
    """

    neurons: Int[Tensor, " chosen"]
    signs: Float[Tensor, " chosen"]
    values: Float[Tensor, " chosen"] | Float[Tensor, "texts chosen"]

    @classmethod
    def from_value(
        cls, neurons: Sequence[int], signs: Sequence[float], value: float = 0.0
    ) -> Targets:
        """Return targets that set all of some neurons to one value, in canonical sign."""
        chosen = torch.tensor(neurons, dtype=torch.int64)
        return cls(
            chosen,
            torch.tensor(signs, dtype=torch.float32),
            torch.full((len(neurons),), value, dtype=torch.float32),
        )

    def to(self, device: torch.device) -> Targets:
        """Return the targets on another device."""
        tensors = (self.neurons, self.signs, self.values)
        return Targets(*(tensor.to(device) for tensor in tensors))
