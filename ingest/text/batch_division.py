"""Batches of texts divided among shards, or among workers: their numbers are enough.

Every process makes the same batches of the same texts, so that what a batch comes to is the same
wherever it is run, and no model need be loaded to divide them.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ingest.forward import pack_texts
from neurondb.errors import TextError


def count_places(lengths: Sequence[int], packed: Sequence[NDArray[np.int64]]) -> list[int]:
    """Return the tokens of each batch, padding included.

    Args:
        lengths: Tokens of each text.
        packed: Which texts form a batch together.
    """
    return [len(texts) * max((lengths[text] for text in texts), default=0) for texts in packed]


def divide_batches(
    token_ids: Sequence[NDArray[np.int64]], max_tokens: int, short_context: int | None, n_parts: int
) -> list[range]:
    """Return the numbers of the batches of each part: successive ones, with as many tokens.

    Args:
        token_ids: The token ids of each text.
        max_tokens: Tokens of a batch, padding included.
        short_context: As `pack_texts` has it.
        n_parts: How many parts there are, at most: none is without a batch.
    """
    lengths = [len(ids) for ids in token_ids]
    packed = pack_texts(lengths, max_tokens, short_context)
    places = count_places(lengths, packed)
    n_parts = min(n_parts, len(packed))
    return [choose_shard_batches(places, (number, n_parts)) for number in range(1, n_parts + 1)]


def choose_shard_batches(places: Sequence[int], shard: tuple[int, int] | None) -> range:
    """Return the numbers of a shard's batches, a run of them; of all batches without a shard.

    A shard has whole batches, so that it computes the very bits that a run over all texts would,
    and successive ones, so that few nodes of the summation tree are left to store. The cuts divide
    the tokens, padding included, on which the time depends, as evenly as whole batches allow.

    Args:
        places: tokens of each batch, padding included.
        shard: its number, from 1, and how many there are.

    Raises:
        TextError: when there are more shards than batches.
    """
    n_batches = len(places)
    if shard is None:
        return range(n_batches)
    number, n_shards = shard
    if n_shards > n_batches:  # the first ones too: merged they are never, for the last are missing
        raise TextError(
            f"shard {number}/{n_shards}: the dataset's texts make {n_batches} "
            f"batch{'es' * (n_batches != 1)}, so that some shards would be empty; divide it into "
            "no more shards"
        )
    before = np.concatenate([[0], np.cumsum(places)])
    cuts = [0]
    for cut in range(1, n_shards):
        nearest = int(np.abs(before - before[-1] * cut / n_shards).argmin())
        cuts.append(min(max(nearest, cuts[-1] + 1), n_batches - n_shards + cut))
    return range(*[*cuts, n_batches][number - 1 : number + 1])
