"""All products of some vectors with a vocabulary in bfloat16: lists without a doubt, and sums."""

from functools import cached_property
from typing import Final, NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from ingest.vocabulary.candidates import Candidates
from ingest.vocabulary.native import Lists, Packed, Sums, pack, reserve, scan, settle, take_largest
from ingest.vocabulary.native.kernels import count_packed
from ingest.vocabulary.products import Operand, multiply_tiles
from ingest.vocabulary.split import (
    DECIMALS,
    Lengths,
    bound_split_error,
    compute_window,
    list_terms,
    measure_lengths,
)
from ingest.vocabulary.tie_breaking import SPARE, break_ties, compute_dots

TOKENS: Final = 2048
"""Tokens that are packed at a time."""

LONGEST: Final = 1024
"""Longer lists than this are not looked for among candidates."""


class Vocabulary:
    """A vocabulary as the right of products in bfloat16.

    Args:
        rows: the tokens, of float32 or of 16 bits.
        fine: whether products are of 16 bits; otherwise of 8.
    """

    def __init__(self, rows: Float[Tensor, "tokens d_model"], *, fine: bool) -> None:
        self.rows = rows
        self.fine = fine
        lengths = measure_lengths(rows, 1).largest
        self.pieces = 2 if fine and lengths.lost > 0 else 1
        self.lengths = lengths if self.pieces == 1 else measure_lengths(rows, 2).largest

    def __len__(self) -> int:
        return len(self.rows)


class Vectors:
    """Vectors as the left of products in bfloat16.

    Args:
        rows: the vectors, of float32.
    """

    def __init__(self, rows: Float[Tensor, "rows d_model"]) -> None:
        self.rows = rows

    @cached_property
    def packed(self) -> Packed:
        """Both pieces of the vectors."""
        memory = reserve(2 * count_packed(*self.rows.shape))
        return pack(self.rows, 2, of_tokens=False, memory=memory)

    @cached_property
    def _lengths(self) -> list[Lengths]:
        return [measure_lengths(self.rows, pieces) for pieces in (1, 2)]

    def lengths(self, pieces: int) -> Lengths:
        """Return the lengths of the vectors as so many pieces."""
        return self._lengths[pieces - 1]

    def count_pieces(self, *, fine: bool) -> int:
        """Return how many pieces products take: one is enough where the second are zero."""
        return 2 if fine and bool((self.lengths(1).lost > 0).any()) else 1


class Scanned(NamedTuple):
    """Candidates of some vectors for the largest and the smallest scores, and sums of all."""

    vectors: Vectors
    vocabulary: Vocabulary
    lists: tuple[Lists, Lists]
    sums: Sums

    @property
    def is_overfull(self) -> Bool[Tensor, " rows"]:
        """Which vectors have too many candidates in one direction or the other."""
        largest, smallest = self.lists
        return (largest.is_overfull | smallest.is_overfull)[: len(self.vectors.rows)]

    def settle(self, direction: int) -> tuple[Float[Tensor, "rows k"], Int[Tensor, "rows k"]]:
        """Return the first k scores in one direction in float64, and their tokens.

        These are the scores of the vectors as they are, equal ones by token id; −∞ and −1 where
        there are fewer. Vectors with too many candidates are compared with all tokens again.

        Args:
            direction: 0 for the largest scores, 1 for the smallest.
        """
        lists, sign = self.lists[direction], 1 - 2 * direction
        rows, tokens = self.vectors.rows, self.vocabulary.rows
        scores, ids = settle(lists, sign, rows, tokens, DECIMALS)
        (overfull,) = lists.is_overfull[: len(rows)].nonzero(as_tuple=True)
        if len(overfull):
            scores[overfull], ids[overfull] = _search(sign * rows[overfull], tokens, lists.k)
        return scores * sign, ids

    def take_largest(self, direction: int) -> Float[Tensor, "rows k"]:
        """Return the k largest scores in one direction as they were computed, in any order.

        Those of the smallest have the opposite sign.
        """
        return take_largest(self.lists[direction], len(self.vectors.rows))


def scan_vocabulary(vectors: Vectors, vocabulary: Vocabulary, k: int, sums: Sums) -> Scanned:
    """Multiply vectors with a vocabulary.

    Args:
        vectors: the vectors.
        vocabulary: the tokens.
        k: the length of the lists.
        sums: of nothing yet; with a row for every packed vector.
    """
    pieces = vectors.count_pieces(fine=vocabulary.fine), vocabulary.pieces
    n_terms = len(list_terms(*pieces))
    d_model = vectors.rows.shape[1]
    error = bound_split_error(vectors.lengths(pieces[0]), vocabulary.lengths, d_model, n_terms)
    window = compute_window(error)
    padded = pad_rows(window, vectors)
    lists = (Lists.empty(padded, k, 8 * k + 128), Lists.empty(padded, k, 8 * k + 128))
    memory = reserve(vocabulary.pieces * count_packed(min(TOKENS, len(vocabulary)), d_model))
    for start in range(0, len(vocabulary), TOKENS):
        tokens = vocabulary.rows[start : start + TOKENS]
        right = pack(tokens, vocabulary.pieces, of_tokens=True, memory=memory)
        scan(vectors.packed, right, start, pieces, lists, sums)
    return Scanned(vectors, vocabulary, lists, sums)


def pad_rows(values: Float[Tensor, " rows"], vectors: Vectors) -> Float[Tensor, " padded"]:
    """Return a number for every packed vector, zeros at the end."""
    return torch.nn.functional.pad(values, (0, vectors.packed.padded - len(values)))


def _search(vectors: Tensor, tokens: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Return the first k scores and tokens, by products in float32 and what they leave open."""
    candidates = Candidates.empty(len(vectors), vectors.device)
    for start, scores in multiply_tiles(Operand(vectors), Operand(tokens)):
        candidates.take(scores, start, k + SPARE)
    _, ids = break_ties(candidates, tokens, vectors, k)
    rows = torch.arange(len(vectors))[:, None].expand_as(ids)
    scores = compute_dots(tokens, ids.flatten(), vectors, rows.flatten(), torch.float64)
    scores = scores.view_as(ids).round(decimals=DECIMALS)
    is_number = ~scores.isnan()  # a token whose row is not finite is in no list
    return scores.where(is_number, -torch.inf), ids.where(is_number, -1)
