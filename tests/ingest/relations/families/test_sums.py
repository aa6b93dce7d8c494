"""Reductions in variance: brute force in float64, halves, neurons that are constant or infinite."""

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from ingest.forward import MLPActivations
from ingest.relations.families.labelling import NamedTest
from ingest.relations.families.scores import (
    compute_position_information,
    rank_families,
    reduce_variance,
)
from ingest.relations.families.sums import FamilySums, LabelledTokens
from ingest.relations.native import held_sums
from neurondb.schema.codes import SIGN_CASES

TEXTS, WIDTH, NEURONS, TESTS = 7, 9, 6, 5
LENGTHS = torch.tensor([9, 8, 9, 5, 1, 7, 9])
COUNTED = torch.arange(WIDTH) < LENGTHS[:, None]
N = int(COUNTED.sum())


@pytest.fixture(autouse=True, params=["compiled", "plain"])
def path(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the compiled library, and as on a GPU or without a compiler."""
    if request.param == "plain":
        monkeypatch.setattr(held_sums, "is_available", lambda: False)


def draw(gated: bool) -> tuple[MLPActivations, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(3)
    shape = (TEXTS, WIDTH, NEURONS)
    gate = torch.randn(shape, generator=generator)
    in_ = torch.randn(shape, generator=generator)
    post = (torch.nn.functional.silu(gate) * in_) if gated else torch.nn.functional.gelu(in_)
    # A large mean is what float32 sums would lose digits by.
    post[..., 0] += 0 if gated else 1000
    sign = torch.tensor([1.0, -1, 1, -1, 1, -1]) if gated else torch.ones(NEURONS)
    holds = (torch.rand(N, TESTS, generator=generator) < 0.4).double()
    holds[:, 3], holds[:, 4] = 0, 1
    return MLPActivations(gate if gated else None, in_, post), sign, holds


def add(parts: MLPActivations, sign: torch.Tensor, holds: torch.Tensor, counted: Any) -> FamilySums:
    gated = parts.gate is not None
    sums = FamilySums.empty((TESTS, NEURONS, WIDTH), gated=gated)
    sums.add(parts, sign, counted, LabelledTokens.prepare(holds.bool()))
    return sums


def split_variance(v: NDArray[np.float64], y: NDArray[np.bool_]) -> float:
    """The definition of METHODS §9, word by word."""
    if y.all() or not y.any():
        return 0.0
    share = y.mean()
    within = (1 - share) * v[~y].var() + share * v[y].var()
    return float(1 - within / v.var())


def list_cases(parts: MLPActivations, sign: torch.Tensor) -> dict[str, NDArray[np.float64]]:
    """Canonical hook_post of counted tokens, over all of them and restricted to each sign case."""
    in_, post = ((x * sign)[COUNTED].double().numpy() for x in (parts.in_, parts.post))
    if parts.gate is None:
        return {"all": post, "in+": post * (in_ > 0), "in-": post * (in_ < 0)}
    gate = parts.gate[COUNTED].double().numpy()
    return {"all": post} | {
        case: post
        * ((gate > 0) if "gate+" in case else (gate < 0))
        * ((in_ > 0) if "in+" in case else (in_ < 0))
        for case in SIGN_CASES[:4]
    }


@pytest.mark.parametrize("gated", [True, False])
def test_scores_are_those_of_the_definition_case_by_case(gated: bool) -> None:
    parts, sign, holds = draw(gated)
    sums = add(parts, sign, holds, COUNTED)
    cases = list_cases(parts, sign)
    n_of_test = holds.sum(0).long()
    by_case = {"all": (sums.by_test.sum(0), sums.total.sum(0), sums.square.sum(0))}
    for i, code in enumerate(sums.kind.cases):
        by_case[SIGN_CASES[code]] = (sums.by_test[i], sums.total[i], sums.square[i])
    assert by_case.keys() == cases.keys()
    for case, values in cases.items():
        score, inside, outside = reduce_variance(*by_case[case], n_of_test, N)
        for test in range(TESTS):
            y = holds[:, test].bool().numpy()
            for neuron in range(NEURONS):
                v = values[:, neuron]
                assert float(score[test, neuron]) == pytest.approx(split_variance(v, y), abs=1e-9)
                if y.any():
                    assert float(inside[test, neuron]) == pytest.approx(v[y].mean(), rel=1e-9)
                if not y.all():
                    assert float(outside[test, neuron]) == pytest.approx(v[~y].mean(), rel=1e-9)


@pytest.mark.parametrize("gated", [True, False])
def test_halves_of_the_texts_merge_into_the_whole(gated: bool) -> None:
    parts, sign, holds = draw(gated)
    whole = add(parts, sign, holds, COUNTED)
    halves = []
    for chosen in (slice(0, 3), slice(3, None)):
        some = MLPActivations(
            None if parts.gate is None else parts.gate[chosen],
            parts.in_[chosen],
            parts.post[chosen],
        )
        first = int(COUNTED[: chosen.start].sum())
        end = first + int(COUNTED[chosen].sum())
        halves.append(add(some, sign, holds[first:end], COUNTED[chosen]))
    for half in (halves[0], halves[1]):
        assert not torch.equal(half.total, whole.total)
    halves[1].merge(halves[0])
    for name in ("by_test", "total", "square"):
        torch.testing.assert_close(
            getattr(halves[1], name), getattr(whole, name), rtol=1e-13, atol=1e-13
        )
    assert torch.equal(halves[1].fires, whole.fires)


def test_tiles_give_what_one_piece_gives(monkeypatch: pytest.MonkeyPatch) -> None:
    parts, sign, holds = draw(gated=True)
    whole = add(parts, sign, holds, COUNTED)
    monkeypatch.setattr("ingest.relations.families.sums.TILE_BYTES", 8 * N * 4)
    monkeypatch.setattr("ingest.relations.families.sums.BLOCK_BYTES", {"cpu": 8 * 4 * 5})
    tiled = add(parts, sign, holds, COUNTED)
    torch.testing.assert_close(tiled.by_test, whole.by_test, rtol=1e-13, atol=1e-13)
    torch.testing.assert_close(tiled.square, whole.square, rtol=1e-13, atol=1e-13)


def test_information_on_the_position_is_that_of_the_joint_distribution() -> None:
    parts, sign, holds = draw(gated=True)
    sums = add(parts, sign, holds, COUNTED)
    assert parts.gate is not None
    fires = (parts.gate > 0)[COUNTED].numpy()
    position = torch.arange(WIDTH).expand(TEXTS, -1)[COUNTED].numpy()
    found = compute_position_information(sums.fires, COUNTED.sum(0))
    for neuron in range(NEURONS):
        expected = 0.0
        for value in (True, False):
            for place in range(WIDTH):
                both = ((fires[:, neuron] == value) & (position == place)).mean()
                apart = (fires[:, neuron] == value).mean() * (position == place).mean()
                expected += both * np.log(both / apart) if both else 0
        assert found[neuron] == pytest.approx(expected, abs=1e-12)


NAMES = tuple(
    NamedTest(family, str(i), "")
    for i, family in enumerate(("unigram", "unigram", "spelling", "spelling", "position"))
)


def rank(sums: FamilySums, holds: torch.Tensor, least: float) -> dict[int, list[tuple[Any, ...]]]:
    """Case → (neuron, rank, test, score) of what is kept."""
    return {
        rows.case_id: list(
            zip(*(x.tolist() for x in (rows.neuron, rows.rank, rows.test, rows.score)), strict=True)
        )
        for rows in rank_families(sums, NAMES, holds.sum(0).long(), N, least)
    }


def test_the_best_test_of_each_family_is_kept_the_best_family_first() -> None:
    parts, sign, holds = draw(gated=True)
    sums = add(parts, sign, holds, COUNTED)
    score, _, _ = reduce_variance(
        sums.by_test.sum(0), sums.total.sum(0), sums.square.sum(0), holds.sum(0).long(), N
    )
    kept = rank(sums, holds, least=0.0)[-1]
    for neuron in range(NEURONS):
        column = score[:, neuron].tolist()
        best = [max(family, key=lambda test: column[test]) for family in ((0, 1), (2, 3), (4,))]
        expected = sorted((t for t in best if column[t] > 0), key=lambda test: -column[test])
        found = [row for row in kept if row[0] == neuron]
        assert [row[2] for row in found] == expected
        assert [row[1] for row in found] == list(range(len(expected)))
        assert [row[3] for row in found] == pytest.approx([column[test] for test in expected])


def test_small_scores_are_left_out_but_for_the_best() -> None:
    parts, sign, holds = draw(gated=True)
    sums = add(parts, sign, holds, COUNTED)
    assert {row[1] for rows in rank(sums, holds, least=1.0).values() for row in rows} == {0}


def test_a_neuron_that_is_constant_or_not_finite_has_no_family() -> None:
    parts, sign, holds = draw(gated=False)
    parts.post[..., 1] = 0.3
    parts.in_[..., 1] = 0.3
    parts.post[2, 3, 2] = torch.nan
    parts.post[0, 0, 3] = torch.inf
    kept = rank(add(parts, sign, holds, COUNTED), holds, least=0.0)
    assert {row[0] for row in kept[-1]} == {0, 4, 5}
