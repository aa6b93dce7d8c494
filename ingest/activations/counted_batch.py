"""A batch as it is counted: which of its tokens count, and for what.

All of it follows from the batch's ids and lengths, which are on the processor too. It is worked out
there, once for all layers: to find places on a GPU is to wait for it.
"""

from dataclasses import dataclass
from functools import partial
from typing import Final

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from ingest.activations.reduction import TokenSegments, find_token_segments
from ingest.forward import Batch
from ingest.forward.transfers import copy_to
from neurondb import histogram

CENTRE_TOKENS: Final = 64
"""Tokens of a batch, at most, that tell about what to sum its powers."""


@dataclass(frozen=True)
class LabelledTexts:
    """The texts of a batch that have labels: their rows, and their labels' places."""

    rows: Int[Tensor, " texts"]
    labels: Int[Tensor, " texts"]


@dataclass(frozen=True)
class CountedBatch:
    """A batch, and which of its tokens count."""

    batch: Batch
    counted: Bool[Tensor, "texts positions"]
    """False for padding, and for the first position when it is skipped."""
    drawn_tokens: Int[Tensor, "2 tokens"]
    """Texts and positions of the tokens that enter the histograms."""
    centre_tokens: Int[Tensor, "2 tokens"]
    """Texts and positions of a few tokens that count, from everywhere in the batch."""
    labelled: LabelledTexts | None = None
    segments: TokenSegments | None = None
    """Where the tokens stand of which statistics are wanted."""
    places: Int[Tensor, "texts positions"] | None = None
    """Where tokens stand in their texts, if columns are not positions: tokens of one expert."""
    counted_on_host: Bool[Tensor, "texts positions"] | None = None
    """What `counted` says, on the processor; None where that is there."""

    @property
    def on_host(self) -> Bool[Tensor, "texts positions"]:
        """Which tokens count, on the processor."""
        return self.counted if self.counted_on_host is None else self.counted_on_host

    @classmethod
    def from_batch(
        cls,
        batch: Batch,
        *,
        device: torch.device | None = None,
        skip_bos: bool = False,
        labels: Tensor | None = None,
        listed: Tensor | None = None,
    ) -> "CountedBatch":
        """Return a batch with its tokens counted.

        Args:
            batch: the batch.
            device: where it is to be counted; None where the batch is.
            skip_bos: whether first positions are left out.
            labels: on the processor, the place of the label of each text of the dataset; −1: none.
            listed: on the processor, the tokens of which statistics are wanted, ascending.
        """
        host = batch.on_host
        positions = torch.arange(host.token_ids.shape[1])
        counted = positions < host.lengths[:, None]
        if skip_bos:
            counted = counted & (positions > 0)
        device = batch.token_ids.device if device is None else device
        send = partial(copy_to, device=device)
        labelled = segments = None
        if labels is not None:
            of_text = labels[host.ordinals]
            rows = (of_text >= 0).nonzero().squeeze(1)
            labelled = LabelledTexts(send(rows), send(of_text[rows]))
        if listed is not None:
            found = find_token_segments(host.token_ids, host.lengths, counted, listed)
            segments = TokenSegments(*map(send, found))
        return cls(
            batch.to(device),
            send(counted),
            send(_draw_tokens(counted, host.ordinals)),
            send(_choose_centre_tokens(counted)),
            labelled,
            segments,
            counted_on_host=counted,
        )

    def take_tokens(
        self,
        is_token: Bool[Tensor, "texts positions"],
        places: Int[Tensor, "texts positions"],
    ) -> "CountedBatch":
        """Return the same texts with some of their tokens moved together, at `places` in them.

        Both are given on the processor.
        """
        send = partial(copy_to, device=self.counted.device)
        return CountedBatch(
            self.batch,
            send(is_token),
            send(_draw_tokens(is_token, self.batch.on_host.ordinals, places)),
            send(_choose_centre_tokens(is_token)),
            self.labelled,
            places=send(places),
            counted_on_host=is_token,
        )

    def find_all_positions(
        self, columns: Int[Tensor, "lists texts neurons"]
    ) -> Int[Tensor, "lists texts neurons"]:
        """Return the positions in their texts of all peaks, given by their columns."""
        rows = torch.arange(len(self.counted), device=columns.device)[:, None]
        return self.find_positions(columns, rows)

    def find_positions(
        self, columns: Int[Tensor, "*peaks"], texts: Int[Tensor, "*peaks"]
    ) -> Int[Tensor, "*peaks"]:
        """Return the positions in their texts of the tokens in some columns of the batch."""
        if self.places is None:
            return columns
        # Where there is no peak, none of the columns may be what is given.
        within = columns.long().clamp(max=self.places.shape[1] - 1)
        return self.places[texts, within].to(columns.dtype)


def _draw_tokens(
    counted: Bool[Tensor, "texts positions"],
    ordinals: Int[Tensor, " texts"],
    places: Int[Tensor, "texts positions"] | None = None,
) -> Int[Tensor, "2 tokens"]:
    positions = torch.arange(counted.shape[1], device=counted.device)
    positions = positions if places is None else places
    due = positions % histogram.STRIDE == (ordinals % histogram.STRIDE)[:, None]
    return (counted & due).nonzero().T.contiguous()


def _choose_centre_tokens(counted: Bool[Tensor, "texts positions"]) -> Int[Tensor, "2 tokens"]:
    places = counted.nonzero().T
    return places[:, :: -(-places.shape[1] // CENTRE_TOKENS) or 1].contiguous()
