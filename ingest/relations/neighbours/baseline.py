"""Random directions in the place of a neuron's vector: how near would the nearest be by chance?

A direction that is drawn at random has with any fixed one a cosine of mean 0 and standard deviation
1/√d. What is nearest among thousands is further out, and depends on how the vectors of the model
lie; so it is measured, with directions from a seed.
"""

from collections.abc import Iterator
from typing import Final, NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ingest.relations.neighbours.relation import Relation
from ingest.relations.neighbours.unit_rows import UnitRows, normalise_rows

QUANTILES: Final = (0.0, 0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 1.0)
Directions = Float[Tensor, "directions d_model"]


class RandomQuantile(NamedTuple):
    """A quantile, over random directions, of the largest cosine that each has.

    Attributes:
        layer: The layer of the neuron in whose place the direction stands; None where the lists are
            over all layers anyway.
    """

    layer: int | None
    quantile: float
    cosine: float


def draw_directions(n: int, d_model: int, seed: int, *, centred: bool) -> Directions:
    """Return unit rows drawn evenly from all directions, the same on every device.

    Args:
        n: How many.
        d_model: Their dimensions.
        seed: Seed of the draw.
        centred: Whether they have mean 0 over d, as the vectors of a LayerNorm model.
    """
    # Not torch's generator: a random model made with the same seed would have these very vectors.
    drawn = torch.from_numpy(np.random.default_rng(seed).normal(size=(n, d_model)))
    return normalise_rows(drawn - drawn.mean(1, keepdim=True) if centred else drawn)


@torch.no_grad()
def measure_nearest(
    rows: UnitRows, vector: str, directions: Directions, tile_bytes: float
) -> Float[Tensor, "layers directions"]:
    """Return the largest cosine of each direction with a vector of any neuron of each layer."""
    directions = directions.to(rows.device)
    n_at_once = max(1, int(tile_bytes) // (4 * len(directions)))
    largest = torch.full((rows.n_layers, len(directions)), -torch.inf, device=rows.device)
    for layer in range(rows.n_layers):
        for part in torch.split(rows.read(layer, vector), n_at_once):
            largest[layer] = torch.maximum(largest[layer], (directions @ part.T).amax(1))
    return largest


def summarise_nearest(
    nearest: Float[Tensor, "layers directions"], relation: Relation
) -> Iterator[RandomQuantile]:
    """Yield quantiles of the largest cosine that a direction has in the place of a neuron's.

    Args:
        nearest: The largest in each layer, of the vector that the relation compares with.
        relation: Says which layers a neuron is compared with; where these depend on its own layer
            there are quantiles for each, but for layers that have nobody to be compared with.
    """
    n_layers = len(nearest)
    layers = [None] if relation.is_symmetric else range(n_layers)
    levels = torch.tensor(QUANTILES, dtype=torch.float64)
    for layer in layers:
        partners = relation.lists_partners(layer or 0, n_layers)
        if len(partners) == 0:
            continue
        largest = nearest[partners.start : partners.stop].amax(0).double().cpu()
        for level, cosine in zip(QUANTILES, torch.quantile(largest, levels).tolist(), strict=True):
            yield RandomQuantile(layer, level, cosine)
