"""Which tokens stand at the peaks of a layer's examples, before and after them (METHODS §5)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int
from numpy.typing import NDArray

from neurondb.contracts.activations import Examples
from neurondb.contracts.peaks import PeakTokensRecord
from neurondb.errors import IngestError
from neurondb.schema import codes
from neurondb.spelling import option

HOOK_POST = codes.QUANTITIES.index("hook_post")
OFFSETS: Mapping[str, int] = {"peak": 0, "previous": -1, "next": 1}
"""Place → how far after the peak it is, in tokens."""


@dataclass(frozen=True)
class TokenisedTexts:
    """The token ids of all texts of a dataset, one text after another, the prefix first.

    `start[i]` is where those of the text at ordinal i begin; the last entry is their number.
    """

    token_ids: Int[np.ndarray, " tokens"]
    start: Int[np.ndarray, " texts+1"]

    @classmethod
    def join(cls, texts: Sequence[NDArray[np.integer]]) -> "TokenisedTexts":
        """Return the texts' token ids, in the order of their ordinals."""
        lengths = np.array([0, *map(len, texts)], dtype=np.int64)
        ids = np.concatenate([*texts, np.zeros(0, np.int64)]).astype(np.int64)
        return cls(ids, np.cumsum(lengths))


@dataclass(frozen=True)
class PeakPositions:
    """The peaks of a layer's hook_post examples: of which neuron, sign case and rank, and where."""

    neuron: Int[np.ndarray, " examples"]
    sign_case: Int[np.ndarray, " examples"]
    rank: Int[np.ndarray, " examples"]
    ordinal: Int[np.ndarray, " examples"]
    position: Int[np.ndarray, " examples"]

    @classmethod
    def from_lists(cls, lists: Mapping[int, Examples]) -> "PeakPositions":
        """Return the peaks of the hook_post lists among those of a layer, by code."""
        cases = [
            case
            for case in range(len(codes.SIGN_CASES))
            if codes.encode_example_list(case, HOOK_POST) in lists
        ]
        found = [lists[codes.encode_example_list(case, HOOK_POST)] for case in cases]
        if not found:
            return cls(*np.zeros((5, 0), dtype=np.int64))
        ordinal = np.stack([one.ordinal for one in found])
        position = np.stack([one.position for one in found])
        there = ordinal >= 0
        place, neuron, rank = np.nonzero(there)
        return cls(neuron, np.array(cases)[place], rank, ordinal[there], position[there])


def count_peak_tokens(
    peaks: PeakPositions, texts: TokenisedTexts, peak_count: int
) -> PeakTokensRecord:
    """Return the tokens that are to be stored of a layer.

    Of a list they are those that stand at a place in `peak_count` examples or more, and the one
    that stands there in the strongest example that has a token there: a first token has none
    before it, a last one none after it. The most frequent go first, among equals that of the
    stronger example.

    Raises:
        IngestError: when a peak is beyond the end of its text, whose tokens are other ones then.
    """
    length = (texts.start[1:] - texts.start[:-1])[peaks.ordinal]
    if np.any(peaks.position >= length):
        raise IngestError(
            "the stored token ids are not those that the examples were found on; run the stage "
            f"activations again with {option('force')}"
        )
    n_lists = len(codes.PEAK_LISTS)
    n_tokens = int(texts.token_ids.max(initial=0)) + 1
    n_ranks = int(peaks.rank.max(initial=0)) + 1
    keys = []
    for place, name in enumerate(codes.PEAK_PLACES):
        position = peaks.position + OFFSETS[name]
        there = (position >= 0) & (position < length)
        token = texts.token_ids[texts.start[peaks.ordinal[there]] + position[there]]
        of_list = peaks.neuron[there] * n_lists + codes.encode_peak_list(0, place)
        of_list += peaks.sign_case[there] * len(codes.PEAK_PLACES)
        # One number an example, below 2⁶³ for every model: sorted, a token's examples are a run.
        keys.append((of_list * n_tokens + token) * n_ranks + peaks.rank[there])
    examples = np.sort(np.concatenate(keys))
    first, count = _find_runs(examples // n_ranks)
    rest, best_rank = np.divmod(examples[first], n_ranks)
    of_list, token = np.divmod(rest, n_tokens)
    return _rank_tokens(of_list, token, count, best_rank, peak_count)


def _rank_tokens(
    of_list: NDArray[np.int64],
    token: NDArray[np.int64],
    count: NDArray[np.int64],
    best_rank: NDArray[np.int64],
    peak_count: int,
) -> PeakTokensRecord:
    """Return the record of the tokens that are kept; `of_list` numbers the lists and ascends."""
    first, n_tokens = _find_runs(of_list)
    strongest = np.minimum.reduceat(best_rank, first) if len(first) else best_rank
    kept = (count >= peak_count) | (best_rank == np.repeat(strongest, n_tokens))
    of_list, token, count, best_rank = (a[kept] for a in (of_list, token, count, best_rank))
    most, n_ranks = int(count.max(initial=0)), int(best_rank.max(initial=0)) + 1
    order = np.argsort((of_list * (most + 1) + (most - count)) * n_ranks + best_rank)
    first, n_tokens = _find_runs(of_list)
    neuron, list_id = np.divmod(of_list, len(codes.PEAK_LISTS))
    return PeakTokensRecord(
        neuron=neuron,
        list_id=list_id,
        rank=np.arange(len(of_list)) - np.repeat(first, n_tokens),
        token_id=token[order],
        count=count[order],
        best_rank=best_rank[order],
    )


def _find_runs(values: NDArray[np.int64]) -> tuple[NDArray[np.intp], NDArray[np.int64]]:
    """Return where each run of equal values, none of them negative, begins, and how long it is."""
    first = np.flatnonzero(np.diff(values, prepend=-1))
    return first, np.diff(first, append=len(values))
