"""Texts of similar length, padded to one width."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Int
from numpy.typing import NDArray
from torch import Tensor


@dataclass(frozen=True)
class Batch:
    """Texts padded to one length on the right; causal attention never looks at the padding.

    `ordinals` are the texts' places in their dataset, ascending.
    """

    token_ids: Int[Tensor, "texts positions"]
    lengths: Int[Tensor, " texts"]
    ordinals: Int[Tensor, " texts"]

    def to(self, device: torch.device) -> Batch:
        """Return the batch on another device."""
        return Batch(self.token_ids.to(device), self.lengths.to(device), self.ordinals.to(device))

    @property
    def n_tokens(self) -> int:
        """Tokens, padding left out."""
        return int(self.lengths.sum())


def batches(
    token_ids: Sequence[NDArray[np.int64]],
    device: torch.device,
    max_tokens: int,
    ordinals: NDArray[np.int64] | None = None,
) -> Iterator[Batch]:
    """Yield texts of similar length together, `max_tokens` places (padding included) at most.

    A longer text is a batch of its own. The order depends on lengths and ordinals alone.

    Args:
        token_ids: the texts.
        device: where the batches are to be.
        max_tokens: places of a batch.
        ordinals: of the texts in their dataset; None counts from zero.
    """
    named = np.arange(len(token_ids)) if ordinals is None else ordinals
    longest_first = sorted(range(len(token_ids)), key=lambda i: (-len(token_ids[i]), named[i]))
    start = 0
    while start < len(longest_first):
        width = max(1, len(token_ids[longest_first[start]]))
        chosen = longest_first[start : start + max(1, max_tokens // width)]
        start += len(chosen)
        chosen.sort(key=lambda i: named[i])
        yield _padded([token_ids[i] for i in chosen], named[chosen], width, device)


def _padded(
    texts: list[NDArray[np.int64]], ordinals: NDArray[np.int64], width: int, device: torch.device
) -> Batch:
    padded = np.zeros((len(texts), width), dtype=np.int64)
    for row, text in zip(padded, texts, strict=True):
        row[: len(text)] = text
    return Batch(
        torch.from_numpy(padded).to(device),
        torch.tensor([len(text) for text in texts], device=device),
        torch.from_numpy(ordinals.astype(np.int64)).to(device),
    )
