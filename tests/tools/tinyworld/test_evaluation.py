import math

import pytest

from tools.tinyworld.evaluation import baseline_entropies


def test_entropies_of_a_text_that_alternates() -> None:
    train_rows = [[0, *[1, 2] * 500]]
    heldout_rows = [[0, *[1, 2] * 10]]
    entropies = baseline_entropies(train_rows, heldout_rows, vocab_size=4)
    # 500 of 1,000 each, one added to each of the four.
    assert entropies.unigram == pytest.approx(-math.log(501 / 1004))
    assert entropies.bigram < 0.03
