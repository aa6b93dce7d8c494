"""The vocabulary projections of one layer → rows: token lists, moments, LM-head tokens."""

from collections.abc import Mapping
from typing import Final

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import NDArray

from neurondb.contracts.tokens import LmHeadTokens
from neurondb.contracts.vocabulary import TokenList, VocabularyRecord
from neurondb.schema import codes, tables
from neurondb.writing.ledger import StepWriter
from neurondb.writing.rows import Columns, fill_with_nan, interleave, scale

OUT: Final = codes.VECTORS.index("out")
READING_LISTS: Final = tuple(
    code
    for code, vector, basis, _ in codes.TOKEN_LISTS
    if vector in ("gate", "in") and basis == "unembed"
)
"""Top and bottom of gate, then of in, under U."""


def write_vocabulary(writer: StepWriter, layer: int, record: VocabularyRecord) -> None:
    """Write a layer's token lists, moments, LM-head tokens and double checking."""
    ids = writer.neuron_ids(layer)
    writer.replace_layer(tables.top_token_rows, layer, _make_token_columns(ids, record.lists))
    writer.replace_layer(tables.vocab_stat_rows, layer, _make_moment_columns(ids, record))
    write_double_checking(writer, layer, record)
    for side, head in record.lm_head.items():
        write_lm_head_tokens(writer, layer, side, head)


def write_lm_head_tokens(writer: StepWriter, layer: int, side: int, head: LmHeadTokens) -> None:
    """Write the most probable token of every neuron of a layer at one side of `in`."""
    has_token = head.token_ids >= 0  # a zero vector has no token
    ids = writer.neuron_ids(layer)[has_token]
    columns = {
        "neuron_id": ids,
        "side": np.full(len(ids), side),
        "token_id": head.token_ids[has_token],
        "probability": head.probability[has_token],
        "normalised": head.normalised[has_token],
    }
    writer.replace_layer(tables.lm_head_tokens, layer, columns, side=side)


def _make_moment_columns(ids: NDArray[np.int64], record: VocabularyRecord) -> Columns:
    vectors, none = sorted(record.moments), np.full(len(ids), np.nan)
    shares = [
        fill_with_nan(record.null_share, ids) if vector == OUT else none for vector in vectors
    ]
    columns: Columns = {
        "neuron_id": np.repeat(ids, len(vectors)),
        "vector_id": np.tile(vectors, len(ids)),
        "null_share": interleave(shares),
    }
    for name in ("mean", "variance", "skewness", "kurtosis", "dot_variance"):
        by_vector = [getattr(record.moments[vector], name) for vector in vectors]
        columns[name] = interleave(by_vector).astype(np.float64)
    return columns


def write_double_checking(writer: StepWriter, layer: int, record: VocabularyRecord) -> None:
    """Write how far gate and in look for the same tokens (METHODS §4; weakening-neurons App. E).

    The overlap is the Jaccard index of the top tokens of gate under U and the tokens at one end of
    in: the top (relative sign +1) or the bottom (−1), whichever overlaps more, the top where they
    are equal. `bottom_jaccard` is that of the bottom of gate and the other end of in. NULL for
    neurons with a zero vector; an ungated model has no rows.
    """
    if not all(code in record.lists for code in READING_LISTS):
        return
    gate_top, gate_bottom, in_top, in_bottom = (
        record.lists[code].token_ids for code in READING_LISTS
    )
    same_overlap, opposite_overlap = (
        compute_overlap(gate_top, in_top),
        compute_overlap(gate_top, in_bottom),
    )
    sign = np.where(opposite_overlap > same_overlap, -1.0, 1.0)
    other_end = np.where(sign[:, None] > 0, in_bottom, in_top)
    largest_overlap = np.maximum(same_overlap, opposite_overlap)
    ids = writer.neuron_ids(layer)
    columns = {
        "neuron_id": ids,
        "k": np.full(len(ids), gate_top.shape[1]),
        "jaccard": largest_overlap,
        "bottom_jaccard": compute_overlap(gate_bottom, other_end),
        "relative_sign": [
            None if np.isnan(j) else int(s) for j, s in zip(largest_overlap, sign, strict=True)
        ],
    }
    writer.replace_layer(tables.double_checking, layer, columns)


def compute_overlap(
    first: Int[np.ndarray, "neurons k"], second: Int[np.ndarray, "neurons k"]
) -> Float[np.ndarray, " neurons"]:
    """Return the overlap of two token lists of every neuron: shared ÷ all; NaN where one is empty.

    A list has no token twice; an empty one, of a zero vector, is −1 throughout.
    """
    # Side by side and sorted, a token that both lists have is its own neighbour.
    merged = np.sort(np.concatenate([first, second], axis=1), axis=1)
    n_shared = (merged[:, 1:] == merged[:, :-1]).sum(axis=1)
    overlap = n_shared / (merged.shape[1] - n_shared)
    return np.where((first[:, 0] < 0) | (second[:, 0] < 0), np.nan, overlap)


def write_lm_head(
    writer: StepWriter,
    layer: int,
    token_id: int,
    side: int,
    probability: Float[np.ndarray, " neurons"],
    normalised: Float[np.ndarray, " neurons"],
) -> None:
    """Write what every neuron of a layer gives one token under the LM head, at one side of `in`.

    A zero vector has no decoding: NaN, for which no row is written. Source: METHODS §4,
    specialised-feature-neurons §2. Every side's own top token is in `lm_head_tokens`.
    """
    present = ~np.isnan(probability)
    ids = writer.neuron_ids(layer)[present]
    columns = {
        "token_id": np.full(len(ids), token_id),
        "side": np.full(len(ids), side),
        "neuron_id": ids,
        "probability": probability[present].astype(np.float64),
        "normalised": normalised[present].astype(np.float64),
    }
    writer.replace_layer(tables.lm_head_rows, layer, columns, token_id=token_id, side=side)


def _make_token_columns(ids: NDArray[np.int64], lists: Mapping[int, TokenList]) -> Columns:
    kinds = sorted(lists)
    n, k = lists[kinds[0]].token_ids.shape
    # The key has the tokens of a list in the order of their ids.
    ranks = {code: np.argsort(lists[code].token_ids, axis=1) for code in kinds}
    columns: Columns = {
        "neuron_id": np.repeat(ids, len(kinds) * k),
        "list_id": np.tile(np.repeat(kinds, k), n),
        "rank": interleave([ranks[code] for code in kinds]),
        "token_id": interleave(
            [np.take_along_axis(lists[code].token_ids, ranks[code], 1) for code in kinds]
        ),
        "scaled_cosine": scale(
            interleave([np.take_along_axis(lists[code].cosine, ranks[code], 1) for code in kinds]),
            tables.top_token_rows.c.scaled_cosine,
        ),
    }
    present = columns["token_id"] >= 0  # a zero vector has no tokens
    return columns if present.all() else {name: c[present] for name, c in columns.items()}
