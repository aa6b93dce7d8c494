"""Vectors of unit length against both bases: token lists, and the moments of cos(U, v)."""

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ingest.vocabulary.candidates import Candidates
from ingest.vocabulary.moments import HigherMoments, Spread, standardise_powers
from ingest.vocabulary.native import Sums
from ingest.vocabulary.products import (
    Operand,
    Precision,
    bound_product_error,
    compute_mean_product,
    multiply_tiles,
)
from ingest.vocabulary.scan import Vectors, Vocabulary, pad_rows, scan_vocabulary
from ingest.vocabulary.tie_breaking import break_ties, count_spare
from neurondb.schema.codes import BASES, DIRECTIONS

UNEMBED = BASES.index("unembed")


class Compared(NamedTuple):
    """What some vectors score: scores and tokens by basis and direction, and moments under U.

    A vector that is not finite has no scores: its tokens are none or any, its moments NaN.
    """

    lists: dict[tuple[int, int], tuple[Float[Tensor, "vectors k"], Int[Tensor, "vectors k"]]]
    mean: Float[Tensor, " vectors"]
    variance: Float[Tensor, " vectors"]
    skewness: Float[Tensor, " vectors"]
    kurtosis: Float[Tensor, " vectors"]


class Comparison(Protocol):
    """A way to compare vectors with both bases."""

    def compare(self, unit: Float[Tensor, "vectors d_model"]) -> Compared:
        """Compare vectors of unit length with all tokens."""
        ...


class TiledComparison:
    """Comparison by tiles of scores in float32, on any device.

    Args:
        bases: U and E in the order of BASES, their rows of unit length.
        k: the length of the lists.
        precision: of the products.
        cosines: returns mean and variance of cos(U, v).
    """

    def __init__(
        self, bases: Sequence[Tensor], k: int, precision: Precision, cosines: Callable[[], Spread]
    ) -> None:
        self._bases = [Operand.at_precision(basis, precision) for basis in bases]
        self._k, self._precision, self._cosines = k, precision, cosines

    def compare(self, unit: Float[Tensor, "vectors d_model"]) -> Compared:
        """Compare vectors of unit length with all tokens."""
        left = Operand.at_precision(unit, self._precision)
        mean = compute_mean_product(left, self._bases[UNEMBED])
        higher = HigherMoments(mean)
        lists: dict[tuple[int, int], tuple[Tensor, Tensor]] = {}
        for b, basis in enumerate(self._bases):
            both = self._extreme_tokens(left, basis, higher if b == UNEMBED else None)
            lists |= {(b, d): found for d, found in enumerate(both)}
        variance = higher.variance
        if self._precision is Precision.FAST:  # the rounded vectors have others
            mean, variance = self._cosines().mean(unit), self._cosines().variance(unit)
        return Compared(lists, mean, variance, *higher.standardise())

    def _extreme_tokens(
        self, unit: Operand, basis: Operand, higher: HigherMoments | None
    ) -> list[tuple[Tensor, Tensor]]:
        """Return scores and token ids of the top and of the bottom list, neurons × k each."""
        bound = None if self._precision is Precision.EXACT else bound_product_error(unit, basis)
        keep = self._k + count_spare(bound)
        top, bottom = (Candidates.empty(len(unit), unit.device) for _ in DIRECTIONS)
        for start, scores in multiply_tiles(unit, basis):
            top.take(scores, start, keep)
            bottom.take(scores, start, keep, smallest=True)
            if higher is not None:
                higher.add(scores)
        largest = break_ties(top, basis.rows, unit.rows, self._k, bound)
        smallest = break_ties(bottom, basis.rows, -unit.rows, self._k, bound)
        return [largest, (-smallest[0], smallest[1])]


class SplitComparison:
    """Comparison by products of pieces in bfloat16, on processors that have it (`split.py`).

    Products with U are fine, for the moments; with E, of which only lists are wanted, coarse.

    Args:
        bases: U and E in the order of BASES, their rows of unit length.
        k: the length of the lists.
        cosines: returns mean and variance of cos(U, v).
    """

    def __init__(self, bases: Sequence[Tensor], k: int, cosines: Callable[[], Spread]) -> None:
        self._bases = [Vocabulary(basis, fine=b == UNEMBED) for b, basis in enumerate(bases)]
        self._k, self._cosines = k, cosines

    def compare(self, unit: Float[Tensor, "vectors d_model"]) -> Compared:
        """Compare vectors of unit length with all tokens."""
        vectors = Vectors(unit)
        mean, variance = self._cosines().mean(unit), self._cosines().variance(unit)
        lists: dict[tuple[int, int], tuple[Tensor, Tensor]] = {}
        for b, basis in enumerate(self._bases):
            sums = Sums.of_powers(pad_rows(mean, vectors)) if b == UNEMBED else Sums()
            scanned = scan_vocabulary(vectors, basis, self._k, sums)
            for d in range(len(DIRECTIONS)):
                scores, ids = scanned.settle(d)
                lists[b, d] = round_scores(scores), ids
            if sums.powers is not None:
                higher = standardise_powers(sums.powers[: len(unit)] / len(basis))
        return Compared(lists, mean, variance, *higher)


def round_scores(scores: Float[Tensor, "vectors k"]) -> Float[Tensor, "vectors k"]:
    """Return descending or ascending scores as float32 has them, in float64.

    Where float32 cannot tell a score from the next, what decided between them is kept: both stay
    as they are (docs/architecture.md, Ties).
    """
    rounded = scores.float().double()
    equal = rounded[:, 1:] == rounded[:, :-1]
    decided = torch.zeros_like(rounded, dtype=torch.bool)
    decided[:, 1:] |= equal
    decided[:, :-1] |= equal
    return torch.where(decided, scores, rounded)
