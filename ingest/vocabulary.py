"""Vocabulary projections: what tokens a neuron reads and writes (METHODS §4).

Everything is done on tiles of neurons × tokens, so memory is bounded whatever the vocabulary.
Sources: weakening-neurons App. E, F; universal-neurons §5.1; specialised-feature-neurons §2.
"""

from dataclasses import dataclass, fields
from typing import Final, NamedTuple, TypeVar

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from ingest.preprocess import NeuronVectors
from neurondb.records import LmHeadTokens, TokenList, VocabularyMoments, VocabularyRecord
from neurondb.schema.codes import BASES, DIRECTIONS, VECTORS, token_list

TOKEN_TILE: Final = 4096
NEURON_TILE: Final = 2048
SPARE: Final = 8
"""Candidates kept beyond k, to settle ties at the edge of a list."""

NEAR: Final = 2e-6
"""Float32 scores closer than this may be equal, or in the other order: float64 decides."""

LM_HEAD_MEAN_OF: Final = 100


class Basis:
    """The rows that vectors are compared with, of unit length in float32."""

    def __init__(self, rows: Float[Tensor, "d_vocab d_model"]) -> None:
        norms = torch.linalg.vector_norm(rows, dim=1)
        # a token whose row is zero is orthogonal to everything rather than everything's NaN
        self.unit = rows / norms.clamp_min(torch.finfo(torch.float32).tiny)[:, None]

    def __len__(self) -> int:
        return len(self.unit)


@dataclass
class Candidates:
    """The largest scores so far of some neurons, unordered."""

    scores: Float[Tensor, "neurons kept"]
    token_ids: Int[Tensor, "neurons kept"]

    @classmethod
    def none(cls, n_neurons: int, device: torch.device) -> "Candidates":
        """Return an empty list for each neuron."""
        return cls(
            torch.empty(n_neurons, 0, device=device),
            torch.empty(n_neurons, 0, dtype=torch.int64, device=device),
        )

    def take(self, scores: Float[Tensor, "neurons tile"], first_id: int, keep: int) -> None:
        """Keep the `keep` largest of what is there and a tile's scores."""
        top, place = scores.topk(min(keep, scores.shape[1]), dim=1, sorted=False)
        both = torch.cat([self.scores, top], dim=1)
        ids = torch.cat([self.token_ids, place + first_id], dim=1)
        self.scores, kept = both.topk(min(keep, both.shape[1]), dim=1)
        self.token_ids = ids.gather(1, kept)


class PowerSums:
    """Sums of the first four powers of the scores over the vocabulary, in float64."""

    def __init__(self, n_neurons: int, device: torch.device) -> None:
        self._sums = torch.zeros(4, n_neurons, dtype=torch.float64, device=device)
        self._n = 0

    def add(self, scores: Float[Tensor, "neurons tile"]) -> None:
        """Add a tile."""
        square = scores * scores
        powers = (scores, square, square * scores, square * square)
        for total, power in zip(self._sums, powers, strict=True):
            total += power.sum(1, dtype=torch.float64)
        self._n += scores.shape[1]

    def moments(self, dot_variance: Tensor) -> VocabularyMoments:
        """Return population moments; kurtosis is Pearson's. NaN for zero vectors."""
        mean, second, third, fourth = self._sums / self._n
        variance = second - mean**2
        m3 = third - 3 * mean * second + 2 * mean**3
        m4 = fourth - 4 * mean * third + 6 * mean**2 * second - 3 * mean**4
        found = (mean, variance, m3 / variance**1.5, m4 / variance**2, dot_variance.double())
        return VocabularyMoments(*(value.cpu().numpy() for value in found))


def _covariance(rows: Float[Tensor, "d_vocab d_model"]) -> Float[Tensor, "d_model d_model"]:
    """Return C such that vᵀ C v is the variance of v's dot product with the rows."""
    mean = rows.mean(0, dtype=torch.float64)
    d = rows.shape[1]
    total = torch.zeros(d, d, dtype=torch.float64, device=rows.device)
    for tile in torch.split(rows, TOKEN_TILE):
        centred = (tile - mean).float()
        total += centred.T @ centred
    return (total / len(rows)).float()


class _Comparison(NamedTuple):
    """A tile of neurons against one basis: a list for each direction, and moments."""

    lists: list[TokenList]
    moments: VocabularyMoments


_Record = TypeVar("_Record", TokenList, VocabularyMoments, LmHeadTokens)


def _joined(parts: list[_Record]) -> _Record:
    """Return the record of all neurons from those of the tiles."""
    arrays = {
        field.name: np.concatenate([getattr(part, field.name) for part in parts])
        for field in fields(parts[0])
    }
    return type(parts[0])(**arrays)


class Projector:
    """Projects neurons onto the vocabulary of one model.

    Keeps U and E with rows of unit length, and the raw U as it is given: float32, twice d_vocab ×
    d_model; everything else is a tile.

    Args:
        unembed: U, preprocessed, float32.
        embed: E, float32.
        unembed_raw: U as it is stored, for LM-head decoding.
        top_k: tokens a list.
    """

    def __init__(
        self,
        unembed: Float[Tensor, "d_vocab d_model"],
        embed: Float[Tensor, "d_vocab d_model"],
        unembed_raw: Float[Tensor, "d_vocab d_model"],
        top_k: int = 16,
    ) -> None:
        self._bases = [{"unembed": Basis(unembed), "embed": Basis(embed)}[b] for b in BASES]
        self._raw = unembed_raw
        self._k = min(top_k, len(unembed))
        self._covariance = _covariance(unembed)

    def project(
        self, vectors: NeuronVectors, raw_in: Float[Tensor, "neurons d_model"]
    ) -> VocabularyRecord:
        """Return a layer's token lists, moments and LM-head tokens.

        Args:
            vectors: preprocessed vectors.
            raw_in: `in` as it is stored, its sign too.
        """
        lists: dict[int, TokenList] = {}
        moments: dict[int, VocabularyMoments] = {}
        for code, name in enumerate(VECTORS):
            rows = getattr(vectors, "in_" if name == "in" else name)
            if rows is None:
                continue
            for b in range(len(BASES)):
                tiles = [self._compare(tile, b) for tile in torch.split(rows, NEURON_TILE)]
                for d in range(len(DIRECTIONS)):
                    lists[token_list(code, b, d)] = _joined([tile.lists[d] for tile in tiles])
                if BASES[b] == "unembed":
                    moments[code] = _joined([tile.moments for tile in tiles])
        heads = [lm_head_tokens(tile, self._raw) for tile in torch.split(raw_in, NEURON_TILE)]
        return VocabularyRecord(lists, moments, _joined(heads))

    def _compare(self, rows: Float[Tensor, "tile d_model"], basis: int) -> "_Comparison":
        norms = torch.linalg.vector_norm(rows, dim=1)
        unit = rows / norms[:, None]  # NaN for a zero vector, and so are its scores
        sums = PowerSums(len(rows), rows.device)
        found = self._sweep(unit, self._bases[basis], sums)
        dot_variance = ((rows @ self._covariance) * rows).sum(1).where(norms > 0, torch.nan)
        lists = []
        for scores, ids in found:
            ids = ids.masked_fill(norms[:, None] == 0, -1)  # no direction, no tokens
            lists.append(TokenList(*(t.cpu().numpy() for t in (ids, scores))))
        return _Comparison(lists, sums.moments(dot_variance))

    def _sweep(self, unit: Tensor, basis: Basis, sums: PowerSums) -> list[tuple[Tensor, Tensor]]:
        """Return scores and token ids of the top and of the bottom list, neurons × k each."""
        keep = self._k + SPARE
        kept = [Candidates.none(len(unit), unit.device) for _ in DIRECTIONS]
        for start in range(0, len(basis), TOKEN_TILE):
            scores = unit @ basis.unit[start : start + TOKEN_TILE].T
            sums.add(scores)
            kept[0].take(scores, start, keep)
            kept[1].take(scores.neg_(), start, keep)
        top = settle(kept[0], basis.unit, unit, self._k)
        bottom = settle(kept[1], basis.unit, -unit, self._k)
        return [top, (-bottom[0], bottom[1])]


def settle(
    found: Candidates, basis: Tensor, vectors: Tensor, k: int
) -> tuple[Float[Tensor, "neurons k"], Int[Tensor, "neurons k"]]:
    """Order candidates by score, ties by token id, and return the first k.

    Scores that float32 cannot tell apart are computed again in float64, for the whole vocabulary
    where the list's edge falls among them.
    """
    scores, ids = _ordered(found.scores.double(), found.token_ids)
    near = NEAR * scores.abs().amax(1).clamp_min(1)
    gaps = scores[:, :-1] - scores[:, 1:]
    close = (gaps[:, :k] < near[:, None]).any(1).nonzero().squeeze(1)
    if len(close):
        again = _exact(basis, vectors, close, ids[close])
        scores[close], ids[close] = _ordered(again, ids[close])
        last, edge = scores[close, -1], scores[close, min(k, scores.shape[1]) - 1]
        beyond = close[(edge - last < near[close]) & (scores.shape[1] < len(basis))]
        for row in beyond.tolist():
            scores[row], ids[row] = _whole_row(basis, vectors[row], scores.shape[1])
    return scores[:, :k], ids[:, :k]


def _ordered(scores: Tensor, ids: Tensor) -> tuple[Tensor, Tensor]:
    ids, by_id = ids.sort(dim=1)
    scores, by_score = scores.gather(1, by_id).sort(dim=1, descending=True, stable=True)
    return scores, ids.gather(1, by_score)


def _exact(basis: Tensor, vectors: Tensor, rows: Tensor, ids: Tensor) -> Tensor:
    # Rounded so that equal rows of the basis tie, in whatever order their products were summed.
    chosen = basis[ids].double()
    return torch.einsum("nkd,nd->nk", chosen, vectors[rows].double()).round(decimals=12)


def _whole_row(basis: Tensor, vector: Tensor, keep: int) -> tuple[Tensor, Tensor]:
    exact = vector.double()
    scores = torch.cat([tile.double() @ exact for tile in torch.split(basis, TOKEN_TILE)])
    ordered, ids = scores.round(decimals=12).sort(descending=True, stable=True)
    return ordered[:keep], ids[:keep]


def lm_head_tokens(
    raw_in: Float[Tensor, "neurons d_model"], unembed_raw: Float[Tensor, "d_vocab d_model"]
) -> LmHeadTokens:
    """Return each neuron's most probable token under softmax(U·in), nothing preprocessed.

    `normalised` is its probability ÷ the mean of the neuron's 100 largest probabilities.
    """
    best = Candidates.none(len(raw_in), raw_in.device)
    log_total = torch.full((len(raw_in),), -torch.inf, dtype=torch.float64, device=raw_in.device)
    for start in range(0, len(unembed_raw), TOKEN_TILE):
        logits = raw_in @ unembed_raw[start : start + TOKEN_TILE].float().T
        log_total = torch.logaddexp(log_total, logits.logsumexp(1).double())
        best.take(logits, start, LM_HEAD_MEAN_OF)
    scores, ids = settle(best, unembed_raw, raw_in, 1)
    largest = best.scores.double()
    normalised = 1 / (largest - scores).exp().mean(1)
    ids = ids.masked_fill((raw_in == 0).all(1, keepdim=True), -1)  # no direction, no token
    return LmHeadTokens(
        token_ids=ids[:, 0].cpu().numpy(),
        probability=(scores[:, 0] - log_total).exp().cpu().numpy(),
        normalised=normalised.cpu().numpy(),
    )
