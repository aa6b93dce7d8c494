"""The tokens at, before and after peaks, against counting them one by one."""

import numpy as np
import pytest

from ingest.activations.peak_tokens import PeakPositions, TokenisedTexts, count_peak_tokens
from neurondb.contracts.activations import Examples
from neurondb.contracts.peaks import PeakTokensRecord
from neurondb.errors import IngestError
from neurondb.schema import codes
from tests.support.peaks_reference import Counted, Peak, count_one_by_one

LISTS = {code: (case, place) for code, case, place in codes.PEAK_LISTS}


def as_counted(record: PeakTokensRecord) -> list[Counted]:
    columns = (record.neuron, record.list_id, record.rank, record.token_id, record.count)
    rows = zip(*(column.tolist() for column in (*columns, record.best_rank)), strict=True)
    return [
        Counted(neuron, *LISTS[code], rank, token, count, best)
        for neuron, code, rank, token, count, best in rows
    ]


def draw(
    seed: int, *, gated: bool, n_tokens: int = 7
) -> tuple[dict[int, Examples], list[list[int]]]:
    """Return random lists of 9 neurons, some of them not full, and short texts of few tokens."""
    draw = np.random.default_rng(seed)
    texts = [draw.integers(0, n_tokens, draw.integers(1, 6)).tolist() for _ in range(20)]
    lists = {}
    for case in codes.GATED_CASES if gated else codes.UNGATED_CASES:
        ordinal = np.stack([draw.permutation(20)[:16] for _ in range(9)])
        ordinal[np.arange(16) >= draw.integers(0, 17, (9, 1))] = -1
        position = np.array([[draw.integers(len(texts[i])) for i in row] for row in ordinal])
        lists[codes.encode_example_list(case, 0)] = Examples(
            ordinal, position, draw.normal(size=(9, 16))
        )
        lists[codes.encode_example_list(case, 2)] = Examples(ordinal[::-1], position, position)
    return lists, texts


def peaks_of(lists: dict[int, Examples]) -> list[Peak]:
    found = []
    for code, one in lists.items():
        case, quantity = divmod(code, len(codes.QUANTITIES))
        for neuron, rank in np.argwhere(one.ordinal >= 0).tolist():
            where = int(one.ordinal[neuron, rank]), int(one.position[neuron, rank])
            if quantity == 0:
                found.append(Peak(neuron, codes.SIGN_CASES[case], rank, *where))
    return found


@pytest.mark.parametrize("peak_count", [1, 2, 3, 16, 40])
@pytest.mark.parametrize("gated", [True, False])
@pytest.mark.parametrize("seed", range(5))
def test_tokens_are_those_counted_one_by_one(seed: int, gated: bool, peak_count: int) -> None:
    lists, texts = draw(seed, gated=gated)
    joined = TokenisedTexts.join([np.array(text) for text in texts])
    counted = as_counted(count_peak_tokens(PeakPositions.from_lists(lists), joined, peak_count))
    assert set(counted) == count_one_by_one(peaks_of(lists), dict(enumerate(texts)), peak_count)
    keys = [
        (one.neuron, codes.SIGN_CASES.index(one.sign_case), codes.PEAK_PLACES.index(one.place))
        for one in counted
    ]
    assert keys == sorted(keys)


def count_of(
    texts: list[list[int]], places: list[tuple[int, int]], peak_count: int
) -> list[Counted]:
    """Return what is stored of one neuron whose examples in `in+` are at these places."""
    ordinal, position = np.array(places).T
    zeros, case = np.zeros(len(places), int), np.full(len(places), codes.SIGN_CASES.index("in+"))
    peaks = PeakPositions(zeros, case, np.arange(len(places)), ordinal, position)
    joined = TokenisedTexts.join([np.array(text) for text in texts])
    return as_counted(count_peak_tokens(peaks, joined, peak_count))


def test_a_first_token_has_none_before_it_and_a_last_one_none_after_it() -> None:
    assert count_of([[5]], [(0, 0)], 1) == [Counted(0, "in+", "peak", 0, 5, 1, 0)]
    assert count_of([[5, 6]], [(0, 0)], 1)[1:] == [Counted(0, "in+", "next", 0, 6, 1, 0)]
    assert count_of([[5, 6]], [(0, 1)], 1)[1:] == [Counted(0, "in+", "previous", 0, 5, 1, 0)]


def test_the_next_text_is_not_what_comes_next() -> None:
    places = {one.place for one in count_of([[1], [2], [3]], [(0, 0), (1, 0), (2, 0)], 1)}
    assert places == {"peak"}


def test_among_equals_the_stronger_example_decides() -> None:
    texts = [[9], [4], [9], [4], [7]]
    found = count_of(texts, [(4, 0), (1, 0), (0, 0), (2, 0), (3, 0)], 2)
    assert [(one.token_id, one.n, one.best_rank) for one in found] == [
        (4, 2, 1),
        (9, 2, 2),
        (7, 1, 0),  # of the strongest example, once
    ]


def test_no_examples_have_no_tokens() -> None:
    texts = TokenisedTexts.join([np.array([1, 2])])
    assert as_counted(count_peak_tokens(PeakPositions.from_lists({}), texts, 1)) == []


def test_a_peak_beyond_its_text_is_refused() -> None:
    with pytest.raises(IngestError, match="not those that the examples were found on"):
        count_of([[1, 2]], [(0, 2)], 1)


def test_large_models_fit_in_the_keys() -> None:
    """A neuron of a layer of 65,536, a vocabulary of 262,144."""
    tokens = TokenisedTexts.join([np.array([3, 262_143])])
    one = (np.array([value]) for value in (65_535, 3, 15, 0, 0))
    found = as_counted(count_peak_tokens(PeakPositions(*one), tokens, 2))
    assert found == [
        Counted(65_535, "gate-_in-", "peak", 0, 3, 1, 15),
        Counted(65_535, "gate-_in-", "next", 0, 262_143, 1, 15),
    ]
