"""Shares of samples and their Wilson intervals."""

import numpy as np
import pytest
from scipy import stats

from neurondb.contracts.generate import Sample, SampleShare, count_samples


@pytest.mark.parametrize(
    ("hits", "n"), [(0, 1), (1, 1), (0, 20), (20, 20), (3, 20), (10, 20), (81, 263), (1, 1000)]
)
def test_the_interval_is_wilsons(hits: int, n: int) -> None:
    found = SampleShare("clean", "x", hits, n).interval
    wanted = stats.binomtest(hits, n).proportion_ci(0.95, method="wilson")
    assert found == pytest.approx((wanted.low, wanted.high), abs=1e-12)


def test_a_published_interval() -> None:
    """Newcombe (1998), table I: 81 of 263 has .2553 to .3662."""
    low, high = SampleShare("clean", "x", 81, 263).interval
    assert (round(low, 4), round(high, 4)) == (0.2553, 0.3662)


def test_ends_solve_the_score_equation() -> None:
    share = SampleShare("clean", "x", 13, 50)
    for end in share.interval:
        z = (share.share - end) / np.sqrt(end * (1 - end) / share.n)
        assert abs(z) == pytest.approx(stats.norm.ppf(0.975))


def test_texts_are_counted_once_a_sample_as_they_are_written() -> None:
    texts = {"clean": ["a dog", " dog dog", "Dog", ""], "steered": ["dogs", "cat"]}
    samples = [Sample(run, 0, text, 1, "eos") for run, of in texts.items() for text in of]
    found = {
        (one.run, one.counted): (one.hits, one.n) for one in count_samples(samples, ["dog", " "])
    }
    assert found == {
        ("clean", "dog"): (2, 4),
        ("clean", " "): (2, 4),
        ("steered", "dog"): (1, 2),
        ("steered", " "): (0, 2),
    }
