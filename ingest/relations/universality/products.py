"""The sums over tokens that correlations are made of: five accumulators, float64, for many layers.

With x a neuron of A and y one of B: n, Σx, Σy, Σx², Σy² and, for each pair, Σxy (METHODS §8;
universal-neurons App. B.2). In a sign case x and y are restricted to it, and the sums are the same
sums over the same tokens. The baseline mixes y by a random matrix R; being linear, it needs no
sums of its own: Σx(Ry) = (Σxy)Rᵀ and Σ(Ry)² = diag(R (Σyyᵀ) Rᵀ), so that the second moments Σyyᵀ
of each layer of B are all that is added for it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ingest.relations.universality.layer_pairs import LayerCase, Pass, Tile
from ingest.relations.universality.sign_cases import CaseActivations

Activations: TypeAlias = Float[Tensor, "tokens neurons"]


@dataclass
class LayerSums:
    """Σx and Σx² over tokens of every neuron of a layer."""

    total: Float[Tensor, " neurons"]
    squares: Float[Tensor, " neurons"]

    @classmethod
    def zeros(cls, n_neurons: int, device: torch.device) -> LayerSums:
        """Return sums over no tokens."""
        return cls(*(torch.zeros(n_neurons, dtype=torch.float64, device=device) for _ in range(2)))

    def add(self, values: Activations) -> None:
        """Add the tokens of a batch, in float64."""
        self.total += values.sum(0)
        self.squares += (values * values).sum(0)

    def merge(self, other: LayerSums) -> None:
        """Add the sums over other tokens."""
        self.total += other.total
        self.squares += other.squares


class PassSums:
    """All that one pass over the texts adds up.

    Args:
        chosen: the tiles and second moments of the pass.
        d_mlp_a: neurons in a layer of A.
        d_mlp_b: neurons in a layer of B.
        device: where the sums are.

    Attributes:
        n: tokens added.
        of_a: layer of A and sign case → its sums.
        of_b: layer of B and sign case → its sums.
        counts: layer of A and sign case → at how many tokens its neurons are in the case.
        products: tile → Σxy, neurons of A × neurons of B.
        moments: layer of B and sign case → Σyyᵀ.
    """

    def __init__(self, chosen: Pass, d_mlp_a: int, d_mlp_b: int, device: torch.device) -> None:
        def zeros(rows: int) -> Tensor:
            return torch.zeros(rows, d_mlp_b, dtype=torch.float64, device=device)

        own_a = sorted({(tile.a, tile.case) for tile in chosen.tiles})
        own_b = sorted({(tile.b, tile.case) for tile in chosen.tiles})
        self.n = 0
        self.of_a = {own: LayerSums.zeros(d_mlp_a, device) for own in own_a}
        self.of_b = {own: LayerSums.zeros(d_mlp_b, device) for own in own_b}
        self.counts: dict[LayerCase, Int[Tensor, " neurons"]] = {
            own: torch.zeros(d_mlp_a, dtype=torch.int64, device=device) for own in own_a
        }
        self.products = {tile: zeros(d_mlp_a) for tile in chosen.tiles}
        self.moments = {own: zeros(d_mlp_b) for own in chosen.second_moments}
        self._partners: dict[LayerCase, list[Tile]] = {own: [] for own in own_b}
        for tile in chosen.tiles:
            self._partners[tile.b, tile.case].append(tile)

    def add_a(self, layer: int, values: CaseActivations) -> None:
        """Add a batch of activations of a layer of A."""
        for (own, case), sums in self.of_a.items():
            if own == layer:
                sums.add(values.select(case))
                self.counts[own, case] += values.count(case)

    def add_b(
        self, layer: int, values: CaseActivations, beside: Mapping[int, CaseActivations]
    ) -> None:
        """Add a batch of activations of a layer of B, and their products with those of A.

        Args:
            layer: the layer of B.
            values: its activations.
            beside: layer of A → what its neurons do at the same tokens.
        """
        for (own, case), tiles in self._partners.items():
            if own != layer:
                continue
            wide = values.select(case)
            self.of_b[own, case].add(wide)
            if (own, case) in self.moments:
                self.moments[own, case].addmm_(wide.T, wide)
            for tile in tiles:
                self.products[tile].addmm_(beside[tile.a].select(case).T, wide)

    def merge(self, other: PassSums) -> None:
        """Add the sums of the same pass over other tokens."""
        self.n += other.n
        for mine, theirs in ((self.of_a, other.of_a), (self.of_b, other.of_b)):
            for own, sums in theirs.items():
                mine[own].merge(sums)
        for own, counts in other.counts.items():
            self.counts[own] += counts
        for tile, values in other.products.items():
            self.products[tile] += values
        for own, values in other.moments.items():
            self.moments[own] += values
