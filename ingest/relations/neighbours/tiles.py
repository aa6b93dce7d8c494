"""Tiles of cosines, and the lists of largest and smallest ones that are kept while tiles pass by.

A tile is the product of some neurons' unit rows with some others'. It serves both: its rows go into
the lists of the ones, its columns into those of the others, so that of a symmetric relation half
the products are enough. Nothing in here waits for the device.
"""

from collections.abc import Callable
from math import isqrt
from typing import Final

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ingest.relations.neighbours.relation import Relation, iterate_layer_pairs
from ingest.relations.neighbours.unit_rows import UnitRows

GROUP_SIZE: Final = 16
"""Scores of which the extreme is looked at first: the top k lie in the k groups of highest top."""
SIGNS: Final = (1, -1)
"""Sign of the cosines of a list: the nearest, and the most nearly opposite."""

Scores = Float[Tensor, "rows columns"]
Report = Callable[[int, int], None]
"""Is told which two layers have been multiplied."""


class SignedLists:
    """Two lists for each of N neurons: its largest positive cosines and its most negative ones.

    Attributes:
        scores: 2 × N × count; the cosines times the sign of the list, so that larger is nearer.
        ids: The neurons that they are with, numbered through the model; meaningless where the score
            is −∞, which stands where a list has no more.
    """

    def __init__(
        self, n_neurons: int, count: int, device: torch.device, dtype: torch.dtype = torch.float32
    ) -> None:
        shape = (2, n_neurons, count)
        self.scores = torch.full(shape, -torch.inf, device=device, dtype=dtype)
        self.ids = torch.zeros(shape, device=device, dtype=torch.int32)

    def add(self, first: int, scores: Scores, first_other: int, axis: int = 0) -> None:
        """Let a tile's cosines compete for the lists of the neurons along one of its axes.

        Args:
            first: The number of the first neuron along that axis.
            scores: Cosines; they stay as they are.
            first_other: The number of the first neuron along the other axis.
            axis: 0 where the tile's rows are the neurons whose lists are meant, 1 its columns.
        """
        own = slice(first, first + scores.shape[axis])
        count = self.scores.shape[2]
        for place, sign in enumerate(SIGNS):
            found, at = list_candidates(scores, count, sign, axis)
            both = torch.cat([self.scores[place, own], found], dim=1)
            ids = torch.cat([self.ids[place, own], at.add_(first_other)], dim=1)
            best, order = both.topk(count, dim=1)
            self.scores[place, own] = best
            self.ids[place, own] = ids.gather(1, order)


def list_candidates(
    scores: Scores, count: int, sign: int, axis: int
) -> tuple[Float[Tensor, "neurons some"], Int[Tensor, "neurons some"]]:
    """Return values of sign · score among which are the `count` largest of each row or column.

    With them, their places along the other axis. A maximum over groups is one pass at the speed of
    memory, and only the groups of the highest maxima are looked at again. Groups are of equally
    spaced scores, so that the pass runs along the memory whichever axis is asked for.
    """
    n_others = scores.shape[1 - axis]
    n_groups = n_others // GROUP_SIZE
    if n_groups <= 2 * count:
        few = scores if axis == 0 else scores.T
        at = torch.arange(n_others, device=scores.device, dtype=torch.int32)
        return few * sign, at.repeat(len(few), 1)
    whole = n_groups * GROUP_SIZE
    across = 1 - axis
    shape = [*scores.shape]
    shape[across : across + 1] = [GROUP_SIZE, n_groups]
    grouped = scores.narrow(across, 0, whole).reshape(shape)
    extremes = grouped.amax(across) if sign > 0 else grouped.amin(across).neg_()
    if axis == 1:
        extremes = extremes.T.contiguous()
    chosen = extremes.topk(count, dim=1, sorted=False).indices
    if axis == 0:
        members = grouped.gather(2, chosen[:, None, :].expand(-1, GROUP_SIZE, -1))
    else:
        of_column = grouped.gather(1, chosen.T[None].expand(GROUP_SIZE, -1, -1))
        members = of_column.permute(2, 0, 1)
    offsets = torch.arange(GROUP_SIZE, device=scores.device)[:, None] * n_groups
    at = (offsets + chosen[:, None, :]).int().flatten(1)
    values = members.flatten(1)
    if whole < n_others:
        rest = scores.narrow(across, whole, n_others - whole)
        last = torch.arange(whole, n_others, device=scores.device, dtype=torch.int32)
        values = torch.cat([values, rest if axis == 0 else rest.T], dim=1)
        at = torch.cat([at, last.expand(len(at), -1)], dim=1)
    return values * sign, at


class PairMoments:
    """What is known of all cosines between the neurons of two layers, by pair of layers.

    Attributes:
        largest: The largest cosine of each pair of layers that was multiplied; else −∞.
        smallest: The smallest; else ∞.
        total: The sum of the cosines.
        squares: The sum of their squares.
    """

    def __init__(self, n_layers: int, device: torch.device) -> None:
        shape = (n_layers, n_layers)
        self.largest = torch.full(shape, -torch.inf, device=device)
        self.smallest = torch.full(shape, torch.inf, device=device)
        self.total = torch.zeros(shape, device=device, dtype=torch.float64)
        self.squares = torch.zeros(shape, device=device, dtype=torch.float64)

    def add(self, own: int, other: int, scores: Scores) -> None:
        """Count a tile of these two layers."""
        smallest, largest = scores.aminmax()
        self.largest[own, other] = torch.maximum(self.largest[own, other], largest)
        self.smallest[own, other] = torch.minimum(self.smallest[own, other], smallest)
        self.total[own, other] += scores.sum()
        self.squares[own, other] += torch.linalg.vector_norm(scores).double() ** 2


class Swept:
    """What a sweep over all pairs leaves: both sides' lists, and moments by pair of layers.

    `there` has the lists of the neurons whose `own` vector is compared, `back` those of the others;
    of a symmetric relation they are one.
    """

    def __init__(self, relation: Relation, rows: UnitRows, count: int) -> None:
        self.relation = relation
        self.there = SignedLists(rows.n_total, count, rows.device)
        self.back = self.there
        if not relation.is_symmetric:
            self.back = SignedLists(rows.n_total, count, rows.device)
        self.moments = PairMoments(rows.n_layers, rows.device)


@torch.no_grad()
def sweep_pairs(
    rows: UnitRows, relation: Relation, count: int, tile_bytes: float, report: Report
) -> Swept:
    """Multiply all that a relation compares, and keep every neuron's `count` extremes each way.

    Products are in float32, of which a cosine is known to some 10⁻⁷; `exact` decides between
    neighbours that are closer than that.

    Args:
        rows: The model's vectors.
        relation: What is compared.
        count: Entries of a list that are kept.
        tile_bytes: Bytes of the cosines that exist at a time.
        report: Is told of each pair of layers.
    """
    swept = Swept(relation, rows, count)
    side = max(1, isqrt(int(tile_bytes) // 4))
    for own, other in iterate_layer_pairs(relation, rows.n_layers):
        left, right = rows.read(own, relation.own), rows.read(other, relation.other)
        for start in range(0, len(left), side):
            for start_other in range(0, len(right), side):
                if own == other and start_other < start:
                    continue  # the tile across the diagonal has served both
                scores = left[start : start + side] @ right[start_other : start_other + side].T
                first = own * rows.n_neurons + start
                first_other = other * rows.n_neurons + start_other
                _take_tile(swept, scores, first, first_other, (own, other))
        report(own, other)
    return swept


def _take_tile(
    swept: Swept, scores: Scores, first: int, first_other: int, layers: tuple[int, int]
) -> None:
    is_diagonal = swept.relation.is_symmetric and first == first_other
    if is_diagonal:
        scores.fill_diagonal_(0)  # which no list takes: a neuron is no neighbour of its own
    swept.moments.add(*layers, scores)
    swept.there.add(first, scores, first_other)
    if not is_diagonal:
        swept.back.add(first_other, scores, first, axis=1)
