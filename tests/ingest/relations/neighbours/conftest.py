"""Small models of vectors, and their neighbours and connections by brute force in float64."""

from collections.abc import Mapping

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from ingest.relations.neighbours.unit_rows import UnitRows

N_LAYERS, N_NEURONS, D_MODEL = 4, 40, 12
ANY, LATER, EARLIER = "any", "later", "earlier"
Layers = list[dict[str, Tensor]]


def draw_layers(seed: int = 0, vectors: tuple[str, ...] = ("gate", "in", "out")) -> Layers:
    generator = torch.Generator().manual_seed(seed)
    return [
        {name: torch.randn(N_NEURONS, D_MODEL, generator=generator) for name in vectors}
        for _ in range(N_LAYERS)
    ]


def make_rows(layers: Layers, budget: float = 1e9) -> UnitRows:
    return UnitRows(lambda layer: layers[layer], len(layers), budget)


@pytest.fixture
def layers() -> Layers:
    return draw_layers()


def compute_all_cosines(layers: Layers, own: str, other: str) -> NDArray[np.float64]:
    """Every cosine between two vectors of any two neurons, in float64; 0 for a zero vector."""

    def stack(name: str) -> NDArray[np.float64]:
        rows = np.concatenate([layer[name].double().numpy() for layer in layers])
        norms = np.sqrt((rows**2).sum(1, keepdims=True))
        unit: NDArray[np.float64] = np.divide(rows, norms, out=np.zeros_like(rows), where=norms > 0)
        return unit

    return np.asarray(stack(own) @ stack(other).T)


def list_by_brute_force(
    cosines: NDArray[np.float64], order: str, n_top: int, threshold: float = np.inf
) -> Mapping[tuple[int, int], list[tuple[int, float]]]:
    """(neuron, sign) → its entries (other, cosine): the strongest, and all beyond the threshold."""
    layer = np.arange(len(cosines)) // N_NEURONS
    found = {}
    for i, row in enumerate(cosines):
        allowed = {ANY: layer == layer, LATER: layer > layer[i], EARLIER: layer < layer[i]}[order]
        allowed = allowed & (np.arange(len(row)) != i)
        for sign in (1, -1):
            others = np.flatnonzero(allowed & (sign * row > 1e-9))
            best = sorted(others, key=lambda j: (-round(sign * row[j], 12), j))
            n = max(n_top, sum(sign * row[j] >= threshold for j in best))
            found[i, sign] = [(int(j), float(row[j])) for j in best[:n]]
    return found
