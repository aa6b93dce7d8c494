"""What heads write where they attend to BOS, beside elsewhere (universal-neurons §5.3).

A head that attends to BOS alone writes W_O v_BOS, the same whatever the text. The paper divides the
mean norm of W_O v over other tokens by its norm: 19.4 at the median head of its GPT2-medium.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from ingest.relations.heads.watching import AttentionCall, compute_pattern

VALUES_AT_ONCE: Final = 1 << 26
"""Attention weights, or numbers written, that are held at a time."""


def measure_bos_norms(
    outputs: Float[Tensor, "heads d_model d_head"], values: Float[Tensor, "key_heads d_head"]
) -> Float[Tensor, " heads"]:
    """Return ‖W_O v‖ of each head, float64."""
    group = len(outputs) // len(values)
    of_heads = values.repeat_interleave(group, dim=0).double()
    written = torch.einsum("hdk,hk->hd", outputs.double(), of_heads)
    norms: Tensor = torch.linalg.vector_norm(written, dim=1)
    return norms


class HeadSums:
    """Sums over positions of what the heads of one layer write and attend to.

    Args:
        outputs: W_O of each head.
    """

    def __init__(self, outputs: Float[Tensor, "heads d_model d_head"]) -> None:
        self._outputs = outputs
        zeros = torch.zeros(len(outputs), dtype=torch.float64, device=outputs.device)
        self.norm, self.attention = zeros, zeros.clone()
        self.n_norm = torch.zeros((), dtype=torch.int64, device=outputs.device)
        self.n_attention = self.n_norm.clone()

    def add(
        self,
        call: AttentionCall,
        others: Int[Tensor, " places"],
        second_halves: Bool[Tensor, "texts positions"],
    ) -> None:
        """Add a batch.

        Args:
            call: The layer's attention.
            others: Positions whose values count, all but the first, texts one after another.
            second_halves: Positions whose attention to BOS counts.
        """
        for head, output in enumerate(self._outputs):
            values = call.value[:, call.key_head(head)].flatten(0, 1)[others].float()
            for part in torch.split(values, max(1, VALUES_AT_ONCE // output.shape[0])):
                norms = torch.linalg.vector_norm(part @ output.T, dim=1)
                self.norm[head] += norms.sum(dtype=torch.float64)
            for texts in _split_texts(call):
                pattern = compute_pattern(texts.call, texts.call.query[:, head], head)[..., 0]
                to_bos = pattern.masked_fill(~second_halves[texts.rows], 0.0)
                self.attention[head] += to_bos.sum(dtype=torch.float64)
        self.n_norm += len(others)
        self.n_attention += second_halves.sum()

    def mean_norm(self) -> Float[Tensor, " heads"]:
        """Return the mean norm of what is written for a token that is not the first."""
        return self.norm / self.n_norm

    def mean_attention(self) -> Float[Tensor, " heads"]:
        """Return the mean attention to BOS."""
        return self.attention / self.n_attention


class _Texts:
    """Some texts of a batch, and which they are."""

    def __init__(self, call: AttentionCall, rows: slice) -> None:
        bias = call.bias
        own = bias if bias is None or len(bias) == 1 else bias[rows]
        self.call = AttentionCall(
            call.query[rows], call.key[rows], call.value[rows], own, call.scale, call.softcap
        )
        self.rows = rows


def _split_texts(call: AttentionCall) -> Iterator[_Texts]:
    n_texts, positions = call.query.shape[0], call.query.shape[2]
    step = max(1, VALUES_AT_ONCE // positions**2)
    for first in range(0, n_texts, step):
        yield _Texts(call, slice(first, first + step))
