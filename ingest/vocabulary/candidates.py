"""The largest scores among many that pass by, found without sorting what cannot be among them."""

from dataclasses import dataclass
from typing import Final

import torch
from jaxtyping import Float, Int
from torch import Tensor

CHUNK_SIZE: Final = 16
"""Scores that are looked at together: only a chunk whose peak is large enough is looked into."""

SPARSE_RATIO: Final = 8
"""Where more than one chunk in so many is looked into, sorting the whole tile is cheaper."""


@dataclass
class Candidates:
    """The largest scores so far of some neurons, descending.

    NaN, of a zero vector, is never among them; where there are only such, the scores are −∞.
    """

    scores: Float[Tensor, "neurons kept"]
    token_ids: Int[Tensor, "neurons kept"]

    @classmethod
    def empty(cls, n_neurons: int, device: torch.device) -> "Candidates":
        """Return an empty list for each neuron."""
        return cls(
            torch.empty(n_neurons, 0, device=device),
            torch.empty(n_neurons, 0, dtype=torch.int64, device=device),
        )

    def take(
        self,
        scores: Float[Tensor, "neurons tile"],
        first_id: int,
        keep: int,
        *,
        smallest: bool = False,
    ) -> None:
        """Keep the `keep` largest of the scores so far and a tile's scores.

        With `smallest`, the smallest are kept, with the opposite sign.
        """
        n_chunks = scores.shape[1] // CHUNK_SIZE
        whole = n_chunks * CHUNK_SIZE
        if n_chunks:
            # A chunk is every n_chunks-th score: its peak is an element-wise maximum of rows.
            chunks = scores[:, :whole].view(-1, CHUNK_SIZE, n_chunks)
            self._take_chunks(chunks, first_id, keep, smallest=smallest)
        if whole < scores.shape[1]:
            remaining = scores[:, whole:]
            ids = torch.arange(whole, scores.shape[1], device=scores.device) + first_id
            self._add(-remaining if smallest else remaining, ids.expand_as(remaining), keep)

    def _take_chunks(self, chunks: Tensor, first_id: int, keep: int, *, smallest: bool) -> None:
        n_chunks = chunks.shape[2]
        peaks = _find_peaks(chunks, smallest=smallest)
        above = self._threshold(peaks, keep)
        rows, chunk = (peaks > above[:, None]).nonzero(as_tuple=True)
        if len(rows) > peaks.numel() // SPARSE_RATIO:
            all_scores = chunks.flatten(1)
            top, place = (-all_scores if smallest else all_scores).topk(
                min(keep, all_scores.shape[1]), dim=1, sorted=False
            )
            self._add(top, place + first_id, keep)
            return
        values = chunks[rows, :, chunk]
        values = values.neg_() if smallest else values
        which, place = (values > above[rows, None]).nonzero(as_tuple=True)
        ids = chunk[which] + place * n_chunks + first_id
        # at first so many, for where all neurons are zero vectors
        width = 0 if self.scores.shape[1] else min(keep, CHUNK_SIZE * n_chunks)
        self._add(*_padded(rows[which], values[which, place], ids, (len(peaks), width)), keep)

    def _threshold(self, peaks: Tensor, keep: int) -> Tensor:
        """Return for every neuron a score that no new candidate is at or below."""
        if self.scores.shape[1] >= keep:
            return self.scores[:, -1]
        lowest = torch.tensor(-torch.inf, device=peaks.device)
        if self.scores.shape[1] > 0 or peaks.shape[1] < keep:
            return lowest.expand(len(peaks))
        # `keep` chunks have a score of at least the `keep`-th peak
        return torch.nextafter(peaks.topk(keep, dim=1).values[:, -1], lowest)

    def _add(self, scores: Tensor, ids: Tensor, keep: int) -> None:
        numbers = scores.masked_fill(scores.isnan(), -torch.inf)
        both = torch.cat([self.scores, numbers], dim=1)
        all_ids = torch.cat([self.token_ids, ids], dim=1)
        self.scores, order = both.topk(min(keep, both.shape[1]), dim=1)
        self.token_ids = all_ids.gather(1, order)


def _find_peaks(chunks: Tensor, *, smallest: bool) -> Float[Tensor, "neurons chunks"]:
    """Return the largest score of each chunk; the smallest, with the opposite sign."""
    if (
        chunks.stride(0) == 1 < chunks.stride(2)
    ):  # columns of a tile as rows: the maximum still runs along memory
        return _find_peaks(chunks.transpose(0, 2), smallest=smallest).T
    return chunks.amin(1).neg_() if smallest else chunks.amax(1)


def _padded(
    rows: Tensor, scores: Tensor, ids: Tensor, least_shape: tuple[int, int]
) -> tuple[Tensor, Tensor]:
    """Return what belongs to each row, in ascending order of rows, side by side; −∞ beyond.

    The shape is `least`, or wider.
    """
    n_rows, width = least_shape
    counts = torch.bincount(rows, minlength=n_rows)
    before = counts.cumsum(0) - counts
    place = torch.arange(len(rows), device=rows.device) - before[rows]
    shape = (n_rows, max(width, int(counts.max()) if n_rows else 0))
    wide_scores = scores.new_full(shape, -torch.inf)
    wide_ids = torch.zeros(shape, dtype=torch.int64, device=ids.device)
    wide_scores[rows, place], wide_ids[rows, place] = scores, ids
    return wide_scores, wide_ids
