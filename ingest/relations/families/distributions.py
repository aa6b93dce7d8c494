"""What box plots of single neurons are drawn from: quantiles of activations, part by part.

universal-neurons Fig. 4, 16–19, 21, 22 part a neuron's activations by a test, and those of words by
the place in a word; Fig. 20 by position; Fig. 25 by the true next token.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from numpy.typing import NDArray
from torch import Tensor

from ingest.forward import Batch, MLPActivations
from ingest.relations.families.catalogue import UNIGRAM
from ingest.relations.families.labelling import Labeller, NamedTest
from ingest.relations.families.words import PLACES
from neurondb.contracts.families import LayerFamilies, Part
from neurondb.neurons import NeuronPlace
from neurondb.schema.tables.families import ALL_CASES

QUANTILES: Final = (0.05, 0.25, 0.5, 0.75, 0.95)
HOLDS, ELSEWHERE = "holds", "elsewhere"
N_NEXT: Final = 12
"""Next tokens of the largest |mean| that are kept of a neuron."""
LEAST_NEXT: Final = 5
"""Tokens after which a next token's mean says something."""
SINGLE_POSITIONS: Final = 16
"""Positions before it are parts of their own; beyond, a part ends at twice where it begins."""
MOST_TOKENS: Final = 200_000
"""Tokens whose activations are kept until the quantiles are taken."""


class Shown(NamedTuple):
    """A neuron whose distribution is kept, and the test that explains it best."""

    place: NeuronPlace
    test: int


def choose_shown(
    layers: Sequence[LayerFamilies], tests: Sequence[NamedTest], k: int
) -> list[Shown]:
    """Return the k neurons of each family whose best test of all is one of it, by score."""
    by_family: dict[str, list[tuple[float, NeuronPlace, int]]] = {}
    for layer in layers:
        for rows in layer.cases:
            if rows.case_id == ALL_CASES:
                for i in np.flatnonzero(rows.rank == 0).tolist():
                    place = NeuronPlace(layer.layer, int(rows.neuron[i]))
                    test = int(rows.test[i])
                    score = -float(rows.score[i])
                    by_family.setdefault(tests[test].family, []).append((score, place, test))
    best = [one for found in by_family.values() for one in sorted(found)[:k]]
    return sorted(Shown(place, test) for _, place, test in best)


@dataclass
class ShownValues:
    """A `Consumer` that keeps what some neurons do at every counted token.

    Args:
        shown: the neurons.
        signs: the neurons' canonical signs by layer.
        counted: tells which tokens of a batch count.
    """

    shown: Sequence[Shown]
    signs: Mapping[int, Tensor]
    counted: Callable[[Batch], Bool[Tensor, "texts positions"]]

    def __post_init__(self) -> None:
        self._columns = {
            layer: torch.tensor(
                [one.place.neuron for one in self.shown if one.place.layer == layer]
            )
            for layer in sorted({one.place.layer for one in self.shown})
        }
        self._values: dict[int, list[Tensor]] = {layer: [] for layer in self._columns}

    @property
    def layers(self) -> Collection[int]:
        """The layers of the neurons."""
        return self._columns

    def consume(self, batch: Batch, layer: int, activations: MLPActivations) -> None:
        """Keep a layer's canonical hook_post of the neurons."""
        columns = self._columns[layer].to(activations.post.device)
        post = activations.post[..., columns][self.counted(batch)].float()
        if activations.gate is not None:
            post = post * self.signs[layer][columns]
        self._values[layer].append(post.cpu())

    def join(self) -> Float[NDArray[np.float64], "neurons tokens"]:
        """Return the values of all tokens, in the order of the batches."""
        joined = [torch.cat(of_layer) for of_layer in self._values.values()]
        return torch.cat(joined, dim=1).T.double().numpy()


class TokenFacts(NamedTuple):
    """What the parts of the kept tokens are made by, token by token.

    Attributes:
        holds: the tests of the shown neurons, in the order of these.
        word: the place in a word, by its number in `PLACES`; −1 outside of words.
        position: the position.
        next_id: the token after it; −1 at the end of a text.
    """

    holds: Bool[NDArray[np.bool_], "tokens neurons"]
    word: Int[NDArray[np.int64], " tokens"]
    position: Int[NDArray[np.int64], " tokens"]
    next_id: Int[NDArray[np.int64], " tokens"]

    @classmethod
    def read(
        cls,
        batches: Sequence[Batch],
        labeller: Labeller,
        shown: Sequence[Shown],
        counted: Callable[[Batch], Bool[Tensor, "texts positions"]],
    ) -> TokenFacts:
        """Return those of the counted tokens of some batches, in their order."""
        chosen = labeller.keep(torch.tensor([one.test for one in shown], dtype=torch.int64))
        parts: list[tuple[Tensor, ...]] = []
        for batch in batches:
            of_batch = counted(batch)
            word = labeller.parts.find_places(batch.token_ids, batch.lengths)
            number = torch.where(word.any(2), word.int().argmax(2), -1)
            position = torch.arange(batch.token_ids.shape[1], device=number.device)
            following = torch.full_like(batch.token_ids, -1)
            following[:, :-1] = batch.token_ids[:, 1:]
            following[position + 1 >= batch.lengths[:, None]] = -1
            columns = (number, position.expand_as(number), following)
            parts.append((chosen.label(batch, of_batch), *(one[of_batch] for one in columns)))
        return cls(*(torch.cat(one).cpu().numpy() for one in zip(*parts, strict=True)))


def describe_parts(
    shown: Sequence[Shown],
    neuron_ids: Sequence[int],
    values: Float[NDArray[np.float64], "neurons tokens"],
    facts: TokenFacts,
    tests: Sequence[NamedTest],
    find_text: Callable[[int], str],
) -> Iterator[Part]:
    """Yield the parts of every shown neuron: by its test, by position and by the next token."""
    for i, one in enumerate(shown):
        holds, row = facts.holds[:, i], values[i]
        by_test = {HOLDS: holds}
        if tests[one.test].family == UNIGRAM and (facts.word[holds] >= 0).any():
            by_test = {
                name.replace("_", " "): holds & (facts.word == number)
                for number, name in enumerate(PLACES)
            }
        by_test |= {ELSEWHERE: ~holds}
        next_ids = _choose_next(row, facts.next_id)
        by_next = {find_text(token): facts.next_id == token for token in next_ids}
        for split, parts in (
            ("test", by_test),
            ("position", _part_positions(facts.position)),
            ("next_token", by_next),
        ):
            filled = [(name, row[chosen]) for name, chosen in parts.items() if chosen.any()]
            for place, (name, some) in enumerate(filled):
                quantiles = tuple(map(float, np.quantile(some, QUANTILES)))
                mean = float(some.mean())
                yield Part(neuron_ids[i], split, place, name, len(some), mean, quantiles)  # type: ignore[arg-type]


def _part_positions(position: NDArray[np.int64]) -> dict[str, NDArray[np.bool_]]:
    parts = {str(n): position == n for n in range(SINGLE_POSITIONS)}
    first = SINGLE_POSITIONS
    while first <= position.max():
        parts[f"{first}–{2 * first - 1}"] = (position >= first) & (position < 2 * first)
        first *= 2
    return parts


def _choose_next(row: NDArray[np.float64], next_id: NDArray[np.int64]) -> list[int]:
    """Return the next tokens before which a neuron's |mean| is largest, the largest mean first."""
    known = next_id >= 0
    ids, place, n = np.unique(next_id[known], return_inverse=True, return_counts=True)
    if not len(ids):
        return []
    mean = np.bincount(place, weights=row[known]) / n
    usable = np.flatnonzero(n >= min(LEAST_NEXT, int(n.max())))
    chosen = usable[np.argsort(-np.abs(mean[usable]), kind="stable")[:N_NEXT]]
    return [int(ids[i]) for i in chosen[np.argsort(-mean[chosen], kind="stable")]]
