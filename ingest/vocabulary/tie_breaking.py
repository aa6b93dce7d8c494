"""The order of a token list where float32 scores are too close to tell: float64 decides."""

from typing import Final

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ingest.vocabulary.candidates import Candidates
from ingest.vocabulary.products import NEURON_TILE, Operand, multiply_tiles

SPARE: Final = 8
"""Candidates kept beyond k, to settle ties at the edge of a list."""

FAST_SPARE: Final = 24
"""Candidates kept beyond k where the products are fast: more than normal scores need for their
error."""

WIDENING: Final = 16
"""How many times more candidates a list gets whose edge they did not settle."""

FLOAT32_CLOSE: Final = 2e-6
"""Float32 scores closer than this may be equal, or in the other order: float64 decides."""

BLOCK_ELEMENTS: Final = {"cpu": 2**20, "cuda": 2**23}
"""Elements of the rows that are gathered at a time: what is made of them stays in a GPU's cache."""


def count_spare(error: Tensor | None) -> int:
    """Return how many candidates to keep beyond k: more where products have an error."""
    return SPARE if error is None else FAST_SPARE


def break_ties(
    candidates: Candidates,
    basis: Tensor,
    vectors: Tensor,
    k: int,
    error: Float[Tensor, " neurons"] | None = None,
) -> tuple[Float[Tensor, "neurons k"], Int[Tensor, "neurons k"]]:
    """Order candidates by score, ties by token id, and return the first k.

    Scores that float32 cannot tell apart are computed again in float64. A list whose edge falls
    among such scores is looked for again with more candidates, in float32, to the whole vocabulary
    if need be.

    Args:
        candidates: each neuron's best; every other token scores at or below the last of them.
        basis: the matrix whose rows the tokens are.
        vectors: the neurons' vectors, which the rows are multiplied with.
        k: the length of the list.
        error: how far the scores may be from those of float32; None where they are those.
    """
    scores, ids = candidates.scores, candidates.token_ids
    unsettled = torch.zeros(len(scores), dtype=torch.bool, device=scores.device)
    if error is not None:
        scores, unsettled = _rescore_in_float32(candidates, basis, vectors, k, error)
    scores, ids = _order(scores.double(), ids)
    if scores.shape[1] == 0:
        return scores, ids
    edge = min(k, scores.shape[1]) - 1
    near = FLOAT32_CLOSE * scores.abs().amax(1).clamp_min(1)
    close = ((scores[:, :-1] - scores[:, 1:])[:, :k] < near[:, None]).any(1)
    contenders = (scores > (scores[:, edge] - near)[:, None]) & close[:, None]
    if len(basis) > scores.shape[1]:
        unsettled |= contenders[:, -1]
    rows, place = (contenders & ~unsettled[:, None]).nonzero(as_tuple=True)
    # Rounded so that equal rows of the basis tie, in whatever order their products were summed.
    exact = compute_dots(basis, ids[rows, place], vectors, rows, torch.float64).round(decimals=12)
    scores[rows, place] = exact
    scores, ids = _order(scores, ids)
    scores, ids = scores[:, :k], ids[:, :k]
    unsettled_rows = unsettled.nonzero().squeeze(1)
    for part in torch.split(unsettled_rows, NEURON_TILE["cpu"]) if len(unsettled_rows) else ():
        wider = _search(basis, vectors[part], WIDENING * candidates.scores.shape[1])
        # Of tokens without a score there are no more to be found.
        if wider.scores.shape[1] > candidates.scores.shape[1]:
            scores[part], ids[part] = break_ties(wider, basis, vectors[part], k)
    return scores, ids


def _rescore_in_float32(
    candidates: Candidates, basis: Tensor, vectors: Tensor, k: int, error: Tensor
) -> tuple[Tensor, Tensor]:
    """Return the scores in float32 where it matters, and which lists that does not settle.

    Another token than the candidates scores in float32 at most `error` above the last of them.
    """
    scores = candidates.scores.clone()
    edge = min(k, scores.shape[1]) - 1
    # a candidate more than twice the error below the k-th is not among the first k
    rows, place = (scores >= (scores[:, edge] - 2 * error)[:, None]).nonzero(as_tuple=True)
    scores[rows, place] = compute_dots(
        basis, candidates.token_ids[rows, place], vectors, rows, torch.float32
    )
    if len(basis) <= scores.shape[1]:
        return scores, torch.zeros(len(scores), dtype=torch.bool, device=scores.device)
    least = scores.topk(edge + 1, dim=1).values[:, -1]
    near = FLOAT32_CLOSE * scores.abs().amax(1).clamp_min(1)
    return scores, least - near < candidates.scores[:, -1] + error


def _search(basis: Tensor, vectors: Tensor, keep: int) -> Candidates:
    candidates = Candidates.empty(len(vectors), vectors.device)
    for start, scores in multiply_tiles(Operand(vectors), Operand(basis)):
        candidates.take(scores, start, keep)
    return candidates


def _order(scores: Tensor, ids: Tensor) -> tuple[Tensor, Tensor]:
    ids, by_id = ids.sort(dim=1)
    scores, by_score = scores.gather(1, by_id).sort(dim=1, descending=True, stable=True)
    return scores, ids.gather(1, by_score)


def compute_dots(
    basis: Tensor, ids: Tensor, vectors: Tensor, rows: Tensor, dtype: torch.dtype
) -> Float[Tensor, " pairs"]:
    """Return the products of rows of the basis with vectors, pair by pair."""
    elements = BLOCK_ELEMENTS.get(basis.device.type, BLOCK_ELEMENTS["cpu"])
    step = max(1, elements // basis.shape[1])
    pairs = zip(torch.split(ids, step), torch.split(rows, step), strict=True)
    dots = [(basis[i].to(dtype) * vectors[r].to(dtype)).sum(1) for i, r in pairs]
    return torch.cat(dots)
