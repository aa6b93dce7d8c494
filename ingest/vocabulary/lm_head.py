"""LM-head decoding: the token that a neuron's `in` means (specialised-feature-neurons §2).

The sign of `in` is arbitrary in a gated neuron, whose `out` can take it on, so that −in means a
token too (METHODS §4). Its logits are those of +in negated: both come from the same products.
"""

from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Final

import torch
from jaxtyping import Float
from torch import Tensor

from ingest.vocabulary.candidates import Candidates
from ingest.vocabulary.moments import join_tiles
from ingest.vocabulary.native import Sums
from ingest.vocabulary.products import (
    NEURON_TILE,
    SPLIT_ROWS,
    Operand,
    Precision,
    bound_product_error,
    multiply_tiles,
)
from ingest.vocabulary.scan import Scanned, Vectors, Vocabulary, scan_vocabulary
from ingest.vocabulary.tie_breaking import break_ties
from ingest.weights.token_rows import TokenRows
from neurondb.contracts.tokens import LmHeadTokens
from neurondb.schema.codes import SIDES

N_LARGEST: Final = 100


class LogTotal:
    """The logarithm of the sum of exponentials, in float64 across tiles."""

    def __init__(self, n_neurons: int, device: torch.device) -> None:
        self._largest = torch.full((n_neurons, 1), -torch.inf, device=device)
        self._total = torch.zeros(n_neurons, dtype=torch.float64, device=device)

    def add(self, logits: Float[Tensor, "neurons tile"]) -> None:
        """Add a tile of logits, whose memory is overwritten."""
        largest = torch.maximum(self._largest, logits.amax(1, keepdim=True))
        self._total *= (self._largest - largest).double().exp()[:, 0]
        self._total += logits.sub_(largest).exp_().sum(1)
        self._largest = largest

    @property
    def value(self) -> Float[Tensor, " neurons"]:
        """The logarithm of each neuron's sum."""
        return self._total.log() + self._largest[:, 0]


class _Side:
    """One side of some neurons' `in`, as the logits pass by."""

    def __init__(self, vectors: Float[Tensor, "neurons d_model"]) -> None:
        self._vectors = vectors
        self._best = Candidates.empty(len(vectors), vectors.device)
        self._total = LogTotal(len(vectors), vectors.device)

    def add(self, logits: Float[Tensor, "neurons tile"], start: int) -> None:
        """Add a tile of logits, which is overwritten."""
        self._best.take(logits, start, N_LARGEST)
        self._total.add(logits)

    def tokens(
        self, unembed: Float[Tensor, "d_vocab d_model"], bound: Float[Tensor, " neurons"] | None
    ) -> LmHeadTokens:
        """Return the most probable tokens; −1 where the vector is not finite."""
        scores, ids = break_ties(self._best, unembed, self._vectors, 1, bound)
        normalised = 1 / (self._best.scores.double() - scores).exp().mean(1)
        is_zero = self._vectors.isnan().any(1)
        return LmHeadTokens(
            token_ids=ids[:, 0].masked_fill(is_zero, -1).cpu().numpy(),
            probability=(scores[:, 0] - self._total.value).exp().cpu().numpy(),
            normalised=normalised.cpu().numpy(),
        )


def find_lm_head_tokens(
    raw_in: Float[Tensor, "neurons d_model"],
    unembed_raw: Float[Tensor, "d_vocab d_model"] | Operand,
    sides: Sequence[int] = SIDES,
) -> dict[int, LmHeadTokens]:
    """Return each neuron's most probable token under softmax(U·side·in), nothing preprocessed.

    `normalised` is its probability ÷ the mean of the 100 largest probabilities of that side; a zero
    vector has the token −1. Products are fast where U asks for it and nothing is lost: where both
    are stored in the same 16 bits.

    Args:
        raw_in: `in` as it is stored.
        unembed_raw: U as it is stored.
        sides: the sides of `in` to decode, 1 and −1; the products are computed once.
    """
    right = unembed_raw if isinstance(unembed_raw, Operand) else Operand(unembed_raw)
    is_zero = (raw_in == 0).all(1, keepdim=True)
    vectors = raw_in.masked_fill(is_zero, torch.nan)  # all of its scores would be ties
    left = Operand(vectors, right.half)
    if right.is_rounded or left.is_rounded:
        left, right = Operand(vectors), Operand(right.rows)
    by_side = {side: _Side(vectors * side) for side in sides}
    *first_sides, last_side = sides
    for start, logits in multiply_tiles(left, right):
        for side in first_sides:  # overwrites what it gets: the last side may have the products
            by_side[side].add(side * logits, start)
        by_side[last_side].add(logits.neg_() if last_side < 0 else logits, start)
    bound = bound_product_error(left, right) if left.rounded is not None else None
    return {side: side_logits.tokens(right.rows, bound) for side, side_logits in by_side.items()}


def find_split_lm_head_tokens(
    raw_in: Float[Tensor, "neurons d_model"], unembed_raw: Vocabulary, sides: Sequence[int]
) -> dict[int, LmHeadTokens]:
    """Return what `find_lm_head_tokens` does, by products of pieces in bfloat16.

    Logits of the N_LARGEST tokens are those of float64, and so is what they add to the sum of all
    exponentials; the others', which add less each, are those of fine products.
    """
    is_zero = (raw_in == 0).all(1, keepdim=True)
    vectors = Vectors(raw_in.masked_fill(is_zero, torch.nan))  # all of its scores would be ties
    sums = Sums.of_exponentials(vectors.padded)
    scanned = scan_vocabulary(vectors, unembed_raw, min(N_LARGEST, len(unembed_raw)), sums)
    again = scanned.is_overfull.numpy().nonzero()[0]
    others = find_lm_head_tokens(raw_in[again], unembed_raw.rows, sides) if len(again) else {}
    found = {}
    for side in sides:
        found[side] = _read_side(scanned, side)
        for field in fields(LmHeadTokens) if len(again) else ():
            getattr(found[side], field.name)[again] = getattr(others[side], field.name)
    return found


def _read_side(scanned: Scanned, side: int) -> LmHeadTokens:
    """Return the most probable tokens of one side; −1 where the vector is not finite."""
    direction, n, sums = SIDES.index(side), len(scanned.vectors.rows), scanned.sums
    assert sums.shift is not None
    assert sums.exponentials is not None
    shift = sums.shift[:n, direction, None].double()
    computed = scanned.take_largest(direction).double()  # before the lists are cut to the best
    signed, ids = scanned.settle(direction)
    largest = (side * signed - shift).exp()
    rest = sums.exponentials[:n, direction] - (computed - shift).exp().sum(1)
    total = rest.clamp_min(0) + largest.sum(1)
    arrays = ids[:, 0], largest[:, 0] / total, largest[:, 0] / largest.mean(1)
    return LmHeadTokens(*(array.numpy() for array in arrays))


class LmHead:
    """The LM head of one model, to decode layers with.

    Args:
        unembed_raw: U as it is stored.
        rows: the tokens that its rows are.
        precision: that of the products; by default what suits the device.
    """

    def __init__(
        self,
        unembed_raw: Float[Tensor, "tokens d_model"],
        rows: TokenRows,
        precision: Precision | None = None,
    ) -> None:
        self._rows = rows
        precision = precision or Precision.for_device(unembed_raw.device, len(unembed_raw))
        self._unembed: Operand | Vocabulary = (
            Vocabulary(unembed_raw, fine=True)
            if precision is Precision.SPLIT
            else Operand.at_precision(unembed_raw, precision)
        )

    def decode(
        self, raw_in: Float[Tensor, "neurons d_model"], sides: Sequence[int]
    ) -> dict[int, LmHeadTokens]:
        """Return a layer's most probable tokens, by side of `in` as it is stored."""
        tiles = [self._decode(tile, sides) for tile in self._split(raw_in)]
        by_side = {side: join_tiles([tile[side] for tile in tiles]) for side in sides}
        return {
            side: replace(tokens, token_ids=self._rows.to_token_ids(tokens.token_ids))
            for side, tokens in by_side.items()
        }

    def _split(self, raw_in: Tensor) -> tuple[Tensor, ...]:
        fast = isinstance(self._unembed, Vocabulary)
        device = NEURON_TILE.get(raw_in.device.type, NEURON_TILE["cpu"])
        return torch.split(raw_in, SPLIT_ROWS if fast else device)

    def _decode(self, raw_in: Tensor, sides: Sequence[int]) -> dict[int, LmHeadTokens]:
        if isinstance(self._unembed, Vocabulary):
            return find_split_lm_head_tokens(raw_in, self._unembed, sides)
        return find_lm_head_tokens(raw_in, self._unembed, sides)
