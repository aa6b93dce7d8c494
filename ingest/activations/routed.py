"""Tokens that were routed to one expert, laid out as a batch of their own (METHODS §5).

What is counted of a neuron of an expert is counted over the tokens routed to it. These are a few
of each text, at positions that differ from text to text. They are moved together, so that the
reduction sees texts × as many columns as the fullest text has of them, and their positions are
kept beside.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ingest.activations.counted_batch import CountedBatch
from ingest.forward import MLPActivations
from ingest.forward.experts import ExpertActivations


def pack_routed(
    counted: CountedBatch, activations: ExpertActivations
) -> tuple[CountedBatch, MLPActivations]:
    """Return an expert's tokens of a batch, and what its neurons did on them.

    Tokens that do not count, padding above all, are left out. Where no token is left, there is one
    column of tokens that do not count, so that every batch has a place in every sum.
    """
    n_texts, n_positions = counted.counted.shape
    kept = counted.counted.flatten()[activations.token]
    token = activations.token[kept]
    text, position = token // n_positions, token % n_positions
    sizes = torch.bincount(text, minlength=n_texts)
    n_columns = max(1, int(sizes.max()))
    first = sizes.cumsum(0) - sizes
    column = torch.arange(len(token), device=token.device) - first[text]

    def spread(values: Tensor) -> Tensor:
        packed = values.new_zeros(n_texts, n_columns, *values.shape[1:])
        packed[text, column] = values
        return packed

    is_token = spread(torch.ones_like(token, dtype=torch.bool))
    batch = counted.take_tokens(is_token, spread(position))
    gate, in_, post = (
        spread(values[kept]) for values in (activations.gate, activations.in_, activations.post)
    )
    return batch, MLPActivations(gate, in_, post)


def sum_weights(
    counted: Bool[Tensor, "texts positions"], activations: ExpertActivations
) -> Float[Tensor, ""]:
    """Return the sum of the router's weights over an expert's tokens that count, in float64.

    NaN for the shared expert, which the router does not weigh.
    """
    if activations.weight is None:
        return torch.tensor(torch.nan, dtype=torch.float64, device=activations.token.device)
    return activations.weight[counted.flatten()[activations.token]].double().sum()
