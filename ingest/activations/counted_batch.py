"""A batch, and which of its tokens count: what everything that is counted of it begins with."""

from dataclasses import dataclass
from functools import cached_property
from typing import Final

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from ingest.activations.reduction import TokenSegments, find_token_segments
from ingest.forward import Batch
from neurondb import histogram

CENTRE_TOKENS: Final = 64
"""Tokens of a batch, at most, that tell about what to sum its powers."""


@dataclass(frozen=True)
class CountedBatch:
    """A batch, and which of its tokens count."""

    batch: Batch
    counted: Bool[Tensor, "texts positions"]
    """False for padding, and for the first position when it is skipped."""
    labels: Int[Tensor, " texts"] | None = None
    """The place of each text's label, −1 for none."""
    segments: TokenSegments | None = None
    """Where the tokens stand of which statistics are wanted."""
    places: Int[Tensor, "texts positions"] | None = None
    """Where tokens stand in their texts, if columns are not positions: tokens of one expert."""

    @classmethod
    def from_batch(
        cls,
        batch: Batch,
        *,
        skip_bos: bool = False,
        labels: Tensor | None = None,
        listed: Tensor | None = None,
    ) -> "CountedBatch":
        """Return a batch with its tokens counted.

        `labels` are those of the whole dataset, `listed` the tokens of which statistics are wanted.
        """
        positions = torch.arange(batch.token_ids.shape[1], device=batch.token_ids.device)
        counted = positions < batch.lengths[:, None]
        if skip_bos:
            counted = counted & (positions > 0)
        segments = None
        if listed is not None:
            segments = find_token_segments(batch.token_ids, batch.lengths, counted, listed)
        return cls(batch, counted, None if labels is None else labels[batch.ordinals], segments)

    @cached_property
    def drawn_tokens(self) -> Int[Tensor, "2 tokens"]:
        """Texts and positions of the tokens that enter the histograms."""
        positions = torch.arange(self.counted.shape[1], device=self.counted.device)
        positions = positions if self.places is None else self.places
        due = positions % histogram.STRIDE == (self.batch.ordinals % histogram.STRIDE)[:, None]
        return (self.counted & due).nonzero().T.contiguous()

    @cached_property
    def centre_tokens(self) -> Int[Tensor, "2 tokens"]:
        """Texts and positions of a few tokens that count, from everywhere in the batch."""
        counted_tokens = self.counted.nonzero().T
        return counted_tokens[:, :: -(-counted_tokens.shape[1] // CENTRE_TOKENS) or 1].contiguous()

    def find_positions(
        self, columns: Int[Tensor, "*peaks"], texts: Int[Tensor, "*peaks"]
    ) -> Int[Tensor, "*peaks"]:
        """Return the positions in their texts of the tokens in some columns of the batch."""
        if self.places is None:
            return columns
        # Where there is no peak, none of the columns may be what is given.
        within = columns.long().clamp(max=self.places.shape[1] - 1)
        return self.places[texts, within].to(columns.dtype)
