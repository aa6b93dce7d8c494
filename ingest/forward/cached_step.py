"""One step of decoding with a key-value cache, whatever the installed transformers calls it.

Up to version 5.23 a model takes and returns its cache as `past_key_values`; from 5.24 on as
`cache`, and the former name is to go. The model's own signature says which one it is.
"""

from __future__ import annotations

import inspect
from typing import Any, Final, NamedTuple

from jaxtyping import Float, Int
from torch import Tensor

CACHE_NAMES: Final = ("cache", "past_key_values")
"""What transformers calls the key-value cache, the newest name first."""


class DecodingStep(NamedTuple):
    """What a model returns for some positions behind those in its cache.

    Attributes:
        logits: Those of the last position only.
        cache: transformers' own object, which also holds the positions just read.
    """

    logits: Float[Tensor, "texts 1 d_vocab"]
    cache: Any


def decode_step(
    model: Any, token_ids: Int[Tensor, "texts positions"], cache: Any = None
) -> DecodingStep:
    """Run a language model on positions that follow those in a cache.

    Args:
        model: A causal language model of transformers.
        token_ids: The new positions.
        cache: What an earlier step returned, which this step extends in place; None at the start.
    """
    cache_argument = {} if cache is None else {_cache_argument(model): cache}
    output = model(input_ids=token_ids, use_cache=True, logits_to_keep=1, **cache_argument)
    names = set(output.keys())
    return DecodingStep(output.logits, output[next(n for n in CACHE_NAMES if n in names)])


def _cache_argument(model: Any) -> str:
    parameters = inspect.signature(type(model).forward).parameters
    return next(name for name in CACHE_NAMES if name in parameters)
