"""From sums to correlations: each neuron's best match in another model, and a rotated baseline.

Pearson's ρ = (Σxy − n·x̄·ȳ) ÷ √((Σx² − n·x̄²)(Σy² − n·ȳ²)) (METHODS §8; universal-neurons §4.1,
App. B.2). The baseline is the same between x and (Ry)_j, with R a Gaussian matrix of rows of norm
1, drawn by a seed and the layer's number: what correlation there would be if neurons were no
privileged basis.
A neuron that is constant over the tokens has no correlation.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy.typing import NDArray
from torch import Tensor

from ingest.relations.universality.products import LayerSums, PassSums

BLOCK: Final = 512
"""Rows of correlations, or of the random matrix, that exist at a time."""
_LEAST_VARIANCE: Final = 1e-13
"""Share of Σx² below which a variance is what rounding leaves of none."""


@dataclass
class Matches:
    """For every neuron of A, layers × neurons: its most correlated neuron of another model.

    Attributes:
        best: the largest correlation; NaN for a neuron that is constant.
        best_at: that neuron's place in the other model, layer · d_mlp + neuron; −1 for none.
        baseline: the largest correlation with a mixture of neurons of one layer.
        lowest: the smallest, most negative, correlation.
        lowest_at: that neuron's place.
    """

    best: Float[NDArray[np.float64], "layers neurons"]
    best_at: Int[NDArray[np.int64], "layers neurons"]
    baseline: Float[NDArray[np.float64], "layers neurons"]
    lowest: Float[NDArray[np.float64], "layers neurons"]
    lowest_at: Int[NDArray[np.int64], "layers neurons"]

    @classmethod
    def empty(cls, n_layers: int, d_mlp: int) -> Matches:
        """Return matches in which no layers were compared yet."""

        def nan() -> NDArray[np.float64]:
            return np.full((n_layers, d_mlp), np.nan)

        def none() -> NDArray[np.int64]:
            return np.full((n_layers, d_mlp), -1, dtype=np.int64)

        return cls(nan(), none(), nan(), nan(), none())


class Matcher:
    """Makes matches of the sums of one pass after another.

    Args:
        sign_a: canonical signs of A's neurons (METHODS §1), ±1, by which hook_post is multiplied.
        sign_b: those of B's.
        seed: of the random matrices.
    """

    def __init__(
        self,
        sign_a: Float[NDArray[np.float64], "layers neurons"],
        sign_b: Float[NDArray[np.float64], "layers_b neurons_b"],
        seed: int,
    ) -> None:
        self.matches = Matches.empty(*sign_a.shape)
        self._sign_a, self._sign_b = sign_a, sign_b
        self._seed = seed
        self._rotated: dict[int, Float[Tensor, " neurons_b"]] = {}

    def take(self, sums: PassSums) -> None:
        """Compare the layers of a pass; its products and second moments are used up."""
        tiles: dict[int, dict[int, Tensor]] = {}
        for a, b in list(sums.products):
            tiles.setdefault(b, {})[a] = sums.products.pop((a, b))
        for b, products in tiles.items():
            deviations = {a: _compute_deviations(sums.of_a[a], sums.n) for a in products}
            for a, covariances in products.items():
                self._centre(covariances, a, b, sums)
                deviation_b = _compute_deviations(sums.of_b[b], sums.n)
                self._keep_extremes(a, b, covariances, deviations[a], deviation_b)
            self._keep_baselines(b, products, deviations, sums)

    def _centre(self, products: Tensor, a: int, b: int, sums: PassSums) -> None:
        """Turn Σxy into Σ(x − x̄)(y − ȳ), in canonical sign; in place, to save the memory."""
        sign_a, sign_b = self._get_signs(a, b, products.device)
        products.addr_(sums.of_a[a].total, sums.of_b[b].total, alpha=-1 / sums.n)
        products.mul_(sign_a[:, None]).mul_(sign_b)

    def _get_signs(self, a: int, b: int, device: torch.device) -> tuple[Tensor, Tensor]:
        signs = (self._sign_a[a], self._sign_b[b])
        sign_a, sign_b = (torch.from_numpy(sign).to(device) for sign in signs)
        return sign_a, sign_b

    def _keep_extremes(
        self, a: int, b: int, covariances: Tensor, deviation_a: Tensor, deviation_b: Tensor
    ) -> None:
        found, first = self.matches, b * covariances.shape[1]
        for start in range(0, len(covariances), BLOCK):
            rows = slice(start, start + BLOCK)
            block = covariances[rows] / deviation_a[rows, None] / deviation_b
            best, best_at = block.nan_to_num(-torch.inf).max(1)
            lowest, lowest_at = block.nan_to_num(torch.inf).min(1)
            _keep(found.best[a, rows], found.best_at[a, rows], best, best_at + first, 1)
            _keep(found.lowest[a, rows], found.lowest_at[a, rows], lowest, lowest_at + first, -1)

    def _keep_baselines(
        self, b: int, tiles: dict[int, Tensor], deviations: dict[int, Tensor], sums: PassSums
    ) -> None:
        """Correlate layers of A with a layer of B that its random matrix has mixed."""
        highest = {a: torch.full_like(deviations[a], -torch.inf) for a in tiles}
        moments, n = sums.moments.pop(b, None), next(iter(tiles.values())).shape[1]
        if moments is not None:
            total, sign = sums.of_b[b].total, torch.from_numpy(self._sign_b[b]).to(moments.device)
            moments.addr_(total, total, alpha=-1 / sums.n)
            moments.mul_(sign[:, None]).mul_(sign)
            self._rotated[b] = torch.empty_like(total)
        rotated = self._rotated[b]
        for start, rows in self._draw_rows(b, n, rotated.device):
            own = slice(start, start + len(rows))
            if moments is not None:  # Σ((Ry)_j − mean)² of each row j of R
                squares = ((rows @ moments) * rows).sum(1)
                rotated[own] = torch.where(squares > 0, squares, torch.nan).sqrt()
            for a, covariances in tiles.items():
                mixed = covariances @ rows.T
                mixed /= deviations[a][:, None]
                mixed /= rotated[own]
                best = mixed.nan_to_num(-torch.inf).max(1).values
                highest[a] = torch.maximum(highest[a], best)
        for a, found in highest.items():
            kept, values = self.matches.baseline[a], found.cpu().numpy()
            np.copyto(kept, values, where=np.isfinite(values) & ~(kept >= values))

    def _draw_rows(self, layer: int, n: int, device: torch.device) -> Iterator[tuple[int, Tensor]]:
        """Yield the rows of a layer's random matrix, some at a time, with the first one's number.

        They are drawn by NumPy: the same everywhere, whatever the device.
        """
        generator = np.random.default_rng([self._seed, layer])
        for start in range(0, n, BLOCK):
            rows = generator.standard_normal((min(BLOCK, n - start), n))
            rows /= np.linalg.norm(rows, axis=1, keepdims=True)
            yield start, torch.from_numpy(rows).to(device)


def _compute_deviations(sums: LayerSums, n: int) -> Float[Tensor, " neurons"]:
    """Return √Σ(x − x̄)² of each neuron; NaN for one that is constant."""
    variance = sums.squares - sums.total * sums.total / n
    varies = variance > _LEAST_VARIANCE * sums.squares
    return torch.where(varies, variance, torch.nan).sqrt()


def _keep(
    kept: NDArray[np.float64],
    kept_at: NDArray[np.int64],
    found: Tensor,
    found_at: Tensor,
    direction: int,
) -> None:
    """Replace what is kept where something larger was found; smaller where direction is −1."""
    values, places = found.cpu().numpy(), found_at.cpu().numpy()
    worse = ~(kept * direction >= values * direction)  # also where nothing is kept
    is_better = np.isfinite(values) & worse
    np.copyto(kept, values, where=is_better)
    np.copyto(kept_at, places, where=is_better)
