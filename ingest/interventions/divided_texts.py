"""Batches of texts divided among workers, without loading a model: their numbers are enough.

Every worker makes the same batches of the same texts, so that what a batch comes to is the same
wherever it is run.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ingest.forward import pack_texts
from ingest.forward.open_model import OpenModel
from ingest.text.corpus import choose_shard_batches


def divide_batches(
    opened: OpenModel, token_ids: Sequence[NDArray[np.int64]], max_tokens: int, n_parts: int
) -> list[range]:
    """Return the numbers of the batches of each part: successive ones, with as many tokens.

    Args:
        opened: The model.
        token_ids: The token ids of each text.
        max_tokens: Tokens of a batch, padding included.
        n_parts: How many parts there are, at most: none is without a batch.
    """
    lengths = [len(ids) for ids in token_ids]
    packed = pack_texts(lengths, max_tokens, opened.architecture.short_context)
    places = [len(texts) * max(lengths[text] for text in texts) for texts in packed]
    n_parts = min(n_parts, len(packed))
    return [choose_shard_batches(places, (number, n_parts)) for number in range(1, n_parts + 1)]
