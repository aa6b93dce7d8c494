"""What texts share, of peaks that are made by hand."""

import numpy as np

from neurondb.describing.firing import NO_TOKEN, PLACES, Peaks, Shares, find_firing
from neurondb.describing.vocabulary import TokenKin

WORDS = ("the", "The", " dog", " dogs", " Monday", " Friday", "x", "y", "z", "w", "<s>")
THE, DOG, DOGS, MONDAY, FRIDAY, X, BOS = 0, 2, 3, 4, 5, 6, 10
DAY = np.isin(np.arange(len(WORDS)), (MONDAY, FRIDAY))
KIN = TokenKin(
    tuple(word.replace(" ", "␣") for word in WORDS),
    np.array([0, 0, 1, 1, 2, 3, 4, 5, 6, 7, 8]),
    ("weekday",),
    DAY[:, None],
)
SHARES = Shares(np.array([0.5, 0.001, 0.001, 0.001, 0.1, 0.1, 0.1, 0.1, 0.05]), np.array([0.002]))
N = 16


def peaks(on: list[int], after: list[int] | None = None, *, first: bool = False) -> Peaks:
    """The texts of one neuron: tokens at the peak and before it, filler elsewhere."""
    filler = [X + i % 4 for i in range(N)]
    tokens = {place: np.full((1, N), NO_TOKEN) for place in PLACES}
    for place, some in (("on", on), ("after", after or filler), ("before", filler)):
        tokens[place][0, : len(some)] = some
    return Peaks(tokens, np.full((1, N), first))


def test_a_word_in_most_texts_is_found_whatever_its_form() -> None:
    (found,) = find_firing(
        peaks([DOG] * 6 + [DOGS] * 4 + [X + i % 4 for i in range(6)]), KIN, SHARES
    )
    assert found is not None
    assert (found.place, found.words, found.n_sharing, found.n) == ("on", ("␣dog",), 10, 16)
    assert found.surprise > 40


def test_a_frequent_word_is_no_news() -> None:
    (found,) = find_firing(peaks([THE] * 9 + [X + i % 4 for i in range(7)]), KIN, SHARES)
    assert found is None


def test_a_property_is_named_where_its_tokens_vary() -> None:
    (found,) = find_firing(peaks([MONDAY] * 8 + [FRIDAY] * 8), KIN, SHARES)
    assert found is not None
    assert found.words == ("weekday", "␣Monday", "␣Friday")
    assert (found.n_sharing, found.is_property) == (16, True)


def test_the_token_before_counts_as_well() -> None:
    filler = [X + i % 4 for i in range(N)]
    (found,) = find_firing(peaks(filler, after=[DOG] * 16), KIN, SHARES)
    assert found is not None
    assert (found.place, found.words, found.n_sharing) == ("after", ("␣dog",), 16)


def test_peaks_at_the_beginning_are_called_so() -> None:
    (found,) = find_firing(peaks([BOS] * 16, first=True), KIN, SHARES)
    assert found is not None
    assert found.words == ("the first token",)


def test_of_three_texts_nothing_is_said() -> None:
    (found,) = find_firing(peaks([DOG] * 3, after=[DOG] * 3), KIN, SHARES)
    assert found is None
