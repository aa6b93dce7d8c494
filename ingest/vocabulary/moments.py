"""Moments of a neuron's scores over the vocabulary, and records of tiles of neurons, joined."""

from collections.abc import Sequence
from dataclasses import fields
from typing import TypeVar

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ingest.vocabulary.products import TOKEN_TILE, Precision, compute_mean_row, multiply_in_float32
from neurondb.contracts.tokens import LmHeadTokens
from neurondb.contracts.vocabulary import TokenList, VocabularyMoments

_Record = TypeVar("_Record", TokenList, VocabularyMoments, LmHeadTokens)

NO_SPREAD = 1e-14
"""Variance of cosines below which it is that of their rounding: no skewness, no kurtosis."""

FORM_ROWS = 4096
"""Vectors that a quadratic form is computed of at a time."""

FORM_COLUMNS = 256
"""Columns of a symmetric matrix at a time."""

LENGTH = 256.0
"""Length that vectors are brought to before they are split into halves."""


class Spread:
    """Mean and variance, over the rows of a matrix, of any vector's product with them.

    Closed forms: with μ the mean row and C the covariance of the rows, in float64, v·μ and vᵀCv.
    They need no pass over the products, and nothing of a small variance is lost in large sums.

    Args:
        rows: the matrix.
        precision: with FAST, Cv is of 22 bits: most GPUs have next to no float64.
    """

    def __init__(
        self, rows: Float[Tensor, "rows d_model"], precision: Precision = Precision.EXACT
    ) -> None:
        self._mean = compute_mean_row(rows)
        self.covariance = _compute_covariance(rows, self._mean)
        self._scale = float(self.covariance.abs().max()) or 1.0
        fast = precision is Precision.FAST
        self._halves = _halves(self.covariance / self._scale) if fast else None

    def mean(self, vectors: Float[Tensor, "neurons d_model"]) -> Float[Tensor, " neurons"]:
        """Return the mean product of each vector with the rows, in float64."""
        return vectors.double() @ self._mean

    def variance(self, vectors: Float[Tensor, "neurons d_model"]) -> Float[Tensor, " neurons"]:
        """Return the population variance of each vector's products with the rows, in float64."""
        if self._halves is None:
            tiles = torch.split(vectors, FORM_ROWS)
            return torch.cat([compute_form(tile.double(), self.covariance) for tile in tiles])
        # Of such a length that neither half of an element is too small or too large for float16.
        scale: Tensor = LENGTH / torch.linalg.vector_norm(vectors, dim=1)
        scaled = vectors * scale[:, None]
        (high, low), (c_high, c_low) = _halves(scaled), self._halves
        product = multiply_in_float32(high, c_high)
        product += multiply_in_float32(high, c_low) + multiply_in_float32(low, c_high)
        form = product.mul_(scaled).sum(1, dtype=torch.float64) * self._scale
        return form.div_(scale.double() ** 2).clamp_min_(0)


def _compute_covariance(rows: Tensor, mean: Tensor) -> Float[Tensor, "d_model d_model"]:
    """Return the population covariance of the rows; below its diagonal nothing is multiplied."""
    d = rows.shape[1]
    covariance = torch.zeros(d, d, dtype=torch.float64, device=rows.device)
    for tile in torch.split(rows, TOKEN_TILE["cpu"]):
        centred = tile - mean
        for start in range(0, d, FORM_COLUMNS):
            block, before = slice(start, start + FORM_COLUMNS), slice(start + FORM_COLUMNS)
            covariance[before, block].addmm_(centred[:, before].T, centred[:, block])
    covariance.triu_()
    covariance += covariance.triu(1).T
    return covariance.div_(len(rows))


def compute_form(
    vectors: Float[Tensor, "vectors d_model"], matrix: Float[Tensor, "d_model d_model"]
) -> Float[Tensor, " vectors"]:
    """Return vᵀMv of each vector, 0 where it is less, with M symmetric and positive.

    Columns go by blocks, and of a block only what is on the diagonal and above is multiplied: what
    is below is the same again.
    """
    form = vectors.new_zeros(len(vectors))
    for start in range(0, len(matrix), FORM_COLUMNS):
        block = slice(start, start + FORM_COLUMNS)
        product = vectors[:, block] @ matrix[block, block]
        product.addmm_(vectors[:, :start], matrix[:start, block], alpha=2)
        form += product.mul_(vectors[:, block]).sum(1)
    return form.clamp_min_(0)


def _halves(numbers: Tensor) -> tuple[Tensor, Tensor]:
    """Return two of float16 whose sum is close to the numbers."""
    high = numbers.to(torch.float16)
    return high, (numbers - high.to(numbers.dtype)).to(torch.float16)


class HigherMoments:
    """Sums of powers of scores about their mean: float32 a tile, float64 across tiles.

    Args:
        mean: each neuron's mean of the scores that will be added, in float64.
    """

    def __init__(self, mean: Float[Tensor, " neurons"]) -> None:
        self._mean = mean.float()[:, None]
        self._second, self._third, self._fourth = mean.new_zeros(3, len(mean)).unbind(0)
        self._n = 0
        self._memory = mean.new_empty(0, dtype=torch.float32)

    def add(self, scores: Float[Tensor, "neurons tile"]) -> None:
        """Add a tile of scores, whose memory is overwritten."""
        if len(self._memory) < scores.numel():
            self._memory = torch.empty(scores.numel(), device=scores.device)
        centred = scores.sub_(self._mean)
        square = torch.mul(centred, centred, out=self._memory[: scores.numel()].view_as(scores))
        self._second += square.sum(1)
        self._third += centred.mul_(square).sum(1)
        self._fourth += square.mul_(square).sum(1)
        self._n += scores.shape[1]

    @property
    def variance(self) -> Float[Tensor, " neurons"]:
        """The population variance of the scores."""
        return self._second / self._n

    def standardise(self) -> tuple[Float[Tensor, " neurons"], Float[Tensor, " neurons"]]:
        """Return skewness and Pearson's kurtosis; NaN where there is no spread.

        Rounded products have a variance of their own, which cancels the most of their error.
        """
        return _standardise(*(s / self._n for s in (self._second, self._third, self._fourth)))


def standardise_powers(
    powers: Float[Tensor, "neurons 4"],
) -> tuple[Float[Tensor, " neurons"], Float[Tensor, " neurons"]]:
    """Return skewness and Pearson's kurtosis; NaN where there is no spread.

    Args:
        powers: means of the first four powers of the scores less anything near their mean, in
            float64. They are moved to the mean that the scores have: rounded products have a mean
            and a variance of their own, which cancels the most of their error.
    """
    first, second, third, fourth = powers.unbind(1)
    return _standardise(
        second - first**2,
        third - 3 * first * second + 2 * first**3,
        fourth - 4 * first * third + 6 * first**2 * second - 3 * first**4,
    )


def _standardise(second: Tensor, third: Tensor, fourth: Tensor) -> tuple[Tensor, Tensor]:
    spread = second.where(second > NO_SPREAD, torch.nan)
    return third / spread**1.5, fourth / spread**2


def record_vocabulary_moments(*moments: Float[Tensor, " neurons"]) -> VocabularyMoments:
    """Return moments as a record, in the order of its fields and in float64."""
    return VocabularyMoments(*(moment.double().cpu().numpy() for moment in moments))


def join_tiles(parts: Sequence[_Record]) -> _Record:
    """Return one record of all neurons, from a record of each tile of neurons."""
    arrays = {
        field.name: np.concatenate([getattr(part, field.name) for part in parts])
        for field in fields(parts[0])
    }
    return type(parts[0])(**arrays)


def cut_tiles(record: _Record, n: int) -> list[_Record]:
    """Return a record as n records of equally many neurons."""
    columns = {field.name: np.split(getattr(record, field.name), n) for field in fields(record)}
    return [type(record)(**{name: parts[i] for name, parts in columns.items()}) for i in range(n)]
