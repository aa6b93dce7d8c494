"""The tokens at the ends of a layer's token lists, where they are beyond what chance gives."""

from collections.abc import Iterator
from typing import Final

import numpy as np
from sqlalchemy import Connection, func, select

from neurondb.describing.chance import find_largest_random_cosine
from neurondb.describing.evidence import Tokens
from neurondb.describing.vocabulary import TokenKin
from neurondb.reading.arrays import read_numbers
from neurondb.reading.models import Model, match_neurons
from neurondb.schema import codes, tables
from neurondb.schema.columns import unscale

MOST_TOKENS: Final = 3
CLOSE: Final = 0.6
"""A token is named where its cosine is at least this share of the first one's."""
_RANKS: Final = 10
"""Ranks that are looked at: some are the same word in another spelling."""


def _get_code(vector: str, direction: str) -> int:
    return codes.encode_token_list(
        codes.VECTORS.index(vector), codes.BASES.index("unembed"), codes.DIRECTIONS.index(direction)
    )


LISTS: Final = {
    _get_code("gate", "top"): "gate",
    _get_code("in", "top"): "in_top",
    _get_code("in", "bottom"): "in_bottom",
    _get_code("out", "top"): "out_top",
    _get_code("out", "bottom"): "out_bottom",
}
"""Code of a token list → the field of `Evidence` that it becomes."""


def read_outstanding_tokens(
    connection: Connection, model: Model, layer: int, kin: TokenKin
) -> Iterator[tuple[tuple[int, str], Tokens]]:
    """Yield ((neuron, field), tokens) for each token list of a layer that says something.

    The list's first cosine exceeds what the largest of all tokens has with a random direction once
    in a thousand times.
    """
    if not model.d_model:
        return  # known from imports alone: it has no lists
    bound = find_largest_random_cosine(model.d_model, max(model.n_tokens, 1))
    r = tables.top_token_rows.c
    cosine = func.abs(unscale(r.scaled_cosine))
    columns = read_numbers(
        connection,
        select(r.neuron_id, r.list_id, r.token_id, cosine)
        .where(match_neurons(r.neuron_id, model, layer))
        .where(r.list_id.in_(LISTS), r.rank < _RANKS, cosine > bound * CLOSE)
        .order_by(r.neuron_id, r.list_id, r.rank),
    )
    neuron_id, list_id, token_id = columns[:3].astype(np.int64)
    cosine = columns[3]
    first = model.first_neuron_id + layer * model.d_mlp
    starts = np.flatnonzero(np.diff(neuron_id * len(codes.TOKEN_LISTS) + list_id, prepend=-1))
    ends = np.append(starts[1:], len(cosine))
    telling = cosine[starts] > bound
    for start, end in zip(starts[telling], ends[telling], strict=True):
        largest = float(cosine[start])
        close = token_id[start:end][cosine[start:end] >= CLOSE * largest].tolist()
        tokens = kin.choose_distinct(close, MOST_TOKENS)
        place = int(neuron_id[start]) - first, LISTS[int(list_id[start])]
        yield place, Tokens(tokens, largest, largest / bound)
