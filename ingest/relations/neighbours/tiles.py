"""Tiles of cosines, and the lists of largest and smallest ones that are kept while tiles pass by.

A tile is the product of some neurons' unit rows with some others'. It serves both: its rows go into
the lists of the ones, its columns into those of the others, so that of a symmetric relation half
the products are enough. What a list has already tells which cosines of a tile cannot enter it, so
that few are looked at one by one: in C where it can be compiled (`ingest.relations.native`), by
`ingest.vocabulary.candidates` elsewhere and on GPUs.
"""

from collections.abc import Callable
from math import isqrt
from typing import NamedTuple, Protocol

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ingest.relations import native
from ingest.relations.native import SIGNS
from ingest.relations.neighbours.relation import Relation, iterate_layer_pairs
from ingest.relations.neighbours.unit_rows import UnitRows
from ingest.relations.strongest import TileLists
from ingest.vocabulary.candidates import Candidates

Scores = Float[Tensor, "rows columns"]
Report = Callable[[int, int], None]
"""Is told which two layers have been multiplied."""


class SignedLists(NamedTuple):
    """Two lists for each of N neurons: its largest positive cosines and its most negative ones.

    Attributes:
        scores: The cosines times the sign of the list, so that larger is nearer; descending.
        ids: The neurons that they are with, numbered through the model; meaningless where the score
            is −∞, which stands where a list has no more.
    """

    scores: Float[Tensor, "signs neurons entries"]
    ids: Int[Tensor, "signs neurons entries"]


class NeuronLists(TileLists, Protocol):
    """The lists of a model's neurons while tiles pass by; numbers of both are neurons'."""

    def join(self, n_neurons: int) -> SignedLists:
        """Return the lists of all neurons; those of which no tile was added have no entry."""
        ...


class CompiledNeuronLists(native.CompiledLists):
    """Lists that the compiled library keeps, of cosines in float32 on a processor."""

    def join(self, n_neurons: int) -> SignedLists:
        """See `NeuronLists`."""
        return SignedLists(self.scores[:, :n_neurons], self.ids[:, :n_neurons])


class SignedCandidates:
    """What may stand in the lists of a model's neurons, block by block of neurons.

    Args:
        count: Entries of a list.
        device: Where the cosines are.
    """

    def __init__(self, count: int, device: torch.device) -> None:
        self._count, self._device = count, device
        self._blocks: dict[int, tuple[Candidates, Candidates]] = {}

    def add_rows(self, tile: Scores, first_list: int, first_id: int) -> None:
        """See `TileLists`; the first list is each time that of a block."""
        if first_list not in self._blocks:
            near, far = (Candidates.empty(len(tile), self._device) for _ in SIGNS)
            self._blocks[first_list] = near, far
        for sign, kept in zip(SIGNS, self._blocks[first_list], strict=True):
            kept.take(tile, first_id, self._count, smallest=sign < 0)

    def add_columns(self, tile: Scores, first_list: int, first_id: int) -> None:
        """See `TileLists`."""
        self.add_rows(tile.T, first_list, first_id)

    def join(self, n_neurons: int) -> SignedLists:
        """See `NeuronLists`."""
        shape = (2, n_neurons, self._count)
        scores = torch.full(shape, -torch.inf, device=self._device)
        ids = torch.zeros(shape, device=self._device, dtype=torch.int64)
        for first, of_block in self._blocks.items():
            for place, kept in enumerate(of_block):
                n, width = kept.scores.shape
                scores[place, first : first + n, :width] = kept.scores
                ids[place, first : first + n, :width] = kept.token_ids
        return SignedLists(scores, ids)


def make_lists(count: int, rows: UnitRows) -> NeuronLists:
    """Return empty lists of `count` entries for cosines in float32, where the rows are."""
    if native.can_read(rows.device):
        return CompiledNeuronLists(rows.n_total, count)
    return SignedCandidates(count, rows.device)


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
        if native.can_read(scores.device):
            found = native.measure_moments(scores)
            self.largest[own, other] = max(float(self.largest[own, other]), found.largest)
            self.smallest[own, other] = min(float(self.smallest[own, other]), found.smallest)
            self.total[own, other] += found.total
            self.squares[own, other] += found.squares
            return
        smallest, largest = scores.aminmax()
        self.largest[own, other] = torch.maximum(self.largest[own, other], largest)
        self.smallest[own, other] = torch.minimum(self.smallest[own, other], smallest)
        self.total[own, other] += scores.sum()
        self.squares[own, other] += torch.linalg.vector_norm(scores).double() ** 2


class Swept(NamedTuple):
    """What a sweep over all pairs leaves.

    Attributes:
        there: The lists of the neurons whose `own` vector is compared.
        back: Those of the others; of a symmetric relation they are one.
        moments: Of the cosines by pair of layers; None of a symmetric relation, which has no use
            for them.
    """

    there: SignedLists
    back: SignedLists
    moments: PairMoments | None


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
    there = make_lists(count, rows)
    back = there if relation.is_symmetric else make_lists(count, rows)
    moments = None if relation.is_symmetric else PairMoments(rows.n_layers, rows.device)
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
                if first == first_other:
                    scores.fill_diagonal_(0)  # which no list takes: no neuron neighbours itself
                else:
                    back.add_columns(scores, first_other, first)
                there.add_rows(scores, first, first_other)
                if moments is not None:
                    moments.add(own, other, scores)
        report(own, other)
    lists = there.join(rows.n_total)
    return Swept(lists, lists if back is there else back.join(rows.n_total), moments)
