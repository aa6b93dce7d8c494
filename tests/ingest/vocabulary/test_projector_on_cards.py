"""Projections on a card as strict as CUDA: float64's lists of inputs made to fail, few waits."""

import numpy as np
import pytest
import torch
from torch import Tensor

from ingest.vocabulary import Precision, Projector, normalise_rows, products
from ingest.weights.preprocess import NeuronVectors
from neurondb.contracts.vocabulary import VocabularyRecord
from neurondb.schema.codes import BASES, DIRECTIONS, VECTORS
from tests.support.pretend_card import CARD, Cards, pretend_cards

V, D, N, K = 20_000, 64, 24, 16
WAITS_A_TILE = 6
"""Waits for each tile of tokens and direction, at most."""


class Inputs:
    """Vectors and a vocabulary; `tied` has one matrix for both bases."""

    def __init__(self, *, tied: bool) -> None:
        draw = torch.Generator().manual_seed(3)
        self.gate, self.in_, self.out = torch.randn(3, N, D, generator=draw)
        self.unembed = torch.randn(V, D, generator=draw)
        self.unembed[100:400] = self.out[1] + 1e-3 * torch.randn(300, D, generator=draw)
        self.unembed[500:700] = self.out[2]  # 200 tokens of one row
        self.unembed[800:1000] *= 1e4
        self.unembed[1000:1100] *= 1e-6
        self.unembed[1200] = 0
        self.out[3] = 0
        self.out[4] *= 1e5
        self.gate[5] *= 1e-7
        self.in_[6] = self.unembed[7]
        self.embed = self.unembed if tied else torch.randn(V, D, generator=draw)

    def project(self, precision: Precision = Precision.FAST) -> VocabularyRecord:
        """Return the projections, computed on a card."""
        gate, in_, out, unembed, embed = (
            part.to(CARD) for part in (self.gate, self.in_, self.out, self.unembed, self.embed)
        )
        sign = torch.ones(N, dtype=torch.int8, device=CARD)
        projector = Projector(unembed, embed, unembed, K, precision)
        return projector.project(NeuronVectors(gate, in_, out, None, None, sign), in_)

    def list_tokens(self, code: int) -> Tensor:
        """Return the tokens of a list by products in float64, equal scores by token id."""
        place, direction = divmod(code, len(DIRECTIONS))
        vector, basis = divmod(place, len(BASES))
        rows = {"gate": self.gate, "in": self.in_, "out": self.out}[VECTORS[vector]]
        unit = (rows / torch.linalg.vector_norm(rows, dim=1)[:, None]).double()
        against = normalise_rows((self.unembed, self.embed)[basis]).double()
        scores = (unit @ against.T).round(decimals=12)
        scores = scores if DIRECTIONS[direction] == "top" else -scores
        ordered: Tensor = scores.sort(dim=1, descending=True, stable=True).indices
        return ordered[:, :K]


def count_waits(cards: Cards) -> int:
    """Return how often a card was waited for, but for what is sent to it at the beginning."""
    return sum("onto cuda" not in wait for wait in cards.take_waits())


@pytest.mark.parametrize("precision", [Precision.EXACT, Precision.FAST])
@pytest.mark.parametrize("tied", [False, True])
def test_lists_are_float64s_whatever_is_compared(tied: bool, precision: Precision) -> None:
    inputs = Inputs(tied=tied)
    with pretend_cards():
        found = inputs.project(precision)
    for code, tokens in found.lists.items():
        expected = inputs.list_tokens(code).numpy()
        known = (tokens.token_ids >= 0).all(1)
        assert known.sum() >= N - 1
        np.testing.assert_array_equal(tokens.token_ids[known], expected[known])


def test_a_card_is_waited_for_a_few_times_a_tile() -> None:
    inputs = Inputs(tied=False)
    inputs.unembed[100:700] = inputs.unembed[2000:2600]  # nothing that must be looked at twice
    with pretend_cards() as cards:
        inputs.project()
        before = count_waits(cards)
    n_tiles = -(-V // products.TOKEN_TILE["cuda"])
    assert before < 3 * 2 * n_tiles * WAITS_A_TILE + 60


def test_a_card_whose_products_are_worse_than_their_bound_computes_in_float32(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def round_sums(left: Tensor, right: Tensor) -> Tensor:
        return (left.float() @ right.float().T).half().float()

    with pretend_cards():
        assert Precision.for_device(CARD, V) is Precision.FAST
        monkeypatch.setattr(products, "multiply_in_float32", round_sums)
        assert Precision.for_device(CARD, V) is Precision.EXACT
