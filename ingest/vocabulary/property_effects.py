"""What neurons do to the tokens that have a property (universal-neurons §5.1, Fig. 5).

A neuron's effect on a token is the cosine of `out` and the token's row of U. Cosines are linear in
the unit rows, so their mean over any set of tokens is a product with the set's mean row, and their
variance a quadratic form of the rows' covariance: no neuron looks at the vocabulary again.
"""

from typing import Final, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from numpy.typing import NDArray
from torch import Tensor

from neurondb.contracts.vocabulary import PropertyEffectsRecord

MIN_TOKENS: Final = 5
"""Properties of fewer tokens have no effects: theirs would be those of single tokens, which the
token lists show already."""

MIN_EFFECT: Final = 0.5
"""Smaller effects, in standard deviations, are not kept. Hardly anybody asks which neurons do next
to nothing to a property, and they are the most: without them 30% of the rows remain for the bundled
model, and 11.6 a neuron instead of 39."""

NO_SPREAD: Final = 1e-14
"""Variance of cosines below which it is that of their rounding."""

DECIMALS: Final = 12
"""Decimals of what is stored."""

_TILE: Final = 4096


class BestProperties(NamedTuple):
    """The properties that tell a layer's effects on tokens apart the best; −1 where there is none.

    With β the share of tokens that have a property, two groups that lie at their means have the
    variance β(1 − β)·effect² and the third moment β(1 − β)(1 − 2β)·effect³, in units of the
    standard deviation of all effects.

    Attributes:
        by_variance: the one that explains most of the variance of a neuron's effects.
        by_skewness: the one that explains most of their skewness: of what the tail is made.
        explained: the share of the variance that the former explains (METHODS §9's reduction in
            variance). NaN is none.
    """

    by_variance: Int[np.ndarray, " neurons"]
    by_skewness: Int[np.ndarray, " neurons"]
    explained: Float[np.ndarray, " neurons"]


class PropertyEffects:
    """The effects of a model's neurons on the tokens with each property.

    Keeps the mean row of every property and the rows' covariance in float64: (2·properties +
    d_model)·d_model numbers.

    Args:
        unit_unembed: U, preprocessed, its rows of unit length, float32; a zero row stays zero.
        members: `members[t, p]`: token t has property p.
        covariance: the unit rows' population covariance in float64, where it is known already:
            nearly all of the time is spent on it.
    """

    def __init__(
        self,
        unit_unembed: Float[Tensor, "d_vocab d_model"],
        members: Bool[NDArray[np.bool_], "d_vocab properties"],
        covariance: Float[Tensor, "d_model d_model"] | None = None,
    ) -> None:
        n, count = len(unit_unembed), torch.from_numpy(members.sum(0)).to(unit_unembed.device)
        total, inside = _sums(unit_unembed, members)
        self.unit_unembed = unit_unembed
        self._inside = inside / count[:, None]
        self._share = count.double() / n
        self._outside = (total - inside) / (n - count)[:, None]
        self._too_few = (count < MIN_TOKENS) | (count == n)
        self._covariance = (
            _covariance(unit_unembed, total / n) if covariance is None else covariance
        )

    def compute(self, out: Float[Tensor, "neurons d_model"]) -> PropertyEffectsRecord:
        """Return a layer's effects; NaN where there is none or none worth keeping.

        `effect` is NaN for zero vectors, for neurons to which all tokens are the same, for
        properties of fewer than MIN_TOKENS tokens or of all, and below MIN_EFFECT.
        """
        # Rounded so that another process, which may sum in another order, stores the same.
        effect, inside, outside = (v.round(decimals=DECIMALS) for v in self._compare(out))
        effect.masked_fill_(effect.abs() < MIN_EFFECT, torch.nan)
        return PropertyEffectsRecord(*(v.cpu().numpy() for v in (effect, inside, outside)))

    def find_best(self, out: Float[Tensor, "neurons d_model"]) -> BestProperties:
        """Return which properties set a layer's effects apart the most, whatever their size.

        Of zero vectors, and where no property has an effect, there is none.
        """
        effect, *_ = self._compare(out)
        spread = self._share * (1 - self._share)
        explained, by_variance = (spread * effect**2).nan_to_num(-1).max(dim=1)
        skew = (spread * (1 - 2 * self._share) * effect**3).abs()
        by_skewness = skew.nan_to_num(-1).argmax(dim=1)
        known = explained >= 0
        return BestProperties(
            by_variance=by_variance.where(known, -1).cpu().numpy(),
            by_skewness=by_skewness.where(known, -1).cpu().numpy(),
            explained=explained.where(known, torch.nan).cpu().numpy(),
        )

    def _compare(self, out: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the effects, small ones too, and both means, in float64; NaN is no effect."""
        exact = out.double()
        unit = exact / torch.linalg.vector_norm(exact, dim=1, keepdim=True)  # 0/0 is NaN
        inside, outside = unit @ self._inside.T, unit @ self._outside.T
        variance = torch.mm(unit, self._covariance).mul_(unit).sum(1)
        deviation = variance.where(variance > NO_SPREAD, torch.nan).sqrt()
        effect = (inside - outside) / deviation[:, None]
        return effect.masked_fill_(self._too_few, torch.nan), inside, outside


def _sums(rows: Tensor, members: NDArray[np.bool_]) -> tuple[Tensor, Tensor]:
    """Return the sum of all rows, d_model, and that of every property's, properties × d_model."""
    n_properties, d = members.shape[1], rows.shape[1]
    total = torch.zeros(d, dtype=torch.float64, device=rows.device)
    inside = torch.zeros(n_properties, d, dtype=torch.float64, device=rows.device)
    for start in range(0, len(rows), _TILE):
        tile = rows[start : start + _TILE].double()
        has = torch.from_numpy(members[start : start + _TILE]).to(rows.device)
        total += tile.sum(0)
        inside.addmm_(has.double().T, tile)
    return total, inside


def _covariance(rows: Tensor, mean: Tensor) -> Tensor:
    d = rows.shape[1]
    result = torch.zeros(d, d, dtype=torch.float64, device=rows.device)
    for tile in torch.split(rows, _TILE):
        centred = tile - mean
        result.addmm_(centred.T, centred)
    return result.div_(len(rows))
