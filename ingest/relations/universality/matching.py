"""From sums to correlations: each neuron's best match in another model, and a rotated baseline.

Pearson's ρ = (Σxy − n·x̄·ȳ) ÷ √((Σx² − n·x̄²)(Σy² − n·ȳ²)) (METHODS §8; universal-neurons §4.1,
App. B.2). The baseline is the same between x and (Ry)_j, with R a Gaussian matrix of rows of norm
1, drawn by a seed and the layer's number: what correlation there would be if neurons were no
privileged basis.
A neuron that is constant over the tokens has no correlation, nor has one in a sign case that it is
never in. In a sign case the mixed neurons are restricted to it one by one, and then mixed by the
same matrix.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy.typing import NDArray
from torch import Tensor

from ingest.relations.universality.layer_pairs import LayerCase, Tile
from ingest.relations.universality.products import LayerSums, PassSums
from neurondb.schema.tables.families import ALL_CASES

BLOCK: Final = 512
"""Rows of correlations, or of the random matrix, that exist at a time."""
_LEAST_VARIANCE: Final = 1e-13
"""Share of Σx² below which a variance is what rounding leaves of none."""
Signs: TypeAlias = Float[NDArray[np.float64], "layers neurons"]
"""Canonical signs of a model's neurons (METHODS §1), ±1."""


@dataclass
class Matches:
    """For every neuron of A, layers × neurons: its most correlated neuron of another model.

    Attributes:
        best: the largest correlation; NaN for a neuron that is constant.
        best_at: that neuron's place in the other model, layer · d_mlp + neuron; −1 for none.
        baseline: the largest correlation with a mixture of neurons of one layer.
        lowest: the smallest, most negative, correlation.
        lowest_at: that neuron's place.
        n_tokens: tokens at which the neuron was in the sign case; of all tokens, how many there
            were.
    """

    best: Float[NDArray[np.float64], "layers neurons"]
    best_at: Int[NDArray[np.int64], "layers neurons"]
    baseline: Float[NDArray[np.float64], "layers neurons"]
    lowest: Float[NDArray[np.float64], "layers neurons"]
    lowest_at: Int[NDArray[np.int64], "layers neurons"]
    n_tokens: Int[NDArray[np.int64], "layers neurons"]

    @classmethod
    def empty(cls, n_layers: int, d_mlp: int) -> Matches:
        """Return matches in which no layers were compared yet."""

        def nan() -> NDArray[np.float64]:
            return np.full((n_layers, d_mlp), np.nan)

        def none() -> NDArray[np.int64]:
            return np.full((n_layers, d_mlp), -1, dtype=np.int64)

        n_tokens = np.zeros((n_layers, d_mlp), dtype=np.int64)
        return cls(nan(), none(), nan(), nan(), none(), n_tokens)


class Matcher:
    """Makes matches of the sums of one pass after another.

    Args:
        sign_a: canonical signs of A's neurons, by which hook_post is multiplied.
        sign_b: those of B's.
        seed: of the random matrices.

    Attributes:
        of_case: code of a sign case, or ALL_CASES → its matches.
    """

    def __init__(self, sign_a: Signs, sign_b: Signs, seed: int) -> None:
        self.of_case: dict[int, Matches] = {}
        self.sign_a, self.sign_b = sign_a, sign_b
        self._seed = seed
        self._rotated: dict[LayerCase, Float[Tensor, " neurons_b"]] = {}

    @property
    def matches(self) -> Matches:
        """The matches over all tokens, whatever their sign case."""
        return self._get_matches(ALL_CASES)

    def _get_matches(self, case: int) -> Matches:
        return self.of_case.setdefault(case, Matches.empty(*self.sign_a.shape))

    def take(self, sums: PassSums) -> None:
        """Compare the layers of a pass; its products and second moments are used up."""
        for (a, case), counts in sums.counts.items():
            self._get_matches(case).n_tokens[a] = counts.cpu().numpy()
        of_layer: dict[int, dict[Tile, Tensor]] = {}
        for tile in list(sums.products):
            of_layer.setdefault(tile.b, {})[tile] = sums.products.pop(tile)
        for b, tiles in of_layer.items():
            deviations = {
                own: _compute_deviations(sums.of_a[own], sums.n)
                for own in {(tile.a, tile.case) for tile in tiles}
            }
            for tile, covariances in tiles.items():
                self._centre(covariances, tile, sums)
                deviation_b = _compute_deviations(sums.of_b[b, tile.case], sums.n)
                deviation_a = deviations[tile.a, tile.case]
                self._keep_extremes(tile, covariances, deviation_a, deviation_b)
            self._keep_baselines(b, tiles, deviations, sums)

    def _centre(self, products: Tensor, tile: Tile, sums: PassSums) -> None:
        """Turn Σxy into Σ(x − x̄)(y − ȳ), in canonical sign; in place, to save the memory."""
        sign_a, sign_b = (
            torch.from_numpy(sign).to(products.device)
            for sign in (self.sign_a[tile.a], self.sign_b[tile.b])
        )
        total_a, total_b = sums.of_a[tile.a, tile.case].total, sums.of_b[tile.b, tile.case].total
        products.addr_(total_a, total_b, alpha=-1 / sums.n)
        products.mul_(sign_a[:, None]).mul_(sign_b)

    def _keep_extremes(
        self, tile: Tile, covariances: Tensor, deviation_a: Tensor, deviation_b: Tensor
    ) -> None:
        found, a, first = self._get_matches(tile.case), tile.a, tile.b * covariances.shape[1]
        for start in range(0, len(covariances), BLOCK):
            rows = slice(start, start + BLOCK)
            block = covariances[rows] / deviation_a[rows, None] / deviation_b
            best, best_at = block.nan_to_num(-torch.inf).max(1)
            lowest, lowest_at = block.nan_to_num(torch.inf).min(1)
            _keep(found.best[a, rows], found.best_at[a, rows], best, best_at + first, 1)
            _keep(found.lowest[a, rows], found.lowest_at[a, rows], lowest, lowest_at + first, -1)

    def _keep_baselines(
        self,
        b: int,
        tiles: dict[Tile, Tensor],
        deviations: dict[LayerCase, Tensor],
        sums: PassSums,
    ) -> None:
        """Correlate layers of A with a layer of B that its random matrix has mixed.

        Its rows are drawn once for all sign cases.
        """
        highest = {own: torch.full_like(of_own, -torch.inf) for own, of_own in deviations.items()}
        covariances = next(iter(tiles.values()))
        moments = {
            case: self._centre_moments(b, case, sums)
            for case in dict.fromkeys(tile.case for tile in tiles)
            if (b, case) in sums.moments
        }
        for case, of_case in moments.items():
            self._rotated[b, case] = torch.empty_like(of_case[0])
        for start, rows in self._draw_rows(b, covariances.shape[1], covariances.device):
            drawn = slice(start, start + len(rows))
            for case, of_case in moments.items():  # Σ((Ry)_j − mean)² of each row j of R
                squares = ((rows @ of_case) * rows).sum(1)
                deviation = torch.where(squares > 0, squares, torch.nan).sqrt()
                self._rotated[b, case][drawn] = deviation
            for tile, of_tile in tiles.items():
                own = (tile.a, tile.case)
                mixed = of_tile @ rows.T
                mixed /= deviations[own][:, None]
                mixed /= self._rotated[b, tile.case][drawn]
                best = mixed.nan_to_num(-torch.inf).max(1).values
                highest[own] = torch.maximum(highest[own], best)
        for (a, case), found in highest.items():
            kept, values = self._get_matches(case).baseline[a], found.cpu().numpy()
            np.copyto(kept, values, where=np.isfinite(values) & ~(kept >= values))

    def _centre_moments(self, b: int, case: int, sums: PassSums) -> Tensor:
        """Take the second moments of a layer, centred and in canonical sign; they are used up."""
        moments, total = sums.moments.pop((b, case)), sums.of_b[b, case].total
        sign = torch.from_numpy(self.sign_b[b]).to(moments.device)
        moments.addr_(total, total, alpha=-1 / sums.n)
        return moments.mul_(sign[:, None]).mul_(sign)

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
