"""One pass over texts: which tests hold is worked out once a batch, and layers add their sums."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from ingest.forward import Batch, MLPActivations
from ingest.relations.families.labelling import Labeller
from ingest.relations.families.scores import compute_position_information, rank_families
from ingest.relations.families.sums import FamilySums, LabelledTokens
from neurondb.contracts.families import LayerFamilies

Count = Callable[[Batch], Bool[Tensor, "texts positions"]]
"""Tells which tokens of a batch count."""


@dataclass(frozen=True)
class Counts:
    """What is known of the texts before the model runs.

    Attributes:
        of_test: tokens that each test holds for.
        of_position: tokens at each position.
    """

    n_tokens: int
    of_test: Int[Tensor, " tests"]
    of_position: Int[Tensor, " positions"]

    def drop_rare(self, labeller: Labeller, least: int) -> tuple[Labeller, Counts]:
        """Return the tests that hold for `least` tokens or more, and do not hold for as many."""
        usable = (self.of_test >= least) & (self.n_tokens - self.of_test >= least)
        kept = usable.nonzero()[:, 0]
        return labeller.keep(kept), replace(self, of_test=self.of_test[kept])


def count_tests(labeller: Labeller, batches: Sequence[Batch], count: Count) -> Counts:
    """Return how many of the counted tokens each test holds for, and how many are at a position."""
    width = max(batch.token_ids.shape[1] for batch in batches)
    of_test = torch.zeros(len(labeller.names), dtype=torch.int64)
    of_position = torch.zeros(width, dtype=torch.int64)
    for batch in batches:
        counted = count(batch)
        of_test += labeller.label(batch, counted).sum(0)
        of_position[: counted.shape[1]] += counted.sum(0)
    return Counts(int(of_position.sum()), of_test, of_position)


class FamilyPass:
    """Adds what some layers do on batches to their sums: a `Consumer`.

    Args:
        labeller: says which tests hold, on the device of the model.
        signs: the neurons' canonical signs by layer, the same.
        count: tells which tokens of a batch count.
        shape: the number of tests, of neurons and of positions.
        gated: whether the neurons have a gate.
        timed: opens what measures the time that this adds to the pass.
    """

    def __init__(
        self,
        labeller: Labeller,
        signs: Mapping[int, Tensor],
        count: Count,
        shape: tuple[int, int, int],
        *,
        gated: bool,
        timed: Callable[[], AbstractContextManager[None]] = nullcontext,
    ) -> None:
        self._timed = timed
        self._labeller = labeller
        self._signs = signs
        self._count = count
        self._labelled: tuple[Batch, Tensor, LabelledTokens, Tensor] | None = None
        device = labeller.kept.device
        self.sums = {layer: FamilySums.empty(shape, gated=gated, device=device) for layer in signs}

    @property
    def layers(self) -> Collection[int]:
        """The layers that are summed."""
        return self.sums

    def consume(self, batch: Batch, layer: int, activations: MLPActivations) -> None:
        """Add a layer's activations on a batch."""
        with self._timed():
            if self._labelled is None or self._labelled[0] is not batch:
                counted = self._count(batch)
                tests = LabelledTokens.prepare(self._labeller.label(batch, counted))
                rows = counted.flatten().nonzero()[:, 0]  # once a batch: a GPU is waited for
                self._labelled = (batch, counted, tests, rows)
            _, counted, tests, rows = self._labelled
            self.sums[layer].add(activations, self._signs[layer], counted, tests, rows)

    def summarise(self, counts: Counts, least_score: float) -> Iterator[LayerFamilies]:
        """Yield what was found of each layer, whose sums are forgotten then."""
        names = self._labeller.names
        for layer in sorted(self.sums):
            sums = self.sums.pop(layer)
            of_test = counts.of_test.to(sums.total.device)
            of_position = counts.of_position.to(sums.total.device)
            yield LayerFamilies(
                layer,
                list(rank_families(sums, names, of_test, counts.n_tokens, least_score)),
                compute_position_information(sums.fires, of_position),
                int(sums.square.isnan().any(0).sum()),
            )
