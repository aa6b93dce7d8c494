"""The functions on a neuron's gate (ungated: on its input), by the names that layouts give them."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from transformers.activations import ACT2FN

from ingest.families import gpt_oss


def find_activation(name: str) -> Callable[[Tensor], Tensor]:
    """Return the function that `Architecture.activation` names.

    It is one of transformers', or what gpt-oss does to a gate: it is clamped from above, and then
    x · σ(1.702 · x).
    """
    if name == gpt_oss.ACTIVATION:
        return clamped_swish
    function: Callable[[Tensor], Tensor] = ACT2FN[name]
    return function


def clamped_swish(gate: Tensor) -> Tensor:
    """Return gpt-oss's function of the gate, as transformers computes it."""
    clamped = gate.clamp(max=gpt_oss.LIMIT)
    return clamped * torch.sigmoid(clamped * gpt_oss.ALPHA)
