"""All products of some vectors with a vocabulary in pieces: lists without a doubt, and sums."""

from functools import cached_property
from typing import Final, NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from ingest.vocabulary.candidates import Candidates
from ingest.vocabulary.native import (
    Lists,
    Packed,
    PiecesOf,
    Sums,
    pack,
    prefers_bytes,
    reserve,
    scan,
    settle,
    take_largest,
)
from ingest.vocabulary.native.kernels import count_packed, pad
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

WIDEST: Final = 2.0
"""Pieces of bytes are not for vectors whose error may be so many times that of coarse products."""


class Vocabulary:
    """A vocabulary as the right of products of pieces.

    Args:
        rows: the tokens, of float32 or of 16 bits.
        fine: whether products are of 16 bits; otherwise of 8.
    """

    def __init__(self, rows: Float[Tensor, "tokens d_model"], *, fine: bool) -> None:
        self.rows = rows
        self.fine = fine
        self.pieces = 2 if fine and self.coarse.lost > 0 else 1

    @cached_property
    def coarse(self) -> Lengths:
        """The largest lengths of the tokens as one piece of bfloat16."""
        return measure_lengths(self.rows, 1).largest

    @cached_property
    def lengths(self) -> Lengths:
        """The largest lengths of the tokens as so many pieces of bfloat16 as are multiplied."""
        return self.coarse if self.pieces == 1 else measure_lengths(self.rows, 2).largest

    @cached_property
    def lengths_in_bytes(self) -> Lengths:
        """The largest lengths of the tokens as pieces of bytes."""
        return measure_lengths(self.rows, 2, PiecesOf.BYTES).largest

    def __len__(self) -> int:
        return len(self.rows)


class Vectors:
    """Vectors as the left of products of pieces.

    Args:
        rows: the vectors, of float32.
    """

    def __init__(self, rows: Float[Tensor, "rows d_model"]) -> None:
        self.rows = rows
        self._packed: dict[PiecesOf, Packed] = {}

    @property
    def padded(self) -> int:
        """Vectors with those of zeros that are packed with them."""
        return pad(len(self.rows))

    def pack(self, pieces_of: PiecesOf) -> Packed:
        """Return both pieces of the vectors."""
        if pieces_of not in self._packed:
            n, d_model = self.rows.shape
            memory = reserve(2 * count_packed(n, d_model, pieces_of))
            packed = pack(self.rows, 2, pieces_of, of_tokens=False, memory=memory)
            self._packed[pieces_of] = packed
        return self._packed[pieces_of]

    @cached_property
    def coarse(self) -> Lengths:
        """The lengths of the vectors as one piece of bfloat16."""
        return measure_lengths(self.rows, 1)

    @cached_property
    def fine(self) -> Lengths:
        """The lengths of the vectors as two pieces of bfloat16."""
        return measure_lengths(self.rows, 2)

    @cached_property
    def in_bytes(self) -> Lengths:
        """The lengths of the vectors as pieces of bytes."""
        return measure_lengths(self.rows, 2, PiecesOf.BYTES)

    def count_pieces(self, *, fine: bool) -> int:
        """Return how many pieces products take: one is enough where the second are zero."""
        return 2 if fine and bool((self.coarse.lost > 0).any()) else 1


class Way(NamedTuple):
    """How vectors and tokens are multiplied.

    Attributes:
        pieces_of: what their pieces are.
        pieces: how many of the vectors and of the tokens are multiplied, all but two second ones.
        error: how far each vector's products may be off.
    """

    pieces_of: PiecesOf
    pieces: tuple[int, int]
    error: Float[Tensor, " rows"]


def choose_way(vectors: Vectors, vocabulary: Vocabulary) -> Way:
    """Return how to multiply: what takes more than one product of bfloat16 is faster in bytes.

    Bytes are not for vectors and tokens of which a few numbers are far larger than all others.
    """
    d_model = vectors.rows.shape[1]
    pieces = vectors.count_pieces(fine=vocabulary.fine), vocabulary.pieces
    terms = list_terms(*pieces)
    if len(terms) > 1 and prefers_bytes():
        both = vectors.in_bytes, vocabulary.lengths_in_bytes
        error = bound_split_error(*both, d_model, len(list_terms(2, 2)), PiecesOf.BYTES)
        coarse = bound_split_error(vectors.coarse, vocabulary.coarse, d_model, 1)
        if not (error > WIDEST * coarse).any():
            return Way(PiecesOf.BYTES, (2, 2), error)
    left = vectors.coarse if pieces[0] == 1 else vectors.fine
    error = bound_split_error(left, vocabulary.lengths, d_model, len(terms))
    return Way(PiecesOf.HALVES, pieces, error)


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
    way = choose_way(vectors, vocabulary)
    padded = pad_rows(compute_window(way.error), vectors)
    lists = (Lists.empty(padded, k, 8 * k + 128), Lists.empty(padded, k, 8 * k + 128))
    left, at_a_time = vectors.pack(way.pieces_of), min(TOKENS, len(vocabulary))
    n_pieces = way.pieces[1]
    memory = reserve(n_pieces * count_packed(at_a_time, vectors.rows.shape[1], way.pieces_of))
    for start in range(0, len(vocabulary), TOKENS):
        tokens = vocabulary.rows[start : start + TOKENS]
        right = pack(tokens, n_pieces, way.pieces_of, of_tokens=True, memory=memory)
        scan(left, right, start, way.pieces, lists, sums)
    return Scanned(vectors, vocabulary, lists, sums)


def pad_rows(values: Float[Tensor, " rows"], vectors: Vectors) -> Float[Tensor, " padded"]:
    """Return a number for every packed vector, zeros at the end."""
    return torch.nn.functional.pad(values, (0, vectors.padded - len(values)))


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
