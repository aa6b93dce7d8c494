"""A layer's neurons against both bases of a model's vocabulary."""

from dataclasses import replace
from functools import cached_property
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from ingest.vocabulary.candidates import Candidates
from ingest.vocabulary.lm_head import LmHead, join_tiles
from ingest.vocabulary.moments import HigherMoments, Spread, record_vocabulary_moments
from ingest.vocabulary.products import (
    NEURON_TILE,
    Operand,
    Precision,
    bound_product_error,
    compute_mean_product,
    multiply_tiles,
)
from ingest.vocabulary.tie_breaking import break_ties, count_spare
from ingest.weights.preprocess import NeuronVectors
from ingest.weights.token_rows import TokenRows
from neurondb.contracts.vocabulary import TokenList, VocabularyMoments, VocabularyRecord
from neurondb.schema.codes import BASES, DIRECTIONS, VECTORS, encode_token_list, list_sides


class _Comparison(NamedTuple):
    """A tile of neurons against both bases: lists by basis and direction, and moments under U."""

    lists: dict[tuple[int, int], TokenList]
    moments: VocabularyMoments


def normalise_rows(rows: Float[Tensor, "rows d_model"]) -> Float[Tensor, "rows d_model"]:
    """Return rows of length one; a zero row stays: such a token is orthogonal to everything."""
    norms: Tensor = torch.linalg.vector_norm(rows, dim=1)
    return rows / norms.clamp_min(torch.finfo(torch.float32).tiny)[:, None]


class Projector:
    """Projects neurons onto the vocabulary of one model.

    Keeps U and E with rows of unit length, and the raw U as it is given: float32, twice tokens ×
    d_model (half as much again where products are fast); everything else is a tile.

    Third and fourth moments come from the products as they are computed. Inputs of fast ones are
    off by at most 2⁻¹¹ of themselves, so a cosine by 0.03% of its deviation over the vocabulary,
    and of V tokens skewness and kurtosis by some 0.005/√V.

    Args:
        unembed: U, preprocessed, float32.
        embed: E, float32.
        unembed_raw: U as it is stored, for LM-head decoding.
        top_k: tokens a list.
        rows: the tokens that the rows of the three are; all, in their order, where it is None.
        precision: that of the products that find candidates; by default what suits the device.
    """

    def __init__(
        self,
        unembed: Float[Tensor, "tokens d_model"],
        embed: Float[Tensor, "tokens d_model"],
        unembed_raw: Float[Tensor, "tokens d_model"],
        top_k: int = 16,
        precision: Precision | None = None,
        *,
        rows: TokenRows | None = None,
    ) -> None:
        self._token_rows = TokenRows(len(unembed)) if rows is None else rows
        self._precision = Precision.for_device(unembed.device) if precision is None else precision
        matrices = {"unembed": unembed, "embed": embed}
        self._bases = [
            Operand.at_precision(normalise_rows(matrices[basis]), self._precision)
            for basis in BASES
        ]
        self._head = LmHead(unembed_raw, self._token_rows, self._precision)
        self._k = min(top_k, len(unembed))
        self._dots = Spread(unembed, self._precision)

    @cached_property
    def _cosines(self) -> Spread:
        return Spread(self.unit_unembed, self._precision)

    @property
    def unit_unembed(self) -> Float[Tensor, "tokens d_model"]:
        """U with rows of unit length."""
        return self._bases[BASES.index("unembed")].rows

    @property
    def covariance(self) -> Float[Tensor, "d_model d_model"]:
        """The population covariance of the rows of `unit_unembed`, in float64."""
        return self._cosines.covariance

    def project(
        self, vectors: NeuronVectors, raw_in: Float[Tensor, "neurons d_model"]
    ) -> VocabularyRecord:
        """Return a layer's token lists, moments and LM-head tokens, of gated neurons at both sides.

        Args:
            vectors: preprocessed vectors.
            raw_in: `in` as it is stored, its sign too.
        """
        size = NEURON_TILE.get(raw_in.device.type, NEURON_TILE["cpu"])
        lists: dict[int, TokenList] = {}
        moments: dict[int, VocabularyMoments] = {}
        for code, name in enumerate(VECTORS):
            rows = getattr(vectors, "in_" if name == "in" else name)
            if rows is None:
                continue
            tiles = [self._compare(tile) for tile in torch.split(rows, size)]
            for basis, direction in tiles[0].lists:
                parts = [tile.lists[basis, direction] for tile in tiles]
                lists[encode_token_list(code, basis, direction)] = self._numbered(join_tiles(parts))
            moments[code] = join_tiles([tile.moments for tile in tiles])
        decoded = self._head.decode(raw_in, list_sides(gated=vectors.gate is not None))
        return VocabularyRecord(lists, moments, decoded)

    def _numbered(self, tokens: TokenList) -> TokenList:
        """Return a list with the ids of tokens where their places among the rows stood."""
        return replace(tokens, token_ids=self._token_rows.to_token_ids(tokens.token_ids))

    def _compare(self, rows: Float[Tensor, "tile d_model"]) -> _Comparison:
        norms = torch.linalg.vector_norm(rows, dim=1)
        # NaN for a zero vector, and so are its scores: no direction, no tokens
        unit = Operand.at_precision(rows / norms[:, None], self._precision)
        mean = compute_mean_product(unit, self._bases[BASES.index("unembed")])
        higher = HigherMoments(mean)
        lists = {}
        for b, name in enumerate(BASES):
            top_and_bottom = self._extreme_tokens(
                unit, self._bases[b], higher if name == "unembed" else None
            )
            for d, (scores, ids) in enumerate(top_and_bottom):
                ids = ids.masked_fill(norms[:, None] == 0, -1)
                lists[b, d] = TokenList(*(t.cpu().numpy() for t in (ids, scores)))
        variance = higher.variance
        if self._precision is Precision.FAST:  # the rounded vectors have others
            mean, variance = self._cosines.mean(unit.rows), self._cosines.variance(unit.rows)
        dots = self._dots.variance(rows).where(norms > 0, torch.nan)
        moments = mean, variance, *higher.standardise(), dots
        return _Comparison(lists, record_vocabulary_moments(*moments))

    def _extreme_tokens(
        self, unit: Operand, basis: Operand, higher: HigherMoments | None
    ) -> list[tuple[Tensor, Tensor]]:
        """Return scores and token ids of the top and of the bottom list, neurons × k each."""
        bound = None if self._precision is Precision.EXACT else bound_product_error(unit, basis)
        keep = self._k + count_spare(bound)
        top, bottom = (Candidates.empty(len(unit), unit.device) for _ in DIRECTIONS)
        for start, scores in multiply_tiles(unit, basis):
            top.take(scores, start, keep)
            bottom.take(scores, start, keep, smallest=True)
            if higher is not None:
                higher.add(scores)
        largest = break_ties(top, basis.rows, unit.rows, self._k, bound)
        smallest = break_ties(bottom, basis.rows, -unit.rows, self._k, bound)
        return [largest, (-smallest[0], smallest[1])]
