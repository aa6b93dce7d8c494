"""Statistics and histograms against numpy on a few numbers."""

import numpy as np
import torch

from ingest.interventions import statistics
from ingest.interventions.token_values import TokenValues
from neurondb.interventions import METRICS

NAN = np.nan


def values(loss: list[float]) -> TokenValues:
    found = TokenValues(1, len(loss))
    rows = torch.full((len(METRICS), len(loss)), torch.nan)
    rows[METRICS.index("loss")] = torch.tensor(loss)
    found.put(0, np.arange(len(loss)), rows)
    return found


CLEAN = values([1.0, 2.0, 3.0, 4.0, NAN, 5.0])
ABLATED = values([1.5, 2.0, 1.0, 4.0, NAN, float("inf")])


def test_all_tokens_and_those_that_changed() -> None:
    whole, changed = statistics.compute_results(CLEAN, ABLATED, 0)
    assert (whole.metric, whole.filter, whole.n) == ("loss", "all", 4)
    assert whole.mean == np.mean([-0.5, 0, 2, 0])
    assert whole.std == np.std([-0.5, 0, 2, 0])
    assert (whole.min, whole.q25, whole.q50, whole.q75, whole.max) == (-0.5, -0.125, 0, 0.5, 2)
    assert (whole.clean_mean, whole.ablated_mean) == (2.5, 2.125)
    assert (changed.filter, changed.n, changed.mean) == ("changed", 2, 0.75)
    assert (changed.clean_mean, changed.ablated_mean) == (2.0, 1.25)


def test_where_nothing_changed_there_is_a_row_without_numbers() -> None:
    whole, changed = statistics.compute_results(CLEAN, CLEAN, 0)
    assert (whole.n, whole.mean, whole.std) == (5, 0, 0)
    assert changed.n == 0
    assert np.isnan(changed[3:]).all()


def test_bins_hold_every_change_once() -> None:
    assert [(b.low, b.high, b.n) for b in statistics.count_bins(CLEAN, ABLATED, 0)] == [
        (-0.75, -0.5, 1),
        (2.0, 3.0, 1),
    ]
    random = np.random.default_rng(0)
    after = (random.normal(size=2000) * np.exp2(random.integers(-30, 24, 2000))).tolist()
    found = statistics.count_bins(values([0.0] * 2000), values(after), 0)
    changes = -np.array(after, dtype=np.float32).astype(np.float64)
    assert sum(one.n for one in found) == (changes != 0).sum()
    assert [one.low for one in found] == sorted(one.low for one in found)
    for one in found:
        if abs(one.low) < 2**19 and abs(one.high) < 2**19:
            inside = (one.low <= changes) & (changes < one.high)
            if one.high <= 0:
                inside = (one.low < changes) & (changes <= one.high)
            assert one.n == (inside & (changes != 0)).sum(), one


def test_tokens_without_a_number_are_counted() -> None:
    has_next = np.array([True, True, True, True, False, True])
    assert statistics.count_left_out(CLEAN, ABLATED, 0, has_next) == 1
    assert statistics.count_left_out(CLEAN, CLEAN, 0, has_next) == 0
