"""Lists of texts: which are kept, which are drawn at random, and where their peaks stand."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats

import ingest.activations.peak_finder
from ingest.activations.examples import LAST_ORDINAL, BestTexts, score_at_random, score_by_size
from neurondb.schema.codes import CONTROL_KINDS
from tests.ingest.activations.summary_reference import (
    assert_controls_right,
    assert_right,
    list_rows,
)
from tests.support.random_layers import (
    CPU,
    NO_NUMBERS,
    NUMBERS,
    Layer,
    Text,
    random_layer,
    summarised,
)

BANDS = range(1, len(CONTROL_KINDS))


def scores_of(layer: Layer) -> NDArray[np.int64]:
    """The draw itself, which a chi-square and its independence of batches speak for below."""
    ordinals = torch.arange(len(layer.texts))
    return score_at_random(layer.seed, layer.number, ordinals, len(layer.sign)).numpy()


# --- the texts with the largest keys ----------------------------------------------------------


@given(
    seed=st.integers(0, 1000),
    k=st.integers(1, 5),
    n_texts=st.integers(1, 30),
    size=st.integers(1, 9),
    backwards=st.booleans(),
)
@settings(max_examples=30, deadline=None)
def test_the_largest_scores_are_kept_and_of_equal_ones_the_first_texts(
    seed: int, k: int, n_texts: int, size: int, backwards: bool
) -> None:
    draw = np.random.default_rng(seed)
    scores = torch.tensor(draw.integers(0, 4, (2, n_texts, 3)), dtype=torch.int32)
    values = scores * 0.5
    position = torch.tensor(draw.integers(0, 99, (2, n_texts, 3)))
    best = BestTexts(2, 3, k, CPU)
    starts = list(range(0, n_texts, size))
    for start in reversed(starts) if backwards else starts:
        part = slice(start, start + size)
        here = position[:, part]
        best.add(
            scores[:, part],
            values[:, part],
            torch.arange(n_texts)[part],
            lambda *where, here=here: here[where],
        )
    for found, of_list, where in zip(best.record(), scores, position, strict=True):
        for neuron in range(3):
            offers = [(-int(s), i) for i, s in enumerate(of_list[:, neuron]) if s > 0]
            expected = [(i, int(where[i, neuron]), -s / 2) for s, i in sorted(offers)[:k]]
            assert list_rows(found, neuron) == expected


def test_the_last_ordinal_that_fits_is_kept() -> None:
    best = BestTexts(1, 1, 2, CPU)
    ordinals = torch.tensor([0, LAST_ORDINAL])
    scores = torch.full((1, 2, 1), 2**31 - 1, dtype=torch.int32)
    best.add(scores, scores.float(), ordinals, lambda lists, texts, neurons: texts)
    assert best.ordinals().ravel().tolist() == [0, LAST_ORDINAL]


@given(values=st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=2))
@settings(max_examples=50, deadline=None)
def test_scores_order_as_sizes_do(values: list[float]) -> None:
    scores = score_by_size(torch.tensor(values)).tolist()
    sizes = np.abs(np.array(values, dtype=np.float32))
    np.testing.assert_array_equal(
        np.argsort(scores, kind="stable"), np.argsort(sizes, kind="stable")
    )
    assert [score > 0 for score in scores] == [value != 0 for value in values]


# --- positions, neuron by neuron and all at once ----------------------------------------------


@pytest.mark.parametrize("gated", [True, False])
@pytest.mark.parametrize("at_once", [1, 50, 2**22])
def test_peaks_are_found_neuron_by_neuron_where_they_are_few(
    gated: bool, at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ingest.activations.peak_finder, "DENSE_SHARE", 0)
    monkeypatch.setattr(ingest.activations.peak_finder, "COLUMNS_AT_ONCE", at_once)
    layer = random_layer(1, 40, gated=gated, pool=NUMBERS + NO_NUMBERS, controls=True)
    record = summarised(layer, [range(25), range(25, 40)]).record()
    assert_right(record, layer, swish_exact=True)
    assert_controls_right(record, layer, scores_of(layer))


def test_few_new_peaks_among_many_texts_are_found() -> None:
    """With the thresholds as they are: the second batch changes one list of one neuron."""
    layer = random_layer(2, 60, pool=None, n_neurons=40, longest=4)
    quiet = [t if i < 30 else faded(t) for i, t in enumerate(layer.texts)]
    assert quiet[45].gate is not None
    quiet[45].gate[0, 7], quiet[45].in_[0, 7], quiet[45].post[0, 7] = 50.0, 60.0, 3000.0
    layer = replace(layer, texts=quiet)
    record = summarised(layer, [range(30), range(30, 60)]).record()
    assert list_rows(record.examples[0], 7)[0][0] == 45 or layer.sign[7] < 0
    assert_right(record, layer, swish_exact=True)


def faded(text: Text) -> Text:
    """Return a text that is far from every extreme."""
    assert text.gate is not None
    return Text(text.gate / 1024, text.in_ / 1024, text.post / 2**20, text.label)


# --- texts drawn at random --------------------------------------------------------------------


def test_scores_are_uniform() -> None:
    """By chi-square over 64 bins, of all scores and of those of one text or one neuron."""
    scores = score_at_random(0, 3, torch.arange(3000), 200).numpy()
    assert scores.min() >= 1
    for chosen in (scores.ravel(), scores[0], scores[17], scores[:, 0], scores[:, 150]):
        counts = np.histogram(chosen, bins=64, range=(0, 2**31))[0]
        assert stats.chisquare(counts).pvalue > 1e-3


def test_scores_of_neighbours_are_independent() -> None:
    scores = score_at_random(0, 0, torch.arange(2000), 50).numpy().astype(np.float64)
    other_seed = score_at_random(1, 0, torch.arange(2000), 50).numpy()
    other_layer = score_at_random(0, 1, torch.arange(2000), 50).numpy()
    pairs = [
        (scores[1:], scores[:-1]),
        (scores[8:], scores[:-8]),
        (scores[:, 1:], scores[:, :-1]),
        (scores, other_seed),
        (scores, other_layer),
        (scores[:-1, :-1], scores[1:, 1:]),
        (scores[:-1, 1:], scores[1:, :-1]),
    ]
    for one, other in pairs:
        # six standard errors
        assert abs(np.corrcoef(one.ravel(), other.ravel())[0, 1]) < 6 / one.size**0.5


def test_seeds_and_layers_do_not_repeat_each_other() -> None:
    """No two of some seeds and layers have the scores of the first neurons in common."""
    ordinals = torch.arange(4)
    rows = [
        tuple(score_at_random(seed, layer, ordinals, 3).ravel().tolist())
        for seed in (0, 1, 2, 2**16, 2**31, 2**40)
        for layer in (0, 1, 2, 100)
    ]
    assert len(set(rows)) == len(rows)


def test_scores_do_not_depend_on_the_texts_beside_a_text() -> None:
    whole = score_at_random(5, 2, torch.arange(100), 7)
    some = torch.tensor([3, 50, 99])
    torch.testing.assert_close(score_at_random(5, 2, some, 7), whole[some], rtol=0, atol=0)


# --- control examples -------------------------------------------------------------------------


@pytest.mark.parametrize("n_texts", [1, 3, 15, 16, 40, 64, 65, 150])
@pytest.mark.parametrize("gated", [True, False])
def test_controls_equal_brute_force(n_texts: int, gated: bool) -> None:
    layer = random_layer(n_texts, n_texts, gated=gated, pool=None, longest=4, controls=True, seed=9)
    parts = [range(i, min(i + 30, n_texts)) for i in range(0, n_texts, 30)]
    record = summarised(layer, parts).record()
    assert set(record.controls) == set(range(len(CONTROL_KINDS)))
    assert_controls_right(record, layer, scores_of(layer))


@pytest.mark.parametrize("pool", [NUMBERS, NUMBERS + NO_NUMBERS, (0.0,), (1.5,)])
@pytest.mark.parametrize("skip_bos", [True, False])
def test_ties_zeros_and_what_is_no_number_are_drawn_as_brute_force_draws_them(
    pool: tuple[float, ...], skip_bos: bool
) -> None:
    layer = random_layer(7, 90, pool=pool, longest=3, controls=True, skip_bos=skip_bos, number=4)
    record = summarised(layer, [range(45), range(45, 90)]).record()
    assert_controls_right(record, layer, scores_of(layer))


def test_a_band_holds_four_texts_of_its_quarter() -> None:
    layer = random_layer(1, 200, pool=None, controls=True)
    record = summarised(layer, [range(200)]).record()
    weakest, *_, strongest = (record.controls[band] for band in BANDS)
    for neuron in range(len(layer.sign)):
        bands = [list_rows(record.controls[band], neuron) for band in BANDS]
        assert [len(rows) for rows in bands] == [4] * 4
        assert len({row[0] for rows in bands for row in rows}) == 16
        assert len(list_rows(record.controls[0], neuron)) == 16
        least = min(abs(row[2]) for row in list_rows(strongest, neuron))
        assert all(abs(row[2]) < least for row in list_rows(weakest, neuron))


def test_without_controls_there_are_none() -> None:
    assert summarised(random_layer(0, 3), [range(3)]).record().controls == {}


def test_another_seed_or_layer_draws_other_texts() -> None:
    layer = random_layer(1, 300, pool=None, controls=True)
    others = (layer, replace(layer, seed=1), replace(layer, number=1))
    drawn = [summarised(one, [range(300)]).record().controls[0].ordinal for one in others]
    assert not (drawn[0] == drawn[1]).all()
    assert not (drawn[0] == drawn[2]).all()
    assert not (drawn[0][0] == drawn[0][1]).all()
