"""Vectors as sums of coarse pieces, and how far the products of such pieces are from theirs.

A number has 24 bits in float32, 8 in bfloat16. The first piece of a vector is the vector rounded to
bfloat16, the second what that lost, rounded. A product of vectors is coarse where only their first
pieces are multiplied, fine where all are but the two second ones: of 8 bits, and of 16.

Or a vector is brought to integers of 16 bits, of which the largest is 32512, and these to 256 times
one of 8 bits and another of 8 bits. Their products are twice as many a second on processors with
AVX-512 alone, and exact; but a number that is small beside its vector's largest has fewer bits.
"""

from typing import Final, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from ingest.vocabulary.native import PiecesOf, count_additions

ROUNDING: Final = 2.0**-23
"""Relative error of an operation in float32: twice what rounding to the nearest can do."""

FLUSHED: Final = 2.0**-126
"""Numbers of bfloat16 and results in float32 below this count as zero where they are added."""

DECIMALS: Final = 12
"""Scores are rounded to so many decimals in the end, so that equal ones are equal."""

LARGEST: Final = 127 * 256
"""The largest of a vector's integers."""

LEAST: Final = 2.0**-100
"""A vector whose largest number is below this is zero as integers."""

BYTE_ROUNDINGS: Final = 5
"""Roundings of a score that is computed from sums of integers (`combine` of `products.h`)."""

_TILE: Final = 4096


class Lengths(NamedTuple):
    """Euclidean lengths of vectors, of their pieces, and of what the pieces lack.

    With x = x₀ + x₁ + ξ these are ‖x‖, ‖x₀‖, ‖x₁‖ (0 where there is one piece) and ‖ξ‖.
    """

    whole: Float[Tensor, " rows"]
    first: Float[Tensor, " rows"]
    second: Float[Tensor, " rows"]
    lost: Float[Tensor, " rows"]

    @property
    def largest(self) -> "Lengths":
        """The largest of each; a row that is not finite scores NaN and counts for nothing."""
        return Lengths(*(part.where(part.isfinite(), 0).amax() for part in self))


def measure_lengths(
    rows: Float[Tensor, "rows d_model"], pieces: int, pieces_of: PiecesOf = PiecesOf.HALVES
) -> Lengths:
    """Return the lengths of rows as so many pieces, 1 or 2, in float64.

    Those of bfloat16 are computed in float32, whose rounding of d numbers they are enlarged by.
    """
    measure = _measure_bytes if pieces_of is PiecesOf.BYTES else _measure_halves
    parts = [measure(tile.float(), pieces) for tile in torch.split(rows, _TILE)]
    enlarged = 1 + rows.shape[1] * ROUNDING
    return Lengths(*(torch.cat(part).double() * enlarged for part in zip(*parts, strict=True)))


def _measure_halves(rows: Tensor, pieces: int) -> Lengths:
    first = rows.bfloat16().float()
    lost = rows - first  # exact, as everything that rounding leaves
    second = lost.bfloat16().float() if pieces > 1 else torch.zeros_like(lost)
    parts = (rows, first, second, lost - second)
    return Lengths(*(torch.linalg.vector_norm(part, dim=1) for part in parts))


def _measure_bytes(rows: Tensor, _pieces: int) -> Lengths:
    largest = rows.abs().amax(1, keepdim=True)
    unit = (largest / LARGEST).where(~(largest < LEAST), 0)  # as `find_unit` of pieces.h
    whole = (rows / unit).round_().masked_fill_(unit == 0, 0)
    high = torch.floor((whole + 128) / 256).mul_(256)
    unit = unit.double()
    parts = (rows, high * unit, (whole - high) * unit, rows - whole * unit)
    return Lengths(*(torch.linalg.vector_norm(part, dim=1, dtype=torch.float64) for part in parts))


def list_terms(left: int, right: int) -> list[tuple[int, int]]:
    """Return which pieces of the left are multiplied with which of the right, by their numbers."""
    return [(p, q) for p in range(left) for q in range(right) if p + q < 2]


def bound_split_error(
    left: Lengths, right: Lengths, d_model: int, n_terms: int, pieces_of: PiecesOf = PiecesOf.HALVES
) -> Float[Tensor, " neurons"]:
    """Return how far the product of some vectors' pieces with any token's is from the vectors'.

    Let x = x₀ + x₁ + ξ be a neuron's vector and y = y₀ + y₁ + η a token's, where a second piece may
    be none. The terms leave out x₁·y₁ of (x₀ + x₁)·(y₀ + y₁), and so by Cauchy and Schwarz

        |x·y − (x₀·y₀ + x₀·y₁ + x₁·y₀)| ≤ ‖ξ‖‖y‖ + (‖x‖ + ‖ξ‖)‖η‖ + ‖x₁‖‖y₁‖.

    Numbers of bfloat16 are multiplied without error (8 bits by 8) and added in float32. Tile
    registers add 16 fused products into each of two sums, these two, and the result to what was
    there, once for each 32 numbers of each term: no product is in more than n = 17 + terms·⌈d/32⌉
    additions. Without them n = terms·32·⌈d/32⌉: one sum takes all. Sums of integers are exact, and
    n = 5 roundings make a score of them. So it is off by at most n·2⁻²³ of the sum of the products'
    magnitudes, which is at most (‖x₀‖ + ‖x₁‖)(‖y₀‖ + ‖y₁‖). Four more are for what is done with a
    score in float32: it is compared with the difference of another and of twice this bound. Numbers
    below 2⁻¹²⁶ count as zero, which takes at most that of the other factor, or of a result, for
    each of d places.

    Args:
        left: lengths of the neurons' vectors.
        right: the largest lengths of the tokens'.
        d_model: numbers of a vector.
        n_terms: products of pieces.
        pieces_of: what the pieces are.
    """
    halves = pieces_of is PiecesOf.HALVES
    roundings = count_additions(n_terms, d_model) if halves else BYTE_ROUNDINGS
    sides = [lengths.first + lengths.second for lengths in (left, right)]
    return (
        left.lost * right.whole
        + (left.whole + left.lost) * right.lost
        + left.second * right.second
        + (roundings + 4) * ROUNDING * sides[0] * sides[1]
        + FLUSHED * n_terms * d_model * (1 + sides[0] + sides[1])
    )


def compute_window(error: Float[Tensor, " neurons"]) -> Float[Tensor, " neurons"]:
    """Return how far below the k-th largest score a token of the first k may score, in float32.

    Let e be the bound of the error. The k largest scores are of tokens whose true scores are at
    least the k-th, ŝ, less e; so the k-th of the true scores is at least ŝ − e, and a token of a
    score that is as large scores ŝ − 2e or more. What the true scores are rounded to, in the end,
    is added; a neuron without a bound has no window, and keeps everything.
    """
    window = 2 * error + 2 * 10.0**-DECIMALS
    return torch.nextafter(window.float(), torch.tensor(torch.inf)).nan_to_num(nan=torch.inf)
