"""The sums over tokens that correlations are made of: five accumulators, float64, for many layers.

With x a neuron of A and y one of B: n, Σx, Σy, Σx², Σy² and, for each pair, Σxy (METHODS §8;
universal-neurons App. B.2). The baseline mixes y by a random matrix R; being linear, it needs no
sums of its own: Σx(Ry) = (Σxy)Rᵀ and Σ(Ry)² = diag(R (Σyyᵀ) Rᵀ), so that the second moments Σyyᵀ
of each layer of B are all that is added for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import torch
from jaxtyping import Float
from torch import Tensor

from ingest.relations.universality.layer_pairs import Pass

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
        of_a: layer of A → its sums.
        of_b: layer of B → its sums.
        products: (layer of A, layer of B) → Σxy, neurons of A × neurons of B.
        moments: layer of B → Σyyᵀ.
    """

    def __init__(self, chosen: Pass, d_mlp_a: int, d_mlp_b: int, device: torch.device) -> None:
        def zeros(rows: int) -> Tensor:
            return torch.zeros(rows, d_mlp_b, dtype=torch.float64, device=device)

        self.n = 0
        self.of_a = {layer: LayerSums.zeros(d_mlp_a, device) for layer in chosen.layers_a}
        self.of_b = {layer: LayerSums.zeros(d_mlp_b, device) for layer in chosen.layers_b}
        self.products = {tile: zeros(d_mlp_a) for tile in chosen.tiles}
        self.moments = {layer: zeros(d_mlp_b) for layer in chosen.second_moments}
        self._partners: dict[int, list[int]] = {}
        for a, b in chosen.tiles:
            self._partners.setdefault(b, []).append(a)

    def list_partners(self, layer_b: int) -> Sequence[int]:
        """Return the layers of A that a layer of B is compared with in this pass."""
        return self._partners[layer_b]

    def add_a(self, layer: int, values: Activations) -> None:
        """Add a batch of activations of a layer of A."""
        self.of_a[layer].add(values.double())

    def add_b(self, layer: int, values: Activations) -> Activations:
        """Add a batch of activations of a layer of B; return them in float64."""
        wide = values.double()
        self.of_b[layer].add(wide)
        if layer in self.moments:
            self.moments[layer].addmm_(wide.T, wide)
        return wide

    def add_products(
        self, tile: tuple[int, int], values_a: Activations, wide_b: Activations
    ) -> None:
        """Add the products of the same tokens' activations of two layers."""
        self.products[tile].addmm_(values_a.double().T, wide_b)

    def merge(self, other: PassSums) -> None:
        """Add the sums of the same pass over other tokens."""
        self.n += other.n
        for mine, theirs in ((self.of_a, other.of_a), (self.of_b, other.of_b)):
            for layer, sums in theirs.items():
                mine[layer].merge(sums)
        for tile, values in other.products.items():
            self.products[tile] += values
        for layer, values in other.moments.items():
            self.moments[layer] += values
