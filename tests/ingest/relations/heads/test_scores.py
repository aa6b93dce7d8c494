"""Scores, their distributions and the strongest of them, beside float64 brute force."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from ingest.relations import native
from ingest.relations.heads.path_ablation import AblationSums
from ingest.relations.heads.places import count_second_halves, draw_positions
from ingest.relations.heads.scores import (
    STRONG,
    HeadDirections,
    ScoreScan,
    draw_directions,
    iterate_strongest,
)
from neurondb.reading import heads as reading
from neurondb.schema.codes import GATED_CASES

LAYERS, HEADS, D, N = 4, 3, 24, 40


@pytest.fixture(autouse=True, params=["compiled", "plain"])
def path(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the compiled library, and as on a GPU or without a compiler."""
    if request.param == "plain":
        monkeypatch.setattr(native, "can_read", lambda _: False)


def _directions() -> list[Tensor]:
    draw = torch.Generator().manual_seed(3)
    sizes = torch.rand(LAYERS, HEADS, 1, generator=draw).double() + 0.2
    return list(torch.randn(LAYERS, HEADS, D, generator=draw).double() * sizes)


def _vectors() -> Tensor:
    vectors = torch.randn(LAYERS, N, D, generator=torch.Generator().manual_seed(4))
    vectors[1, 5] = 0  # no direction
    return vectors


def _scan(tile: int, per_neuron: int = 2, per_head: int = 3) -> ScoreScan:
    heads = HeadDirections.stack(_directions(), centred=False)
    return ScoreScan(heads, per_neuron=per_neuron, per_head=per_head, tile=tile)


def _brute() -> tuple[Tensor, Tensor]:
    """All scores, neurons × heads, and standardised; NaN where a head is not later."""
    vectors = _vectors().double().reshape(-1, D)
    units = vectors / vectors.norm(dim=1, keepdim=True)
    direction = torch.cat(_directions())
    scores = units @ direction.T
    layer = torch.arange(LAYERS)
    later = layer.repeat_interleave(HEADS)[None] > layer.repeat_interleave(N)[:, None]
    scores = scores.masked_fill(~later, torch.nan)
    return scores, scores / (direction.norm(dim=1) / math.sqrt(D))


@pytest.mark.parametrize("tile", [1, 70, 1 << 20])
def test_the_strongest_are_those_of_all_scores(tile: int) -> None:
    scan, vectors = _scan(tile), _vectors()
    tops = [scan.add_layer(layer, vectors[layer]) for layer in range(LAYERS)]
    _, standardised = _brute()
    for sign in (1, -1):
        signed = (sign * standardised).nan_to_num(nan=-math.inf)
        for layer in range(LAYERS - 1):
            expected = signed[layer * N : (layer + 1) * N].topk(2, dim=1)
            wanted = expected.values.masked_fill(expected.values <= 0, -math.inf)
            found = tops[layer][sign]
            torch.testing.assert_close(found.score.double(), wanted, rtol=1e-5, atol=1e-6)
            kept = wanted.isfinite()
            assert torch.equal(found.head[kept], expected.indices[kept])
        best = signed.T[HEADS:].topk(3, dim=1)
        found_of_heads = scan.of_heads[sign]
        torch.testing.assert_close(
            found_of_heads.score[HEADS:].double(), best.values, rtol=1e-5, atol=1e-6
        )
        assert torch.equal(found_of_heads.neuron[HEADS:], best.indices)
        assert torch.equal(scan.n_strong[sign], (signed >= STRONG).sum(dim=0))
    assert tops[-1] == {}


def test_distributions_count_every_pair_once() -> None:
    scan, vectors = _scan(100), _vectors()
    for layer in range(LAYERS):
        scan.add_layer(layer, vectors[layer])
    scan.add_random(draw_directions(50, D, 0, centred=False))
    scores, standardised = _brute()
    for bins, values in ((scan.scores, scores), (scan.standardised, standardised)):
        known = values[~values.isnan()].numpy()
        edges = np.append(bins.low().numpy(), bins.low().numpy()[-1] + bins.width)
        expected = np.histogram(known, edges)[0]
        assert np.abs(bins.n_neurons.numpy() - expected).sum() <= 2  # a score at an edge, at most
        assert int(bins.n_neurons.sum()) == len(known)
        assert int(bins.n_random.sum()) == 50 * HEADS * sum(range(LAYERS))
    # The zero vector has no pair.
    assert scan.heads.n_pairs(N) - int(scan.scores.n_neurons.sum()) == HEADS * (LAYERS - 2)


@pytest.mark.parametrize("centred", [False, True])
def test_random_directions_have_the_deviation_that_scores_are_standardised_by(
    centred: bool,
) -> None:
    of_layers = _directions()
    if centred:
        of_layers = [one - one.mean(dim=1, keepdim=True) for one in of_layers]
    heads = HeadDirections.stack(of_layers, centred=centred)
    drawn = draw_directions(20_000, D, 7, centred=centred).double()
    torch.testing.assert_close(drawn.norm(dim=1), torch.ones(20_000).double(), rtol=1e-6, atol=0)
    scores = drawn @ heads.direction.T
    assert (scores.mean(dim=0).abs() < 4 * heads.deviation / math.sqrt(20_000)).all()
    torch.testing.assert_close(scores.std(dim=0), heads.deviation, rtol=0.03, atol=0)
    again = draw_directions(20_000, D, 7, centred=centred).double()
    assert torch.equal(drawn, again)
    weights = torch.arange(LAYERS).repeat_interleave(HEADS).double()
    pooled = ((scores**2 * weights).sum() / (weights.sum() * 20_000)).sqrt()
    assert heads.pooled_deviation() == pytest.approx(float(pooled), rel=0.03)


def test_the_strongest_pairs_are_one_a_head_and_a_neuron() -> None:
    scan, vectors = _scan(1 << 20, per_head=1), _vectors()
    for layer in range(LAYERS):
        scan.add_layer(layer, vectors[layer])
    scores, _ = _brute()
    pairs = list(iterate_strongest(scan))
    assert [sign for *_, sign in pairs[:2]] == [1, -1]
    neuron, head, _ = pairs[0]
    assert (neuron, head) == divmod(int(scores.nan_to_num(nan=-9).argmax()), LAYERS * HEADS)
    assert len({neuron for neuron, *_ in pairs}) == len(pairs)
    for wanted in (1, -1):
        of_side = [float(scores[n, h]) for n, h, sign in pairs if sign == wanted]
        assert of_side == sorted(of_side, key=lambda score: -wanted * score)
        assert all(score * wanted > 0 for score in of_side)


def test_the_share_beyond_the_threshold_is_that_of_a_gaussian() -> None:
    assert reading.STRONG == STRONG
    assert pytest.approx(0.5 * math.erfc(STRONG / math.sqrt(2)), rel=1e-3) == reading.CHANCE


def test_sums_of_ablations_are_means_and_correlations() -> None:
    values = np.random.default_rng(0).normal(size=(5, 300))
    sums = AblationSums(2, torch.device("cpu"))
    for part in np.array_split(values, 4, axis=1):
        sums.add(1, torch.from_numpy(part))
    means = sums.means().numpy()
    np.testing.assert_allclose(means[0, 1], values.mean(axis=1), rtol=1e-12)
    firing = values[0] > 0
    np.testing.assert_allclose(means[1, 1], values[:, firing].mean(axis=1), rtol=1e-12)
    assert sums.n[:, 1].tolist() == [300, firing.sum()]
    changes = (values[2] - values[1], values[4] - values[3])
    expected = [np.corrcoef(values[0], change)[0, 1] for change in changes]
    np.testing.assert_allclose(sums.correlations()[1].numpy(), expected, rtol=1e-9)
    assert np.isnan(means[:, 0]).all()


def test_sums_by_sign_case_are_means_over_its_positions() -> None:
    draws = np.random.default_rng(1)
    values, case_of = draws.normal(size=(5, 200)), draws.choice([-2, 0, 1, 3], 200)
    sums = AblationSums(1, torch.device("cpu"), GATED_CASES)
    for part, cases in zip(np.split(values, 4, axis=1), np.split(case_of, 4), strict=True):
        sums.add(0, torch.from_numpy(part), torch.from_numpy(cases))
    means = sums.means()[2:, 0].numpy()
    for case in GATED_CASES:
        own = values[:, case_of == case]
        assert sums.n[2 + case, 0] == own.shape[1]
        expected = own.mean(axis=1) if case != 2 else np.full(5, np.nan)
        np.testing.assert_allclose(means[case], expected, rtol=1e-12)


def test_positions_are_drawn_from_second_halves() -> None:
    texts = [np.arange(n) for n in (1, 7, 2, 10)]
    assert count_second_halves(texts) == 0 + 3 + 1 + 5
    everything = {text: list(of_text) for text, of_text in draw_positions(texts, 99, 0).items()}
    assert everything == {1: [4, 5, 6], 2: [1], 3: [5, 6, 7, 8, 9]}
    some = draw_positions(texts, 4, 1)
    assert sum(map(len, some.values())) == 4
    assert all(set(of_text) <= set(everything[text]) for text, of_text in some.items())
    assert draw_positions([np.arange(1)], 5, 0) == {}
