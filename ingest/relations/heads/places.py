"""Which positions of a batch are measured (METHODS §7)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Bool, Int
from numpy.typing import NDArray
from torch import Tensor

from ingest.forward.batching import Batch


def first_of_second_half(length: int) -> int:
    """Return the first position of a text's second half; of an odd length the middle is before."""
    return (length + 1) // 2


def find_second_halves(batch: Batch) -> Bool[Tensor, "texts positions"]:
    """Return which positions are in the second half of their text, padding left out.

    In short contexts a head has little else than BOS to attend to (universal-neurons §5.3).
    """
    position = torch.arange(batch.token_ids.shape[1], device=batch.token_ids.device)
    starts = (batch.lengths + 1).div(2, rounding_mode="floor")
    return (position >= starts[:, None]) & (position < batch.lengths[:, None])


def find_others(batch: Batch) -> Bool[Tensor, "texts positions"]:
    """Return which positions are no first one, padding left out."""
    position = torch.arange(batch.token_ids.shape[1], device=batch.token_ids.device)
    return (position >= 1) & (position < batch.lengths[:, None])


def list_places(mask: Bool[Tensor, "texts positions"]) -> Int[Tensor, " places"]:
    """Return where a mask holds, texts one after another: looked up once a batch."""
    return mask.flatten().nonzero()[:, 0]


def count_second_halves(token_ids: Sequence[NDArray[np.int64]]) -> int:
    """Return how many positions texts have in their second halves."""
    return sum(len(ids) - first_of_second_half(len(ids)) for ids in token_ids)


def draw_positions(
    token_ids: Sequence[NDArray[np.int64]], n: int, seed: int
) -> dict[int, NDArray[np.int64]]:
    """Draw positions of the second halves of texts; return text → its positions, ascending."""
    starts = np.array([first_of_second_half(len(ids)) for ids in token_ids], dtype=np.int64)
    counts = np.array([len(ids) for ids in token_ids], dtype=np.int64) - starts
    ends = np.cumsum(counts)
    total = int(ends[-1]) if len(ends) else 0
    drawn = np.sort(np.random.default_rng(seed).choice(total, min(n, total), replace=False))
    text = np.searchsorted(ends, drawn, side="right")
    position = drawn - (ends - counts)[text] + starts[text]
    return {int(t): position[text == t] for t in np.unique(text)}


def mark_drawn(
    batch: Batch, drawn: dict[int, NDArray[np.int64]]
) -> Bool[Tensor, "texts positions"]:
    """Return which positions of a batch were drawn."""
    mask = np.zeros(tuple(batch.token_ids.shape), dtype=np.bool_)
    for row, ordinal in enumerate(batch.on_host.ordinals.tolist()):
        mask[row, drawn.get(int(ordinal), np.empty(0, dtype=np.int64))] = True
    return torch.from_numpy(mask).to(batch.token_ids.device)
