"""Correlations, best matches and the rotated baseline, against numpy's own in float64."""

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from ingest.relations.universality.layer_pairs import Pass, pair_layers, plan_passes
from ingest.relations.universality.matching import Matcher, Matches
from ingest.relations.universality.products import PassSums
from ingest.relations.universality.sign_cases import CaseActivations

N_TOKENS, SHAPE_A, SHAPE_B = 700, (2, 12), (3, 9)
Layers = NDArray[np.float32]
"""Layers × tokens × neurons."""
CPU = torch.device("cpu")


def draw(shape: tuple[int, int], seed: int) -> Layers:
    """Draw activations with means far from zero, where sums of squares lose digits."""
    generator = np.random.default_rng(seed)
    values = generator.normal(3, 1, (shape[0], N_TOKENS, shape[1]))
    return values.astype(np.float32)


def add(chosen: Pass, a: Layers, b: Layers, batches: Sequence[slice]) -> PassSums:
    """Add up a pass over tokens, a batch at a time."""
    sums = PassSums(chosen, a.shape[2], b.shape[2], CPU)
    for batch in batches:
        of_a, of_b = (
            [CaseActivations(torch.from_numpy(layer[batch])) for layer in layers]
            for layers in (a, b)
        )
        for layer in chosen.layers_a:
            sums.add_a(layer, of_a[layer])
        for layer in chosen.layers_b:
            sums.add_b(layer, of_b[layer], dict(enumerate(of_a)))
        sums.n += len(a[0, batch])
    return sums


def match(
    a: Layers,
    b: Layers,
    *,
    seed: int = 0,
    window: int | None = None,
    signs: tuple[NDArray[np.float64], NDArray[np.float64]] | None = None,
    memory: float = 1e9,
    batches: Sequence[slice] = (slice(None),),
) -> Matches:
    """Match neurons with all that the job does, on given activations."""
    sign_a, sign_b = signs or (np.ones(a.shape[::2]), np.ones(b.shape[::2]))
    matcher = Matcher(sign_a, sign_b, seed)
    tiles = pair_layers(len(a), len(b), window)
    for chosen in plan_passes(tiles, a.shape[2], b.shape[2], memory):
        matcher.take(add(chosen, a, b, batches))
    return matcher.matches


def correlate(x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return Pearson's correlations of columns by numpy's own function."""
    with np.errstate(invalid="ignore", divide="ignore"):
        whole = np.corrcoef(x.T.astype(np.float64), y.T.astype(np.float64))
    found: NDArray[np.float64] = whole[: x.shape[1], x.shape[1] :]
    return found


def test_correlations_are_numpys_to_1e_6() -> None:
    a, b = draw(SHAPE_A, 1), draw(SHAPE_B, 2)
    found = match(a, b, batches=[slice(0, 100), slice(100, 101), slice(101, None)])
    of_b = np.concatenate(list(b), axis=1)
    for layer in range(SHAPE_A[0]):
        expected = correlate(a[layer], of_b)
        np.testing.assert_allclose(found.best[layer], expected.max(1), atol=1e-9, rtol=0)
        assert found.best_at[layer].tolist() == expected.argmax(1).tolist()
        np.testing.assert_allclose(found.lowest[layer], expected.min(1), atol=1e-9, rtol=0)
        assert found.lowest_at[layer].tolist() == expected.argmin(1).tolist()


def test_the_baseline_is_of_activations_mixed_by_unit_rows_and_by_its_seed_alone() -> None:
    a, b = draw(SHAPE_A, 3), draw(SHAPE_B, 4)
    found = match(a, b, seed=7, memory=1600)  # several passes, each baseline drawn again
    highest = np.full(SHAPE_A, -np.inf)
    for layer, values in enumerate(b):
        rows = np.random.default_rng([7, layer]).standard_normal((SHAPE_B[1],) * 2)
        rows /= np.sqrt((rows**2).sum(1, keepdims=True))
        mixed = values.astype(np.float64) @ rows.T
        for layer_a in range(SHAPE_A[0]):
            correlations = correlate(a[layer_a], mixed).max(1)
            highest[layer_a] = np.maximum(highest[layer_a], correlations)
    np.testing.assert_allclose(found.baseline, highest, atol=1e-9, rtol=0)
    assert np.array_equal(match(a, b, seed=7).baseline, match(a, b, seed=7).baseline)
    assert not np.array_equal(match(a, b, seed=8).baseline, found.baseline)


def test_signs_turn_both_neurons_and_what_they_are_mixed_with() -> None:
    a, b = draw(SHAPE_A, 5), draw(SHAPE_B, 6)
    draws = np.random.default_rng(0)
    signs = tuple(draws.choice([-1.0, 1.0], x.shape[::2]) for x in (a, b))
    turned = [x * s[:, None].astype(np.float32) for x, s in zip((a, b), signs, strict=True)]
    found, expected = match(a, b, signs=(signs[0], signs[1])), match(turned[0], turned[1])
    np.testing.assert_allclose(found.best, expected.best, atol=1e-12)
    np.testing.assert_allclose(found.baseline, expected.baseline, atol=1e-12)
    assert np.array_equal(found.lowest_at, expected.lowest_at)


@pytest.mark.parametrize("memory", [1600, 4000, 1e9])
def test_however_many_passes_the_matches_are_the_same(memory: float) -> None:
    a, b = draw(SHAPE_A, 1), draw(SHAPE_B, 2)
    whole, found = match(a, b), match(a, b, memory=memory)
    for name, values in vars(whole).items():
        np.testing.assert_allclose(vars(found)[name], values, atol=1e-12)


def test_sums_of_two_halves_merge_into_those_of_the_whole() -> None:
    a, b = draw(SHAPE_A, 1), draw(SHAPE_B, 2)
    (chosen,) = plan_passes(pair_layers(2, 3, None), 12, 9, 1e9)
    whole, first = (add(chosen, a, b, [part]) for part in (slice(None), slice(0, 333)))
    first.merge(add(chosen, a, b, [slice(333, None)]))
    assert first.n == whole.n == N_TOKENS
    for name in ("products", "moments"):
        for key, values in getattr(whole, name).items():
            torch.testing.assert_close(getattr(first, name)[key], values, rtol=1e-12, atol=0)
    for own, sums in whole.of_a.items():
        torch.testing.assert_close(first.of_a[own].squares, sums.squares, rtol=1e-12, atol=0)


def test_a_copy_and_an_antipode_are_found() -> None:
    a, b = draw(SHAPE_A, 1), draw((3, 60), 2)
    b[2, :, 4] = 0.5 * a[0, :, 3] - 1  # a copy, at another scale
    b[1, :, 0] = -a[1, :, 7]  # an antipode
    found = match(a, b)
    assert found.best[0, 3] == pytest.approx(1, abs=1e-9)
    assert found.best_at[0, 3] == 2 * 60 + 4
    assert found.lowest[1, 7] == pytest.approx(-1, abs=1e-9)
    assert found.lowest_at[1, 7] == 60
    assert found.best[1, 7] < 0.3
    excess = found.best - found.baseline
    assert excess[0, 3] > 0.5  # what fires with chance neurons only has none
    assert np.sort(excess.ravel())[-2] < 0.1


def test_a_model_whose_layer_is_rotated_has_no_neuron_of_the_other() -> None:
    generator = np.random.default_rng(0)
    a = generator.standard_exponential((1, N_TOKENS, 64)).astype(np.float32)
    rotation = np.linalg.qr(generator.standard_normal((64, 64)))[0].astype(np.float32)
    same, rotated = match(a, a), match(a, a @ rotation)
    assert (same.best - same.baseline > 0.3).all()
    assert np.abs(np.mean(rotated.best - rotated.baseline)) < 0.05


def test_a_constant_neuron_has_no_correlation_and_is_nobodys_match() -> None:
    a, b = draw(SHAPE_A, 1), draw(SHAPE_B, 2)
    a[0, :, 2], b[1, :, 3] = 1.7, 0
    found = match(a, b)
    assert np.isnan(found.best[0, 2])
    assert np.isnan(found.baseline[0, 2])
    assert found.best_at[0, 2] == -1
    assert np.isfinite(found.best).sum() == found.best.size - 1
    assert SHAPE_B[1] + 3 not in found.best_at


def test_only_layers_that_are_paired_are_looked_at() -> None:
    a, b = draw((3, 8), 1), draw((5, 8), 2)
    found = match(a, b, window=0)
    assert np.unique(found.best_at // 8, axis=1).tolist() == [[0], [2], [4]]
