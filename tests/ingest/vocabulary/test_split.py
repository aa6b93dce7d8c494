"""Products of pieces in bfloat16: their bound, and lists that are float64's for any input."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from ingest.compilation import NotCompiledError
from ingest.vocabulary import Precision, native, products
from ingest.vocabulary.lm_head import LmHead
from ingest.vocabulary.native import PiecesOf, Sums, is_available, kernels
from ingest.vocabulary.scan import Scanned, Vectors, Vocabulary, choose_way, scan_vocabulary
from ingest.vocabulary.split import bound_split_error, list_terms, measure_lengths
from ingest.weights.token_rows import TokenRows
from neurondb.schema.codes import SIDES
from tests.support.vocabulary_reference import lm_head

needs_bfloat16 = pytest.mark.skipif(
    not is_available(), reason="needs a processor that multiplies bfloat16, and a compiler"
)
FINE = pytest.mark.parametrize("fine", [True, False])


def exact_scores(vectors: Tensor, tokens: Tensor) -> Tensor:
    """In float64, rounded as they are stored; equal rows are equal."""
    products = np.einsum("nd,vd->nv", vectors.double().numpy(), tokens.double().numpy())
    return torch.from_numpy(products.round(12))


def assert_lists_right(vectors: Tensor, tokens: Tensor, k: int, *, fine: bool) -> Scanned:
    """Both lists are those of float64, ties by id, tokens that are not finite left out."""
    scanned = scan_vocabulary(Vectors(vectors), Vocabulary(tokens, fine=fine), k, Sums())
    expected = exact_scores(vectors, tokens)
    for direction, sign in enumerate((1, -1)):
        scores, ids = scanned.settle(direction)
        signed = (sign * expected).nan_to_num(nan=-torch.inf).numpy()
        best = np.argsort(-signed, axis=1, kind="stable")[:, :k]
        chosen = np.take_along_axis(signed, best, axis=1)
        np.testing.assert_array_equal(ids, np.where(np.isfinite(chosen), best, -1))
        np.testing.assert_allclose(sign * scores, chosen, rtol=1e-15, atol=1.5e-12)
    return scanned


def unit(random: torch.Generator, *shape: int) -> Tensor:
    return torch.nn.functional.normalize(torch.randn(*shape, generator=random), dim=-1)


# --- the bound ----------------------------------------------------------------------------


def all_scores(
    vectors: Tensor, tokens: Tensor, pieces: tuple[int, int], pieces_of: PiecesOf
) -> Tensor:
    """Every score as it is computed: with endless windows all are candidates."""
    left, n = Vectors(vectors).pack(pieces_of), len(tokens)
    memory = kernels.reserve(2 * kernels.count_packed(n, tokens.shape[1], pieces_of))
    right = kernels.pack(tokens, 2, pieces_of, of_tokens=True, memory=memory)
    endless = torch.full((left.padded,), torch.inf)
    lists = kernels.Lists.empty(endless, 1, n + 64), kernels.Lists.empty(endless, 1, n + 64)
    kernels.scan(left, right, 0, pieces, lists, Sums())
    assert (lists[0].count[: len(vectors)] == n).all()
    ids = lists[0].ids[: len(vectors), :n].long()
    return torch.empty(len(vectors), n).scatter_(1, ids, lists[0].scores[: len(vectors), :n])


WAYS = [
    *((PiecesOf.HALVES, (left, right)) for left in (1, 2) for right in (1, 2)),
    (PiecesOf.BYTES, (2, 2)),
]


@needs_bfloat16
@settings(max_examples=40, deadline=None)
@given(
    st.integers(0, 2**32), st.integers(1, 200), st.sampled_from(WAYS),
    st.sampled_from(["any", "positive", "half a step", "one is large"]), st.integers(-40, 40),
)  # fmt: skip
def test_the_error_of_products_of_pieces_is_bounded(
    seed: int, d_model: int, way: tuple[PiecesOf, tuple[int, int]], kind: str, exponent: int
) -> None:
    pieces_of, pieces = way
    random = torch.Generator().manual_seed(seed)
    vectors, tokens = torch.randn(2, 40, d_model, generator=random)
    if kind == "positive":  # sums that nothing cancels
        vectors, tokens = vectors.abs(), tokens.abs()
    elif kind == "half a step":  # all that rounding to bfloat16 can lose, to one side
        vectors = torch.full_like(vectors, 1 + 2.0**-8 - 2.0**-20)
        tokens = torch.full_like(tokens, 1 + 2.0**-8 - 2.0**-20)
    elif kind == "one is large":
        vectors[:, 0] *= 1000
        tokens[:, -1] *= 1000
    tokens = tokens * 2.0**exponent
    terms = list_terms(*pieces)
    exact = vectors.double() @ tokens.double().T
    off = (all_scores(vectors, tokens, pieces, pieces_of).double() - exact).abs()
    left, right = (
        measure_lengths(rows, n, pieces_of)
        for rows, n in zip((vectors, tokens), pieces, strict=True)
    )
    bound = bound_split_error(left, right.largest, d_model, len(terms), pieces_of)
    assert (off.amax(1) <= bound).all()
    if kind == "half a step" and len(terms) == 1:
        assert (off.amax(1) > bound / 2).all()  # it is nearly as bad as the bound says


@needs_bfloat16
@pytest.mark.parametrize("size", [1e-45, 1e-31, 1e-30, 1e30])
def test_bytes_of_tiny_and_of_huge_numbers(size: float) -> None:
    random = torch.Generator().manual_seed(4)
    vectors, tokens = torch.randn(2, 5, 70, generator=random)
    tokens *= size
    scores = all_scores(vectors, tokens, (2, 2), PiecesOf.BYTES)
    lengths = (
        measure_lengths(vectors, 2, PiecesOf.BYTES),
        measure_lengths(tokens, 2, PiecesOf.BYTES),
    )
    bound = bound_split_error(lengths[0], lengths[1].largest, 70, 3, PiecesOf.BYTES)
    off = (scores.double() - vectors.double() @ tokens.double().T).abs()
    assert (off.amax(1) <= bound).all()


@pytest.mark.parametrize(("large", "expected"), [(1.0, PiecesOf.BYTES), (300.0, PiecesOf.HALVES)])
def test_vectors_of_a_few_large_numbers_are_not_for_bytes(
    large: float, expected: PiecesOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ingest.vocabulary.scan.prefers_bytes", lambda: True)
    monkeypatch.setattr("ingest.vocabulary.split.count_additions", lambda terms, d: terms * d)
    random = torch.Generator().manual_seed(5)
    vectors, tokens = torch.randn(2, 50, 2048, generator=random)
    vectors[7, 3] *= large
    tokens[9, 5] *= large
    assert choose_way(Vectors(vectors), Vocabulary(tokens, fine=True)).pieces_of is expected
    assert choose_way(Vectors(vectors), Vocabulary(tokens, fine=False)).pieces == (1, 1)


# --- lists --------------------------------------------------------------------------------


@needs_bfloat16
@FINE
@pytest.mark.parametrize(
    ("n", "n_tokens", "d"),
    [(1, 1, 1), (33, 5, 31), (40, 2047, 33), (7, 5000, 64), (400, 1100, 530)],
)
def test_any_sizes(n: int, n_tokens: int, d: int, fine: bool) -> None:
    random = torch.Generator().manual_seed(n)
    vectors, tokens = unit(random, n, d), unit(random, n_tokens, d)
    assert_lists_right(vectors, tokens, min(16, n_tokens), fine=fine)


def near_ties(tokens: Tensor) -> None:
    """Cosines of a thousand tokens that differ by some 1e-9."""
    tokens[:1000] = tokens[0] + 1e-7 * tokens[:1000]


def duplicates(tokens: Tensor) -> None:
    tokens[::3] = tokens[0]


def zeros(tokens: Tensor) -> None:
    tokens[10:3000:7] = 0


def not_numbers(tokens: Tensor) -> None:
    tokens[5:3000:5] = torch.nan
    tokens[7, 3] = torch.nan


def few_numbers(tokens: Tensor) -> None:
    """Vectors that are too uneven for bytes."""
    tokens[:, 3] *= 1e4


def sizes(tokens: Tensor) -> None:
    tokens[::2] *= 1e-12
    tokens[1::4] *= 1e3


@needs_bfloat16
@FINE
@pytest.mark.parametrize("change", [near_ties, duplicates, zeros, not_numbers, few_numbers, sizes])
def test_awkward_tokens(change: Callable[[Tensor], None], fine: bool) -> None:
    random = torch.Generator().manual_seed(3)
    vectors, tokens = unit(random, 20, 48), unit(random, 3000, 48)
    change(tokens)
    vectors[4] = torch.nan
    vectors[5] = tokens[0]
    assert_lists_right(vectors, tokens, 16, fine=fine)


@needs_bfloat16
def test_too_many_candidates_are_searched_again() -> None:
    random = torch.Generator().manual_seed(1)
    vectors, tokens = unit(random, 3, 16), unit(random, 4000, 16)
    tokens[1::2] = vectors[1]
    scanned = assert_lists_right(vectors, tokens, 16, fine=True)
    assert scanned.is_overfull.tolist() == [False, True, False]


# --- the LM head --------------------------------------------------------------------------


@needs_bfloat16
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("scale", [0.01, 1.0, 30.0])
def test_the_lm_head_is_that_of_float64(dtype: torch.dtype, scale: float) -> None:
    random = torch.Generator().manual_seed(2)
    unembed = torch.randn(4000, 40, generator=random).to(dtype)
    in_ = torch.randn(25, 40, generator=random) * scale
    found = LmHead(unembed, TokenRows(4000), Precision.SPLIT).decode(in_, SIDES)
    for side in SIDES:
        probability, typical = lm_head(unembed.double().numpy(), side * in_.double().numpy())
        best = probability.max(1)
        np.testing.assert_array_equal(found[side].token_ids, probability.argmax(1))
        tolerance = 1e-5 + 2e-5 * scale  # logits of up to scale · 40
        np.testing.assert_allclose(found[side].probability, best, rtol=tolerance)
        np.testing.assert_allclose(found[side].normalised, best / typical, rtol=tolerance)


# --- where there is none ------------------------------------------------------------------


def test_without_bfloat16_products_are_exact(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(products, "is_available", lambda: False)
    assert Precision.for_device(torch.device("cpu"), 50_000) is Precision.EXACT


def test_without_a_compiler_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken:
        def load(self) -> None:
            raise NotCompiledError("no C compiler here")

    monkeypatch.setattr(kernels, "_LIBRARY", Broken())
    assert not native.is_available.__wrapped__()
