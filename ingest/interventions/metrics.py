"""Loss, entropy and rank of every token, from what stands behind the final norm (METHODS §6).

Buffers are in the order of `neurondb.interventions.METRICS`; the fourth, scale, is measured on the
way, by `ingest.forward.prefix_cache`.
"""

from collections.abc import Callable
from typing import Final, NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from ingest.forward import Batch

LOGITS_A_CHUNK: Final = {"cpu": 1 << 25, "cuda": 1 << 27}
"""Logits that exist at a time: 128 MB on a processor, 512 MB on a GPU."""
LOGITS_A_BLOCK: Final = {"cpu": 1 << 19, "cuda": 1 << 27}
"""Those that are looked at together: 2 MB, of the order of a processor's caches."""

_SIZES: Final = (LOGITS_A_CHUNK, LOGITS_A_BLOCK)

Logits = Callable[[Float[Tensor, "tokens d_model"]], Float[Tensor, "tokens d_vocab"]]


class CountedTokens(NamedTuple):
    """Which tokens of a batch count, text by text.

    Attributes:
        mask: True at those that count.
        next_token: The token after each that counts; −1 at the end of a text.
    """

    mask: Bool[Tensor, "texts positions"]
    next_token: Int[Tensor, " tokens"]

    @classmethod
    def from_batch(cls, batch: Batch, *, skip_bos: bool) -> "CountedTokens":
        """Count what is no padding, with `skip_bos` from the second position on."""
        positions = torch.arange(batch.token_ids.shape[1], device=batch.token_ids.device)
        mask = positions < batch.lengths[:, None]
        next_token = batch.token_ids.roll(-1, dims=1)
        next_token = next_token.masked_fill(positions + 1 >= batch.lengths[:, None], -1)
        if skip_bos:
            mask = mask & (positions > 0)
        return cls(mask, next_token[mask])


def compute_token_metrics(
    logits_of: Logits,
    normed: Float[Tensor, "tokens d_model"],
    next_token: Int[Tensor, " tokens"],
    d_vocab: int,
) -> Float[Tensor, "metrics tokens"]:
    """Return loss (nats), entropy (nats) and rank, float32; NaN without a next token.

    Logits exist for some tokens at a time, so that memory is bounded whatever the vocabulary.

    Args:
        logits_of: Computes logits: the model's unembedding.
        normed: The residual stream behind the final norm, which it reads.
        next_token: The correct next tokens, −1 for none.
        d_vocab: Tokens of the vocabulary.
    """
    kind = normed.device.type
    chunk, block = (max(1, sizes.get(kind, sizes["cpu"]) // d_vocab) for sizes in _SIZES)
    parts = [normed.new_empty(3, 0, dtype=torch.float32)]
    for start in range(0, len(normed), chunk):
        logits = logits_of(normed[start : start + chunk])
        targets = next_token[start : start + chunk]
        parts += map(_metrics, torch.split(logits, block), torch.split(targets, block))
    return torch.cat(parts, dim=1)


def _metrics(
    logits: Float[Tensor, "tokens d_vocab"], next_token: Int[Tensor, " tokens"]
) -> Float[Tensor, "metrics tokens"]:
    # x = logit − largest: log Σ exp x is small, so that float32 is good to 1e-6.
    x = logits.float()
    x = x - x.amax(1, keepdim=True)
    correct = x.gather(1, next_token.clamp(min=0)[:, None])
    rank = (x > correct).sum(1).float()
    weights = x.exp()
    total = weights.sum(1)
    log_total = total.log()
    # A logit of −inf has no probability, and nothing times −inf is no number.
    entropy = log_total - weights.mul_(x.clamp_(min=-1e30)).sum(1) / total
    loss = log_total - correct[:, 0]
    ends = next_token < 0
    return torch.stack(
        [loss.masked_fill(ends, torch.nan), entropy, rank.masked_fill(ends, torch.nan)]
    )
