"""How far each neuron moves each later head's attention to BOS, beside random directions.

METHODS §7; universal-neurons §5.3, Figure 8a. A random unit vector in d dimensions has the score
‖direction‖ · cos, whose mean is 0 and whose standard deviation is ‖direction‖/√d exactly (√(d−1)
behind a LayerNorm, where vectors have no mean). Scores are standardised by it, so that they compare
across heads and models and need no sample; a seeded sample of random directions stands beside the
distribution of all scores.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Final

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ingest.relations import native
from ingest.relations.native import SIGNS
from ingest.relations.strongest import make_lists

STRONG: Final = 4.0
"""Standard deviations from which a neuron counts as one that activates or deactivates a head. Of
random directions 1 in 31,600 is beyond it on a side."""
BINS_A_DEVIATION: Final = 4
"""Bins of the distributions, a standard deviation of random directions."""
CACHED: Final = 1 << 20
"""Scores of a tile that stays in a processor's cache while it is looked through."""


@dataclass(frozen=True)
class HeadDirections:
    """The heads of all layers, one after the other, and the direction of each.

    Attributes:
        direction: The vector whose product with out/‖out‖ is the score.
        deviation: Standard deviation of a random direction's score.
        n_heads: Heads of a layer.
        centred: Whether vectors have no mean, as behind a LayerNorm.
    """

    direction: Float[Tensor, "all_heads d_model"]
    deviation: Float[Tensor, " all_heads"]
    n_heads: int
    centred: bool

    @classmethod
    def stack(
        cls, of_layers: Sequence[Float[Tensor, "heads d_model"]], *, centred: bool
    ) -> HeadDirections:
        """Return the heads of all layers, from the directions of each layer's."""
        direction = torch.cat(list(of_layers))
        dimensions = direction.shape[1] - int(centred)
        deviation = torch.linalg.vector_norm(direction, dim=1) / math.sqrt(dimensions)
        return cls(direction, deviation, len(of_layers[0]), centred)

    @property
    def n_layers(self) -> int:
        """How many layers there are."""
        return len(self.direction) // self.n_heads

    def first_after(self, layer: int) -> int:
        """Return the place of the first head that a layer's neurons can act on."""
        return (layer + 1) * self.n_heads

    def n_pairs(self, n_neurons: int) -> int:
        """Return how many pairs of a neuron and a later head there are, `n_neurons` a layer."""
        return n_neurons * self.n_heads * self.n_layers * (self.n_layers - 1) // 2

    def pooled_deviation(self) -> float:
        """Return the standard deviation of random directions' scores over all pairs."""
        layer = torch.arange(self.n_layers, device=self.deviation.device)
        weight = layer.repeat_interleave(self.n_heads).to(self.deviation.dtype)
        return math.sqrt(float((self.deviation**2 * weight).sum() / weight.sum().clamp(min=1)))


def normalise(vectors: Float[Tensor, "neurons d_model"]) -> Float[Tensor, "neurons d_model"]:
    """Return vectors of unit length; NaN throughout for a vector that is zero."""
    lengths: Tensor = torch.linalg.vector_norm(vectors, dim=1, keepdim=True)
    return vectors / lengths


def draw_directions(
    n: int, d_model: int, seed: int, *, centred: bool
) -> Float[Tensor, "directions d_model"]:
    """Return random unit vectors: Gaussian, centred where neurons' vectors are, then normalised."""
    drawn = torch.randn(n, d_model, generator=torch.Generator().manual_seed(seed))
    return normalise(drawn - drawn.mean(dim=1, keepdim=True) if centred else drawn)


class Bins:
    """Counts of scores of neurons and of random directions, in bins of equal width.

    Args:
        width: The width of a bin.
        largest: A bound of |score|.
        device: Where scores are.
    """

    def __init__(self, width: float, largest: float, device: torch.device) -> None:
        self.width = width if width > 0 else 1.0
        self.half = max(1, math.ceil(largest / self.width) + 1)
        self.n_neurons = torch.zeros(2 * self.half, dtype=torch.int64, device=device)
        self.n_random = torch.zeros_like(self.n_neurons)

    def count(
        self, values: Tensor, scale: Float[Tensor, " columns"] | None = None
    ) -> Int[Tensor, " bins"]:
        """Return how many values, each column's multiplied by its scale, are in each bin."""
        if native.can_read(values.device):
            return native.count_bins(values, scale, self.width, self.half)
        values = values if scale is None else values * scale
        places = (values / self.width).floor_().add_(self.half).clamp_(0, 2 * self.half - 1)
        return torch.bincount(places.flatten().int(), minlength=2 * self.half)

    def leave_out(self, n: Tensor) -> None:
        """Take back scores of 0 that are none: those of vectors without a direction."""
        self.n_neurons[self.half] -= n

    def low(self) -> Float[Tensor, " bins"]:
        """Return the lower edge of each bin."""
        return (torch.arange(2 * self.half, dtype=torch.float64) - self.half) * self.width


@dataclass(frozen=True)
class HeadTop:
    """The strongest neurons of each head on one side, the strongest first.

    Attributes:
        score: Standardised, −∞ where a place is empty.
        neuron: The neuron's number in the whole model.
    """

    score: Float[Tensor, "all_heads places"]
    neuron: Int[Tensor, "all_heads places"]


@dataclass(frozen=True)
class LayerTop:
    """The strongest heads of a layer's neurons on one side, the strongest first.

    Attributes:
        score: Standardised and of this side, so positive; −∞ where a place is empty.
        head: The head's place among all.
    """

    score: Float[Tensor, "neurons places"]
    head: Int[Tensor, "neurons places"]


class ScoreScan:
    """All scores of a model, layer by layer: their distributions, and the strongest of each kind.

    Args:
        heads: The directions of all heads.
        per_neuron: Heads kept of a neuron on each side.
        per_head: Neurons kept of a head on each side.
        tile: Scores that are held at a time.
    """

    def __init__(
        self, heads: HeadDirections, *, per_neuron: int, per_head: int, tile: int = 1 << 24
    ) -> None:
        self.heads = heads
        self._units = (heads.direction / heads.deviation[:, None]).float().nan_to_num(nan=0.0)
        self._scale = heads.deviation.float()
        self._per_neuron = per_neuron
        device, n_all = heads.direction.device, len(heads.direction)
        bound = math.sqrt(heads.direction.shape[1])
        self.standardised = Bins(1 / BINS_A_DEVIATION, bound, device)
        largest = float(heads.deviation.max()) * bound
        self.scores = Bins(heads.pooled_deviation() / BINS_A_DEVIATION, largest, device)
        self.n_strong = {
            sign: torch.zeros(n_all, dtype=torch.int64, device=device) for sign in SIGNS
        }
        self._of_heads = make_lists(n_all, per_head, device)
        self.of_heads = {
            sign: HeadTop(self._of_heads.scores[place], self._of_heads.ids[place])
            for place, sign in enumerate(SIGNS)
        }
        self._is_native = native.can_read(device)
        self._tile = min(tile, CACHED) if self._is_native else tile

    @torch.inference_mode()
    def add_layer(
        self, layer: int, vectors: Float[Tensor, "neurons d_model"]
    ) -> dict[int, LayerTop]:
        """Compare a layer's out vectors with all later heads; return the strongest by side.

        The last layer, behind which there is no head, adds nothing.
        """
        first = self.heads.first_after(layer)
        n_later, n_neurons = len(self._units) - first, len(vectors)
        if n_later == 0:
            return {}
        vectors = vectors.float()
        lengths = torch.linalg.vector_norm(vectors, dim=1, keepdim=True)
        units = vectors / lengths.masked_fill(lengths == 0, 1)
        for bins in (self.standardised, self.scores):
            bins.leave_out((lengths == 0).sum() * n_later)
        of_neurons = make_lists(n_neurons, min(self._per_neuron, n_later), units.device)
        done = 0
        for chunk in torch.split(units, max(1, self._tile // n_later)):
            found = chunk @ self._units[first:].T
            self.standardised.n_neurons += self.standardised.count(found)
            self.scores.n_neurons += self.scores.count(found, self._scale[first:])
            of_neurons.add_rows(found, done, first)
            self._of_heads.add_columns(found, first, layer * n_neurons + done)
            self._count_strong(found, first)
            done += len(chunk)
        return {
            sign: LayerTop(of_neurons.scores[place], of_neurons.ids[place])
            for place, sign in enumerate(SIGNS)
        }

    def _count_strong(self, found: Tensor, first: int) -> None:
        counts = (
            native.count_strong(found, STRONG)
            if self._is_native
            else torch.stack([(sign * found >= STRONG).sum(dim=0) for sign in SIGNS])
        )
        for sign, of_sign in zip(SIGNS, counts, strict=True):
            self.n_strong[sign][first:] += of_sign

    @torch.inference_mode()
    def add_random(self, directions: Float[Tensor, "directions d_model"]) -> None:
        """Count random directions, each as a neuron of every layer before a head."""
        n_heads = self.heads.n_heads
        for layer in range(1, self.heads.n_layers):
            of_layer = slice(layer * n_heads, (layer + 1) * n_heads)
            for chunk in torch.split(directions, max(1, self._tile // n_heads)):
                found = chunk.to(self._units.device) @ self._units[of_layer].T
                self.standardised.n_random += layer * self.standardised.count(found)
                self.scores.n_random += layer * self.scores.count(found, self._scale[of_layer])

    def score_one(self, vector: Float[Tensor, " d_model"], head: int) -> float:
        """Return the standardised score of one neuron at one head."""
        return float(normalise(vector[None].float())[0] @ self._units[head])


def iterate_strongest(scan: ScoreScan) -> Iterator[tuple[int, int, int]]:
    """Yield neuron, head and side of the strongest unstandardised scores, one a head and side.

    The strongest come first, the sides in turn; a neuron is named once.
    """
    by_side: dict[int, list[tuple[int, int]]] = {}
    for sign, top in scan.of_heads.items():
        score = top.score[:, 0] * scan.heads.deviation.float()
        order = score.sort(descending=True, stable=True).indices.tolist()
        by_side[sign] = [(int(top.neuron[h, 0]), h) for h in order if score[h] > 0]
    seen: set[int] = set()
    for pair in zip_longest(by_side[1], by_side[-1]):
        for sign, one in zip((1, -1), pair, strict=True):
            if one is not None and one[0] not in seen:
                seen.add(one[0])
                yield *one, sign
