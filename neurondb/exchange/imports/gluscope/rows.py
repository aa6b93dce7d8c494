"""GLUScope's numbers of some neurons → rows of our relations.

The moments over all tokens that follow from those of the sign cases are stored too: a token in no
case has hook_post = 0, so its mean is Σ freq·mean over the cases, and likewise that of hook_pre
where the frequencies add up to 1.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from neurondb.exchange.imports.gluscope.columns import (
    ALL_EXTREMES,
    Extremes,
    name_frequency,
    name_mean,
)
from neurondb.schema import tables
from neurondb.schema.codes import GATED_CASES, QUANTITIES, QUANTITY_COLUMNS, UNKNOWN_POSITION
from neurondb.writing.rows import Columns, interleave, scale

Ids = NDArray[np.int64]
Real = NDArray[np.float64]
_POST, _PRE_LINEAR, _PRE, _SWISH = range(len(QUANTITIES))
_ALL_TOKENS: Final = 1e-5
"""How far from 1 frequencies may add up, each a float32."""


@dataclass(frozen=True)
class Batch:
    """Some neurons, by the names of GLUScope's columns; NaN where a file says nothing.

    Attributes:
        ids: ids of the neurons.
        numbers: column of frequencies and means → a number a neuron.
        values: column of extremes → (neurons, examples), zero or NaN where there is no example.
        texts: column of indices → numbers of texts, shaped as the values; −1 for none.
    """

    ids: Ids
    numbers: Mapping[str, Real]
    values: Mapping[str, Real]
    texts: Mapping[str, Ids]

    def get(self, column: str) -> Real:
        """Return a column of numbers, NaN where the file has none."""
        found = self.numbers.get(column)
        return np.full(len(self.ids), np.nan) if found is None else found


def make_statistics(batch: Batch, dataset_id: int, n_tokens: int | None) -> Columns:
    """Return the rows of `activation_stats`."""
    frequencies = [batch.get(name_frequency(case)) for case in GATED_CASES]
    pos_pos, pos_neg, _neg_pos, neg_neg = frequencies
    n = len(batch.ids)
    post = _add_means(batch, frequencies, _POST)
    pre = _add_means(batch, frequencies, _PRE)
    complete = np.abs(np.sum(frequencies, axis=0) - 1) < _ALL_TOKENS
    return {
        "neuron_id": batch.ids,
        "dataset_id": np.full(n, dataset_id),
        "n_tokens": [n_tokens] * n,
        "n_nonfinite": np.zeros(n, np.int64),
        "freq": pos_pos + pos_neg,
        "pre_mean": np.where(complete, pre, np.nan),
        "post_mean": post,
        "post_positive": pos_pos + neg_neg,
    }


def _add_means(batch: Batch, frequencies: list[Real], quantity: int) -> Real:
    """Return the mean over all tokens; a case without tokens adds nothing."""
    total = np.zeros(len(batch.ids))
    for case, freq in zip(GATED_CASES, frequencies, strict=True):
        mean = batch.get(name_mean(case, quantity))
        total += np.where(freq == 0, 0.0, freq * mean)
    return total


def make_cases(batch: Batch, dataset_id: int, n_tokens: int | None) -> Columns:
    """Return the rows of `sign_case_rows`, four a neuron."""
    n, codes = len(batch.ids), list(GATED_CASES)
    freq = interleave([batch.get(name_frequency(case)) for case in codes])
    counts = None if n_tokens is None else np.rint(freq * n_tokens)
    columns: Columns = {
        "neuron_id": np.repeat(batch.ids, len(codes)),
        "dataset_id": np.full(n * len(codes), dataset_id),
        "sign_case_id": np.tile(codes, n),
        "count": [None] * len(freq) if counts is None else _list_counts(counts),
        "freq": freq,
    }
    for quantity, name in enumerate(QUANTITY_COLUMNS):
        means = [batch.get(name_mean(case, quantity)) for case in codes]
        lows, highs = zip(*(_find_ends(batch, case, quantity) for case in codes), strict=True)
        columns[f"{name}_mean"] = interleave(means)
        columns[f"{name}_min"], columns[f"{name}_max"] = interleave(lows), interleave(highs)
    return columns


def _list_counts(counts: Real) -> list[int | None]:
    return [int(count) if count == count else None for count in counts.tolist()]


def _find_ends(batch: Batch, case: int, quantity: int) -> tuple[Real, Real]:
    """Return minimum and maximum of a quantity: that which is away from zero, of the other NaN."""
    values = batch.values.get(_find_extremes(case, quantity).values)
    nothing = np.full(len(batch.ids), np.nan)
    if values is None or values.shape[1] == 0:
        return nothing, nothing
    first = values[:, 0]
    return np.where(first < 0, first, np.nan), np.where(first > 0, first, np.nan)


def _find_extremes(case: int, quantity: int) -> Extremes:
    return ALL_EXTREMES[case * len(QUANTITIES) + quantity]


def make_examples(batch: Batch, dataset_id: int, text_ids: Mapping[str, Ids], most: int) -> Columns:
    """Return the rows of `example_rows`: of each list the first `most`, without fillers.

    GLUScope fills up with zeros what fewer texts qualify for; a value of zero is no example.

    Args:
        batch: the neurons.
        dataset_id: the dataset.
        text_ids: column of indices → ids of its texts, −1 where the dataset has no such text.
        most: examples of a list.
    """
    lists = [one for one in ALL_EXTREMES if one.values in batch.values and one.indices in text_ids]
    n = len(batch.ids)
    width = min(max((batch.values[one.values].shape[1] for one in lists), default=0), most)
    if not n or not width:
        return {"neuron_id": batch.ids[:0]}
    values = np.zeros((n, len(lists), width))
    texts = np.full((n, len(lists), width), -1, np.int64)
    for i, one in enumerate(lists):
        said = np.nan_to_num(batch.values[one.values][:, :width])
        values[:, i, : said.shape[1]] = said
        texts[:, i, : said.shape[1]] = text_ids[one.indices][:, :width]
    is_example = (values != 0) & (texts >= 0)
    list_ids = np.array([one.list_id for one in lists])[:, None]
    shape = is_example.shape
    return {
        "neuron_id": np.broadcast_to(batch.ids[:, None, None], shape)[is_example],
        "dataset_id": np.full(int(is_example.sum()), dataset_id),
        "list_id": np.broadcast_to(list_ids, shape)[is_example],
        "rank": (np.cumsum(is_example, axis=2) - 1)[is_example],
        "text_id": texts[is_example],
        "position": np.full(int(is_example.sum()), UNKNOWN_POSITION),
        "scaled_value": scale(values[is_example], tables.example_rows.c.scaled_value),
    }
