"""A layer's neurons against both bases of a model's vocabulary."""

from dataclasses import replace
from functools import cached_property
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from ingest.vocabulary.comparison import Comparison, SplitComparison, TiledComparison
from ingest.vocabulary.lm_head import LmHead
from ingest.vocabulary.moments import Spread, cut_tiles, join_tiles, record_vocabulary_moments
from ingest.vocabulary.products import NEURON_TILE, SPLIT_ROWS, Precision
from ingest.vocabulary.scan import LONGEST
from ingest.weights.preprocess import NeuronVectors
from ingest.weights.token_rows import TokenRows
from neurondb.contracts.vocabulary import TokenList, VocabularyMoments, VocabularyRecord
from neurondb.schema.codes import VECTORS, encode_token_list, list_sides


class _Compared(NamedTuple):
    """A tile of vectors against both bases: lists by basis and direction, and moments under U."""

    lists: dict[tuple[int, int], TokenList]
    moments: VocabularyMoments


def normalise_rows(rows: Float[Tensor, "rows d_model"]) -> Float[Tensor, "rows d_model"]:
    """Return rows of length one; a zero row stays: such a token is orthogonal to everything."""
    norms: Tensor = torch.linalg.vector_norm(rows, dim=1)
    return rows / norms.clamp_min(torch.finfo(torch.float32).tiny)[:, None]


class Projector:
    """Projects neurons onto the vocabulary of one model.

    Keeps U and E with rows of unit length, and the raw U as it is given: float32, twice tokens ×
    d_model (half as much again where products are of float16); everything else is a tile.

    Third and fourth moments come from the products as they are computed. Inputs of float16 are off
    by at most 2⁻¹¹ of themselves, so a cosine by 0.03% of its deviation over the vocabulary, and of
    V tokens skewness and kurtosis by some 0.005/√V. The pieces of bfloat16 are products of 16 bits:
    both were measured to be within 10⁻⁵ of float64's, relative to one or to themselves.

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
        precision = precision or Precision.for_device(unembed.device, len(unembed))
        k = min(top_k, len(unembed))
        if precision is Precision.SPLIT and k > LONGEST:
            precision = Precision.EXACT
        self._precision = precision
        self._unit_unembed = normalise_rows(unembed)
        bases = self._unit_unembed, normalise_rows(embed)
        self._comparison: Comparison = (
            SplitComparison(bases, k, lambda: self._cosines)
            if precision is Precision.SPLIT
            else TiledComparison(bases, k, precision, lambda: self._cosines)
        )
        self._head = LmHead(unembed_raw, self._token_rows, precision)
        self._dots = Spread(unembed, precision)

    @cached_property
    def _cosines(self) -> Spread:
        return Spread(self._unit_unembed, self._precision)

    @property
    def unit_unembed(self) -> Float[Tensor, "tokens d_model"]:
        """U with rows of unit length."""
        return self._unit_unembed

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
        named = {name: getattr(vectors, "in_" if name == "in" else name) for name in VECTORS}
        by_code = {VECTORS.index(name): rows for name, rows in named.items() if rows is not None}
        tiles = [
            _cut(self._compare(torch.cat(tile)), len(tile))
            for tile in zip(*map(self._split, by_code.values()), strict=True)
        ]
        lists: dict[int, TokenList] = {}
        moments: dict[int, VocabularyMoments] = {}
        for code, parts in zip(by_code, zip(*tiles, strict=True), strict=True):
            moments[code] = join_tiles([part.moments for part in parts])
            for basis, direction in parts[0].lists:
                joined = join_tiles([part.lists[basis, direction] for part in parts])
                lists[encode_token_list(code, basis, direction)] = self._numbered(joined)
        decoded = self._head.decode(raw_in, list_sides(gated=vectors.gate is not None))
        return VocabularyRecord(lists, moments, decoded)

    def _split(self, rows: Float[Tensor, "neurons d_model"]) -> tuple[Tensor, ...]:
        """Return tiles of the neurons; tiles of all vectors are compared together."""
        size = NEURON_TILE.get(rows.device.type, NEURON_TILE["cpu"])
        if self._precision is Precision.SPLIT:
            size = SPLIT_ROWS
        return torch.split(rows, size // len(VECTORS))

    def _numbered(self, tokens: TokenList) -> TokenList:
        """Return a list with the ids of tokens where their places among the rows stood."""
        return replace(tokens, token_ids=self._token_rows.to_token_ids(tokens.token_ids))

    def _compare(self, rows: Float[Tensor, "tile d_model"]) -> _Compared:
        norms = torch.linalg.vector_norm(rows, dim=1)
        # NaN for a zero vector, and so are its scores: no direction, no tokens
        lists, *moments = self._comparison.compare(rows / norms[:, None])
        dots = self._dots.variance(rows).where(norms > 0, torch.nan)
        return _Compared(
            {
                key: TokenList(
                    ids.masked_fill(norms[:, None] == 0, -1).cpu().numpy(), scores.cpu().numpy()
                )
                for key, (scores, ids) in lists.items()
            },
            record_vocabulary_moments(*moments, dots),
        )


def _cut(compared: _Compared, n: int) -> list[_Compared]:
    """Return what was compared as n parts of equal size."""
    lists = {key: cut_tiles(tokens, n) for key, tokens in compared.lists.items()}
    return [
        _Compared({key: parts[i] for key, parts in lists.items()}, moments)
        for i, moments in enumerate(cut_tiles(compared.moments, n))
    ]
