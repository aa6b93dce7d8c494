"""The attribute rate of a residual stream: how many of its top tokens are attributes (METHODS §6).

Geva et al. (2023), weakening-neurons App. D.3: project with W_U as it is stored, without the final
norm; of the 50 largest drop stop words and tokens of two characters or fewer; the rate is the share
of the rest in the subject's attribute set.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy.typing import NDArray
from torch import Tensor

from ingest.attributes.stop_words import is_meaningful, normalise_word

LOGITS: Final = {"cpu": 2**25, "cuda": 2**28}
"""Logits that exist at a time."""


class Vocabulary:
    """The tokens of a model as normalised words, so that they compare with attributes.

    Args:
        tokens: the text of each.
        stop_words: words that do not count.
    """

    def __init__(self, tokens: Iterable[str], stop_words: frozenset[str]) -> None:
        words = [normalise_word(token) for token in tokens]
        self._code = {word: code for code, word in enumerate(dict.fromkeys(words))}
        self._codes = np.array([self._code[word] for word in words])
        self._counts = np.array([is_meaningful(word, stop_words) for word in words])

    def encode_words(self, words: Iterable[str]) -> NDArray[np.int64]:
        """Return the codes of those of the words that are tokens, for `compute_rate`."""
        return np.array([self._code[word] for word in words if word in self._code], dtype=np.int64)

    def compute_rate(
        self, top: Int[NDArray[np.int64], "layers k"], attributes: NDArray[np.int64]
    ) -> Float[NDArray[np.float64], " layers"]:
        """Return the share of the top tokens that count which are attributes; NaN where none does.

        Args:
            top: ids of the top tokens of each layer.
            attributes: codes of the subject's attributes, of `encode_words`.
        """
        counts = self._counts[top]
        hits = counts & np.isin(self._codes[top], attributes)
        with np.errstate(invalid="ignore"):
            return np.asarray(hits.sum(1) / counts.sum(1))


@torch.inference_mode()
def find_top_tokens(
    residual: Float[Tensor, "layers texts d_model"],
    unembed: Float[Tensor, "d_vocab d_model"],
    k: int,
) -> Int[NDArray[np.int64], "texts layers k"]:
    """Return the ids of the k largest logits of every text and layer, no final norm in between.

    Args:
        residual: hook_resid_post.
        unembed: W_U as it is stored, float32.
        k: tokens.
    """
    rows = residual.transpose(0, 1).flatten(0, 1).float()
    step = max(1, LOGITS.get(rows.device.type, LOGITS["cpu"]) // len(unembed))
    parts = [(part @ unembed.T).topk(k, dim=1).indices for part in torch.split(rows, step)]
    shape = (residual.shape[1], residual.shape[0], k)
    return torch.cat(parts).view(shape).cpu().numpy()


def average_rates(
    rates: Float[NDArray[np.float64], "texts layers"], weights: Sequence[int]
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return each layer's mean over the prompts that have a rate, and how many those are.

    Args:
        rates: each text's rate in each layer; NaN where it has none.
        weights: how many prompts each text stands for.
    """
    has_rate = ~np.isnan(rates)
    n = (has_rate * np.asarray(weights)[:, None]).sum(0)
    total = (np.where(has_rate, rates, 0) * np.asarray(weights)[:, None]).sum(0)
    with np.errstate(invalid="ignore"):
        return np.asarray(total / n), n
