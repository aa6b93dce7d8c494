"""Texts of similar length, padded to one width."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Final

import numpy as np
import torch
from jaxtyping import Int
from numpy.typing import NDArray
from torch import Tensor

from ingest.forward.transfers import copy_to


@dataclass(frozen=True)
class Batch:
    """Texts padded to one length on the right; causal attention never looks at the padding.

    `ordinals` are the texts' places in their dataset, ascending. `number` is the batch's place
    among those of the dataset, None where that does not matter. `source` is the batch that this
    one was copied from: to look at that costs no waiting for a GPU.
    """

    token_ids: Int[Tensor, "texts positions"]
    lengths: Int[Tensor, " texts"]
    ordinals: Int[Tensor, " texts"]
    number: int | None = field(default=None, kw_only=True)
    source: Batch | None = field(default=None, kw_only=True, repr=False, compare=False)

    def to(self, device: torch.device) -> Batch:
        """Return the batch on another device."""
        if self.token_ids.device == device:
            return self
        there = (copy_to(tensor, device) for tensor in self.tensors)
        source = self.on_host if device.type != "cpu" else None
        return Batch(*there, number=self.number, source=source)

    @property
    def on_host(self) -> Batch:
        """The batch in the processor's memory."""
        if self.token_ids.device.type == "cpu":
            return self
        return self.source or self.to(torch.device("cpu"))

    def take_texts(self, rows: Int[Tensor, " rows"], width: int) -> Batch:
        """Return some of the texts, given by their rows on the processor, and `width` positions.

        They are no batch of the dataset any more, and have no number.
        """
        host = self.on_host
        taken = Batch(host.token_ids[rows, :width], host.lengths[rows], host.ordinals[rows])
        return taken.to(self.token_ids.device)

    @property
    def tensors(self) -> tuple[Tensor, Tensor, Tensor]:
        """Its token ids, lengths and ordinals, each with a row for every text."""
        return self.token_ids, self.lengths, self.ordinals

    @property
    def n_tokens(self) -> int:
        """How many tokens the batch has, padding left out."""
        return int(self.on_host.lengths.sum())


BATCH_TOKENS: Final = {"cpu": 2048, "cuda": 32_768}
"""Tokens of a batch, padding included, by kind of device."""


SMALL_CARD: Final = 40 * 2**30
"""Bytes of memory below which a card's batches have a quarter of the tokens: 24 GB then hold an 8B
model in bfloat16, its sums and a batch."""


def batch_tokens(device: torch.device) -> int:
    """Return how many tokens a batch may have on a device, padding included."""
    n_tokens = BATCH_TOKENS.get(device.type, BATCH_TOKENS["cpu"])
    # Ray's driver may have no card of the kind that its workers have.
    if device.type == "cuda" and torch.cuda.is_available() and _measure_card(device) < SMALL_CARD:
        return n_tokens // 4
    return n_tokens


@cache
def _measure_card(device: torch.device) -> int:
    """Return the bytes of a card's memory, whatever is free of it: batches are always the same."""
    return int(torch.cuda.mem_get_info(device)[1])


def pack_texts(
    lengths: Sequence[int], max_tokens: int, short_context: int | None = None
) -> list[NDArray[np.int64]]:
    """Return which texts form a batch together: of similar length, `max_tokens` tokens at most.

    The longest texts come first; one longer than `max_tokens` is a batch of its own. The texts of
    some of the batches, packed anew, form the same batches again, so that shards made of whole
    batches compute what one run does, to the last bit.

    Args:
        lengths: the texts' lengths in tokens.
        max_tokens: tokens of a batch, padding included.
        short_context: texts longer than this are in no batch with others, which they would change
            (`Architecture.short_context`).
    """
    in_tokens = np.asarray(lengths, dtype=np.int64)
    longest_first = np.argsort(-in_tokens, kind="stable")
    n_long = 0 if short_context is None else int((in_tokens > short_context).sum())
    packed, start = [], 0
    while start < len(longest_first):
        width = max(1, lengths[longest_first[start]])
        end = start + max(1, max_tokens // width)
        chosen = longest_first[start : min(end, n_long) if start < n_long else end]
        start += len(chosen)
        packed.append(np.sort(chosen))
    return packed


def make_batches(
    token_ids: Sequence[NDArray[np.int64]],
    device: torch.device,
    max_tokens: int,
    ordinals: NDArray[np.int64] | None = None,
    first: int = 0,
    *,
    short_context: int | None = None,
) -> Iterator[Batch]:
    """Yield batches of the texts that `pack_texts` puts together.

    Args:
        token_ids: the token ids of each text.
        device: the device that the batches are put on.
        max_tokens: tokens of a batch, padding included.
        ordinals: the texts' places in their dataset; None counts from zero.
        first: the number of the first batch.
        short_context: texts longer than this are in no batch with others.
    """
    text_ordinals = np.arange(len(token_ids)) if ordinals is None else ordinals
    in_order = np.argsort(text_ordinals, kind="stable")
    packed = pack_texts([len(token_ids[i]) for i in in_order], max_tokens, short_context)
    for number, members in enumerate(packed, start=first):
        chosen = in_order[members]
        width = max(1, max(len(token_ids[i]) for i in chosen))
        yield _padded([token_ids[i] for i in chosen], text_ordinals[chosen], width, device, number)


def _padded(
    texts: list[NDArray[np.int64]],
    ordinals: NDArray[np.int64],
    width: int,
    device: torch.device,
    number: int,
) -> Batch:
    padded = np.zeros((len(texts), width), dtype=np.int64)
    for row, text in zip(padded, texts, strict=True):
        row[: len(text)] = text
    batch = Batch(
        torch.from_numpy(padded),
        torch.tensor([len(text) for text in texts]),
        torch.from_numpy(ordinals.astype(np.int64)),
        number=number,
    )
    return batch.to(device)
