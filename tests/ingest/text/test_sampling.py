"""Texts drawn at random: which ones, how evenly, and what is told of it."""

from bisect import bisect_left
from collections.abc import Sequence
from itertools import accumulate

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from ingest.text import sampling
from ingest.text.rows import LabelledText
from ingest.text.sampling import Draw, SampleRequest, draw_texts
from tests.support.philox import draw_keys, encrypt_block

LENGTHS = st.lists(st.integers(0, 30), min_size=1, max_size=60)


def draw(lengths: Sequence[int], n_tokens: int, seed: int, block: int = 7) -> Draw:
    """Draw from texts that are called by their places, so many of them read at a time."""
    texts = [LabelledText(str(place)) for place in range(len(lengths))]

    def count_tokens(some: Sequence[str]) -> list[int]:
        return [lengths[int(text)] for text in some]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sampling, "BLOCK", block)
        return draw_texts(iter(texts), SampleRequest(n_tokens, seed), count_tokens)


def places(drawn: Draw) -> list[int]:
    return [int(text.text) for text in drawn.texts]


def test_the_reference_generator_gives_the_published_answers() -> None:
    """`philox4x64 10` of kat_vectors, published with Random123."""
    zeros = (0x16554D9ECA36314C, 0xDB20FE9D672D0FDC, 0xD7E772CEE186176B, 0x7E68B68AEC7BA23B)
    ones = (0x87B092C3013FE90B, 0x438C3C67BE8D0224, 0x9CC7D7C69CD777B6, 0xA09CAEBF594F0BA0)
    assert encrypt_block(0, 0) == zeros
    assert encrypt_block(2**256 - 1, 2**128 - 1) == ones


@given(LENGTHS, st.integers(1, 400), st.integers(0, 2**62), st.integers(1, 20))
def test_texts_of_smallest_keys_are_drawn_until_the_tokens_are_reached(
    lengths: list[int], n_tokens: int, seed: int, block: int
) -> None:
    drawn = draw(lengths, n_tokens, seed, block)

    keys = draw_keys(seed, len(lengths))
    by_key = sorted(range(len(lengths)), key=keys.__getitem__)
    reached = list(accumulate(lengths[place] for place in by_key))
    n_texts = min(bisect_left(reached, n_tokens) + 1, len(lengths))
    assert places(drawn) == sorted(by_key[:n_texts])
    assert drawn.n_tokens == reached[n_texts - 1]
    assert drawn.n_source_texts == len(lengths)


@given(LENGTHS, st.integers(1, 200), st.integers(0, 200), st.integers(0, 99))
def test_a_larger_sample_of_a_seed_contains_the_smaller(
    lengths: list[int], n_tokens: int, more: int, seed: int
) -> None:
    few, many = (draw(lengths, n, seed) for n in (n_tokens, n_tokens + more))
    assert set(places(few)) <= set(places(many))


def test_every_place_is_as_likely_and_no_neighbours_are_favoured() -> None:
    """Chi-square against equal shares, of single texts and of pairs of neighbours."""
    n_texts, n_drawn, n_seeds = 40, 10, 2_000
    chosen = np.zeros((n_seeds, n_texts), dtype=int)
    for seed in range(n_seeds):
        chosen[seed, places(draw([1] * n_texts, n_drawn, seed))] = 1
    assert (chosen.sum(1) == n_drawn).all()

    share = n_drawn / n_texts
    deviations = chosen.sum(0) - n_seeds * share
    # Draws without replacement: the counts of the places hang together, by (n − 1) / n.
    statistic = (deviations**2).sum() / (n_seeds * share * (1 - share)) * (n_texts - 1) / n_texts
    assert 0.001 < stats.chi2(n_texts - 1).sf(statistic) < 0.999

    both = int((chosen[:, 1:] & chosen[:, :-1]).sum())
    expected = n_seeds * (n_texts - 1) * share * (n_drawn - 1) / (n_texts - 1)
    assert abs(both - expected) < 4 * expected**0.5


def test_long_texts_are_drawn_as_often_as_short_ones() -> None:
    """Whether a text is drawn depends on those before it, so its own length hardly matters."""
    lengths = [5, 50] * 100
    chosen = np.zeros(200)
    for seed in range(400):
        chosen[places(draw(lengths, 1_000, seed))] += 1
    short, long = chosen[::2].mean(), chosen[1::2].mean()
    assert abs(short - long) < 4 * (short / 100) ** 0.5


def test_texts_that_cannot_be_drawn_any_more_are_not_tokenised() -> None:
    """Of n texts, m of which are kept, about m · (1 + ln(n / m)) are looked at."""
    n, counted = 20_000, 0

    def count_tokens(some: Sequence[str]) -> list[int]:
        nonlocal counted
        counted += len(some)
        return [10] * len(some)

    texts = (LabelledText("x") for _ in range(n))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sampling, "BLOCK", 50)
        drawn = draw_texts(texts, SampleRequest(2_000, 0), count_tokens)
    expected = 200 * (1 + np.log(n / 200))
    assert len(drawn.texts) == 200
    assert counted == pytest.approx(expected, rel=0.15)


def test_a_long_draw_says_how_far_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sampling, "TELL_EVERY_S", -1.0)
    told: list[str] = []
    texts = [LabelledText("x")] * 1_500
    draw_texts(texts, SampleRequest(3, 0), lambda some: [1] * len(some), told.append)
    assert told == [f"drawing texts: {n} read so far" for n in ("1,024", "1,500")]
