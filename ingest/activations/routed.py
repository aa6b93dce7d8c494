"""Tokens that were routed to one expert, laid out as a batch of their own (METHODS §5).

What is counted of a neuron of an expert is counted over the tokens routed to it. These are a few
of each text, at positions that differ from text to text. They are moved together, so that the
reduction sees texts × as many columns as the fullest text has of them, and their positions are
kept beside.

Which tokens these are is known on the processor, where the layout is worked out: a GPU is not
waited for.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from ingest.activations.counted_batch import CountedBatch
from ingest.forward import MLPActivations
from ingest.forward.experts import ExpertActivations
from ingest.forward.transfers import copy_to


def select_counted(counted: CountedBatch, activations: ExpertActivations) -> ExpertActivations:
    """Return what an expert did on the tokens that count; padding, above all, does not."""
    kept = counted.on_host.flatten()[activations.token_on_host]
    if kept.all():
        return activations
    on_host = kept.nonzero().squeeze(1)
    chosen = copy_to(on_host, activations.post.device)
    weight = activations.weight
    return replace(
        activations,
        token=activations.token[chosen],
        token_on_host=activations.token_on_host[on_host],
        weight=None if weight is None else weight[chosen],
        gate=activations.gate[chosen],
        in_=activations.in_[chosen],
        post=activations.post[chosen],
    )


def pack_routed(
    counted: CountedBatch, activations: ExpertActivations
) -> tuple[CountedBatch, MLPActivations]:
    """Return an expert's tokens of a batch, and what its neurons did on them.

    Where no token is left, there is one column of tokens that do not count, so that every batch has
    a place in every sum.

    Args:
        counted: The batch.
        activations: What the expert did on tokens that count, by `select_counted`.
    """
    n_texts, n_positions = counted.on_host.shape
    token = activations.token_on_host
    text, position = token // n_positions, token % n_positions
    sizes = torch.bincount(text, minlength=n_texts)
    n_columns = max(1, int(sizes.max()))
    first = sizes.cumsum(0) - sizes
    cell = text * n_columns + torch.arange(len(token)) - first[text]
    there = copy_to(cell, activations.post.device)

    def spread(values: Tensor, cells: Tensor) -> Tensor:
        packed = values.new_zeros(n_texts * n_columns, *values.shape[1:])
        packed[cells] = values
        return packed.view(n_texts, n_columns, *values.shape[1:])

    is_token = spread(torch.ones_like(token, dtype=torch.bool), cell)
    batch = counted.take_tokens(is_token, spread(position, cell))
    gate, in_, post = (
        spread(values, there) for values in (activations.gate, activations.in_, activations.post)
    )
    return batch, MLPActivations(gate, in_, post)


def sum_weights(activations: ExpertActivations) -> Tensor:
    """Return the sum of the router's weights over an expert's tokens, in float64.

    NaN for an expert whose output is added as it is.
    """
    if activations.weight is None:
        return activations.post.new_full((), torch.nan, dtype=torch.float64)
    return activations.weight.double().sum()
