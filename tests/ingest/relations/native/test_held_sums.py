"""Sums over the tokens that tests hold for, against plain products in float64."""

import pytest
import torch

from ingest.forward import MLPActivations
from ingest.relations.families.sums import FamilySums, LabelledTokens
from ingest.relations.native import held_sums

if not held_sums.is_available():
    pytest.skip("no C compiler here", allow_module_level=True)

TEXTS, WIDTH, TESTS = 5, 11, 9
COUNTED = torch.arange(WIDTH) < torch.tensor([11, 3, 0, 8, 1])[:, None]


def draw(
    n: int, dtype: torch.dtype, *, gated: bool
) -> tuple[MLPActivations, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(n)
    gate, in_ = (torch.randn(TEXTS, WIDTH, n, generator=generator) for _ in range(2))
    gate[0, 1, 0], in_[3, 2, n - 1] = 0, 0  # in no case
    post = torch.nn.functional.silu(gate) * in_ if gated else torch.nn.functional.gelu(in_)
    sign = torch.where(torch.rand(n, generator=generator) < 0.5, -1.0, 1.0)
    holds = torch.rand(int(COUNTED.sum()), TESTS, generator=generator) < 0.3
    holds[:, 3], holds[:, 4] = False, True
    parts = MLPActivations(gate.to(dtype) if gated else None, in_.to(dtype), post.to(dtype))
    return parts, sign if gated else torch.ones(n), holds


def add_twice(
    parts: MLPActivations, sign: torch.Tensor, tests: LabelledTokens, n: int
) -> FamilySums:
    sums = FamilySums.empty((TESTS, n, WIDTH + 2), gated=parts.gate is not None)
    for _ in range(2):
        sums.add(parts, sign, COUNTED, tests)
    return sums


@pytest.mark.parametrize("n", [1, 15, 16, 64, 83, 200])
@pytest.mark.parametrize("gated", [True, False])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("threads", [1, 3])
def test_sums_are_those_of_dense_products(
    n: int, gated: bool, dtype: torch.dtype, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts, sign, holds = draw(n, dtype, gated=gated)
    dense = add_twice(parts, sign, LabelledTokens(holds.double(), None), n)
    monkeypatch.setattr(held_sums, "count_threads", lambda: threads)
    held = add_twice(parts, sign, LabelledTokens.prepare(holds), n)
    for name in ("by_test", "total", "square"):
        torch.testing.assert_close(
            getattr(held, name), getattr(dense, name), rtol=1e-12, atol=1e-12
        )
    assert torch.equal(held.fires, dense.fires)


@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
def test_a_neuron_that_is_not_finite_somewhere_has_no_sums(value: float) -> None:
    parts, sign, holds = draw(20, torch.float32, gated=True)
    parts.post[3, 7, 17] = value
    parts.post[1, 5, 3] = value  # no token that counts
    for tests in (LabelledTokens.prepare(holds), LabelledTokens(holds.double(), None)):
        sums = add_twice(parts, sign, tests, 20)
        for of_all in (sums.by_test.flatten(0, 1), sums.total, sums.square):
            assert (~of_all.isfinite()).any(0).nonzero().flatten().tolist() == [17]
            assert not of_all[:, 17].isfinite().any()
        assert sums.square[:, 17].isnan().any(), "by which it is known"


def test_no_token_and_no_test_add_nothing() -> None:
    parts, sign, holds = draw(20, torch.float32, gated=True)
    none = torch.zeros_like(COUNTED)
    sums = FamilySums.empty((TESTS, 20, WIDTH), gated=True)
    sums.add(parts, sign, none, LabelledTokens.prepare(holds[:0]))
    assert not sums.by_test.any()
    assert not sums.fires.any()
    sums = FamilySums.empty((0, 20, WIDTH), gated=True)
    sums.add(parts, sign, COUNTED, LabelledTokens.prepare(holds[:, :0]))
    assert sums.total.any()


def test_two_or_four_cases_are_taken() -> None:
    parts, sign, holds = draw(20, torch.float32, gated=True)
    sums = FamilySums.empty((TESTS, 20, WIDTH), gated=True)
    into = held_sums.SumsByTest(sums.by_test, sums.total, sums.square, sums.fires)
    held = held_sums.HeldTokens.find(holds)
    with pytest.raises(ValueError, match="3 sign cases"):
        held_sums.add_held(into, parts, sign, [(1, 0)] * 3, torch.arange(4), held)
