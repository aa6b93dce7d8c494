"""LM-head decoding: the token that a neuron's `in` means (specialised-feature-neurons §2)."""

from typing import Final

import torch
from jaxtyping import Float
from torch import Tensor

from ingest.vocabulary.candidates import Candidates
from ingest.vocabulary.products import Operand, error, products
from ingest.vocabulary.settling import settle
from neurondb.records import LmHeadTokens

LM_HEAD_MEAN_OF: Final = 100


class LogTotal:
    """The logarithm of the sum of exponentials, in float64 across tiles."""

    def __init__(self, n_neurons: int, device: torch.device) -> None:
        self._largest = torch.full((n_neurons, 1), -torch.inf, device=device)
        self._total = torch.zeros(n_neurons, dtype=torch.float64, device=device)

    def add(self, logits: Float[Tensor, "neurons tile"]) -> None:
        """Add a tile, which is overwritten."""
        largest = torch.maximum(self._largest, logits.amax(1, keepdim=True))
        self._total *= (self._largest - largest).double().exp()[:, 0]
        self._total += logits.sub_(largest).exp_().sum(1)
        self._largest = largest

    @property
    def value(self) -> Float[Tensor, " neurons"]:
        """The logarithms."""
        return self._total.log() + self._largest[:, 0]


def lm_head_tokens(
    raw_in: Float[Tensor, "neurons d_model"],
    unembed_raw: Float[Tensor, "d_vocab d_model"] | Operand,
) -> LmHeadTokens:
    """Return each neuron's most probable token under softmax(U·in), nothing preprocessed.

    `normalised` is its probability ÷ the mean of the neuron's 100 largest probabilities. Products
    are fast where U asks for it and nothing is lost: where both are stored in the same 16 bits.
    """
    right = unembed_raw if isinstance(unembed_raw, Operand) else Operand(unembed_raw)
    nowhere = (raw_in == 0).all(1, keepdim=True)
    vectors = raw_in.masked_fill(nowhere, torch.nan)  # all of its scores would be ties
    left = Operand(vectors, right.half)
    if right.is_rounded or left.is_rounded:
        left, right = Operand(vectors), Operand(right.rows)
    best = Candidates.none(len(left), left.device)
    total = LogTotal(len(left), left.device)
    for start, logits in products(left, right):
        best.take(logits, start, LM_HEAD_MEAN_OF)
        total.add(logits)
    bound = error(left, right) if left.rounded is not None else None
    scores, ids = settle(best, right.rows, vectors, 1, bound)
    normalised = 1 / (best.scores.double() - scores).exp().mean(1)
    ids = ids.masked_fill(nowhere, -1)  # no direction, no token
    return LmHeadTokens(
        token_ids=ids[:, 0].cpu().numpy(),
        probability=(scores[:, 0] - total.value).exp().cpu().numpy(),
        normalised=normalised.cpu().numpy(),
    )
