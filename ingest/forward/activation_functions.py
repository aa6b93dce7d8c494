"""The functions on a neuron's gate (ungated: on its input), by the names that layouts give them."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ingest.families import gpt_oss
from neurondb.errors import UnsupportedModelError

ActivationFunction = Callable[[Tensor], Tensor]
"""Is applied to every element."""


def find_activation(name: str) -> ActivationFunction:
    """Return the function that `Architecture.activation` names.

    It is one of transformers', or what gpt-oss does to a gate: it is clamped from above, and then
    x · σ(1.702 · x).

    Raises:
        UnsupportedModelError: transformers has none of this name.
    """
    if name == gpt_oss.ACTIVATION:
        return clamped_swish
    # Takes seconds, which stages without a forward pass need not wait for.
    from transformers.activations import ACT2FN

    if name not in ACT2FN:
        raise UnsupportedModelError(
            f"the installed transformers knows no activation function {name!r}: update it"
        )
    function: ActivationFunction = ACT2FN[name]
    return function


def clamped_swish(gate: Tensor) -> Tensor:
    """Return gpt-oss's function of the gate, as transformers computes it.

    min(x, 7) · σ(1.702 · min(x, 7)), element by element, of a tensor of any shape.
    """
    clamped = gate.clamp(max=gpt_oss.LIMIT)
    return clamped * torch.sigmoid(clamped * gpt_oss.ALPHA)
