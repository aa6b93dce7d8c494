"""The projection engine: ties, zeros, edges of tiles and chunks, fast products, memory."""

import itertools
import multiprocessing
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor

from ingest.vocabulary import (
    Candidates,
    Precision,
    Projector,
    break_ties,
    find_lm_head_tokens,
    multiply_tiles,
)
from ingest.vocabulary.candidates import CHUNK_SIZE
from ingest.vocabulary.moments import Spread
from ingest.vocabulary.native import is_available
from ingest.vocabulary.products import TOKEN_TILE, Operand, bound_product_error
from ingest.weights.preprocess import NeuronVectors
from neurondb.contracts.vocabulary import VocabularyRecord
from neurondb.schema.codes import BASES, DIRECTIONS, SIDES, VECTORS, encode_token_list
from tests.support.arrays import Array
from tests.support.vocabulary_reference import lm_head, moments

TILE = TOKEN_TILE["cpu"]
PRECISIONS = [p for p in Precision if p is not Precision.SPLIT or is_available()]
HIGHER = ("skewness", "kurtosis")


class Matrices(NamedTuple):
    """A layer and a vocabulary."""

    vectors: NeuronVectors
    unembed: Tensor
    embed: Tensor

    def project(self, k: int, precision: Precision) -> VocabularyRecord:
        projector = Projector(self.unembed, self.embed, self.unembed, k, precision)
        return projector.project(self.vectors, self.vectors.in_)


def matrices(d_vocab: int, d_model: int, n: int, seed: int = 0, *, gated: bool = True) -> Matrices:
    random = torch.Generator().manual_seed(seed)
    gate, in_, out = torch.randn(3, n, d_model, generator=random)
    unembed, embed = torch.randn(2, d_vocab, d_model, generator=random)
    sign = torch.ones(n, dtype=torch.int8)
    vectors = NeuronVectors(gate if gated else None, in_, out, None, None, sign)
    return Matrices(vectors, unembed, embed)


def cosines(vectors: Tensor, rows: Tensor) -> Array:
    """Neurons × tokens in float64 of the unit rows in float32, equal rows exactly equal."""
    units = [
        each / torch.linalg.vector_norm(each, dim=1).clamp_min(1e-38)[:, None]
        for each in (vectors, rows)
    ]
    left, right = (each.double().numpy() for each in units)
    scores: Array = np.round(np.einsum("nd,vd->nv", left, right), 12)
    return scores


def expected_order(scores: Array, k: int, direction: str) -> NDArray[np.int64]:
    """The k most extreme tokens of every neuron, ties by token id."""
    signed = -scores if direction == "top" else scores
    return np.argsort(signed, axis=1, kind="stable")[:, :k]


def assert_lists_right(some: Matrices, k: int, precision: Precision) -> None:
    """The very tokens of float64; these matrices have ties, but no near ties."""
    record = some.project(k, precision)
    for (code, vector), (b, basis), (d, direction) in itertools.product(
        enumerate(VECTORS), enumerate(BASES), enumerate(DIRECTIONS)
    ):
        rows = getattr(some.vectors, "in_" if vector == "in" else vector)
        if rows is None:
            assert encode_token_list(code, b, d) not in record.lists
            continue
        scores = cosines(rows, {"unembed": some.unembed, "embed": some.embed}[basis])
        found = record.lists[encode_token_list(code, b, d)]
        there = (rows != 0).any(1).numpy()
        expected = expected_order(scores, k, direction)
        np.testing.assert_array_equal(found.token_ids[there], expected[there])
        chosen = np.take_along_axis(scores, expected, axis=1)
        np.testing.assert_allclose(found.cosine[there], chosen[there], atol=1e-6)
        assert (found.token_ids[~there] == -1).all()


# --- sizes --------------------------------------------------------------------------------

AROUND_EDGES = (1, 5, CHUNK_SIZE - 1, CHUNK_SIZE, CHUNK_SIZE + 1, 1000, TILE - 1, TILE, TILE + 1,
                2 * TILE + CHUNK_SIZE + 3)  # fmt: skip


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("d_vocab", AROUND_EDGES)
def test_any_size_of_the_vocabulary_is_searched_whole(d_vocab: int, precision: Precision) -> None:
    assert_lists_right(matrices(d_vocab, 24, 7), min(16, d_vocab), precision)


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("k", [1, 300, TILE + 5])
def test_lists_may_be_as_long_as_a_tile_and_longer(k: int, precision: Precision) -> None:
    assert_lists_right(matrices(TILE + 50, 24, 2), k, precision)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_list_is_at_most_the_vocabulary(precision: Precision) -> None:
    record = matrices(10, 8, 3).project(16, precision)
    assert {found.token_ids.shape for found in record.lists.values()} == {(3, 10)}


@pytest.mark.parametrize("precision", PRECISIONS)
def test_more_neurons_than_a_tile_are_one_layer(precision: Precision) -> None:
    assert_lists_right(matrices(100, 8, 1100), 3, precision)


def test_an_ungated_layer_has_no_lists_of_gate() -> None:
    assert_lists_right(matrices(100, 8, 5, gated=False), 3, Precision.EXACT)


# --- ties and zeros -----------------------------------------------------------------------


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("n_twins", [3, 30, 500, 5000])
def test_equal_tokens_at_the_edge_of_a_list_go_by_their_ids(
    n_twins: int, precision: Precision
) -> None:
    some = matrices(2 * TILE, 24, 6)
    twins = torch.randperm(2 * TILE, generator=torch.Generator().manual_seed(1))[:n_twins]
    some.unembed[twins] = some.vectors.out[2] + 0.1 * some.unembed[0]
    some.embed[twins] = -some.vectors.in_[4]
    assert_lists_right(some, 16, precision)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_all_tokens_equal_are_listed_from_the_first(precision: Precision) -> None:
    some = matrices(700, 8, 3)
    some.unembed[:] = some.unembed[0].clone()
    assert_lists_right(some, 5, precision)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_zero_rows_score_zero_and_zero_vectors_have_no_tokens(precision: Precision) -> None:
    some = matrices(600, 16, 9)
    some.unembed[[3, 500]], some.embed[[0, 599]] = 0, 0
    some.vectors.in_[4], some.vectors.out[8] = 0, 0
    assert_lists_right(some, 600, precision)
    record = some.project(5, precision)
    for one in record.lm_head.values():
        assert one.token_ids[4] == -1
        assert (np.delete(one.token_ids, 4) >= 0).all()
    for name in ("mean", "variance", "skewness", "kurtosis", "dot_variance"):
        values = getattr(record.moments[VECTORS.index("out")], name)
        assert np.isnan(values[8])
        assert not np.isnan(values[:8]).any()


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 2**32), st.integers(1, 120), st.integers(1, 4), st.integers(1, 20),
    st.integers(1, 2), st.sampled_from(PRECISIONS),
)  # fmt: skip
def test_small_integers_are_ordered_by_score_and_id(
    seed: int, d_vocab: int, d_model: int, k: int, largest: int, precision: Precision
) -> None:
    random = torch.Generator().manual_seed(seed)

    def integers(*shape: int) -> Tensor:
        return torch.randint(-largest, largest + 1, shape, generator=random).float()

    gate, in_, out = integers(3, 4, d_model)
    vectors = NeuronVectors(gate, in_, out, None, None, torch.ones(4, dtype=torch.int8))
    some = Matrices(vectors, integers(d_vocab, d_model), integers(d_vocab, d_model))
    assert_lists_right(some, min(k, d_vocab), precision)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 300), st.integers(1, 40), st.booleans())
def test_candidates_of_any_tiles_are_the_largest_scores(
    seed: int, n_tokens: int, keep: int, smallest: bool
) -> None:
    random = np.random.default_rng(seed)
    scores = torch.from_numpy(random.integers(-20, 20, (3, n_tokens))).float()
    found, start = Candidates.empty(3, scores.device), 0
    while start < n_tokens:
        end = start + int(random.integers(1, 150))
        found.take(scores[:, start:end].contiguous(), start, keep, smallest=smallest)
        start = end
    signed = -scores if smallest else scores
    kept = min(keep, n_tokens)
    assert torch.equal(found.scores, signed.sort(dim=1, descending=True).values[:, :kept])
    assert torch.equal(signed.gather(1, found.token_ids), found.scores)
    assert all(len(set(ids)) == kept for ids in found.token_ids.tolist())


# --- fast products ------------------------------------------------------------------------


@pytest.mark.parametrize("d_model", [16, 256])
def test_fast_products_give_the_lists_of_exact_ones(d_model: int) -> None:
    some = matrices(3 * TILE, d_model, 40)
    exact, fast = (some.project(16, precision) for precision in (Precision.EXACT, Precision.FAST))
    for code, expected in exact.lists.items():
        np.testing.assert_array_equal(fast.lists[code].token_ids, expected.token_ids)
        np.testing.assert_allclose(fast.lists[code].cosine, expected.cosine, atol=3e-7)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
@pytest.mark.parametrize("precision", [Precision.EXACT, Precision.FAST])
def test_a_gpu_gives_the_processors_lists_and_moments(precision: Precision) -> None:
    some = matrices(10 * TILE, 256, 40)
    gate, in_, out, *_, sign = some.vectors.__dict__.values()
    vectors = NeuronVectors(gate.cuda(), in_.cuda(), out.cuda(), None, None, sign.cuda())
    there = Matrices(vectors, some.unembed.cuda(), some.embed.cuda())
    expected, found = some.project(16, Precision.EXACT), there.project(16, precision)
    for code, tokens in expected.lists.items():
        np.testing.assert_array_equal(found.lists[code].token_ids, tokens.token_ids)
        np.testing.assert_allclose(found.lists[code].cosine, tokens.cosine, atol=3e-7)
    for code, of_vector in expected.moments.items():
        for name, values in of_vector.__dict__.items():
            rtol, atol = (1e-4, 1e-4) if name in HIGHER else (1e-6, 1e-8)
            moment = getattr(found.moments[code], name)
            np.testing.assert_allclose(moment, values, rtol=rtol, atol=atol)
    for side, one in expected.lm_head.items():
        np.testing.assert_array_equal(found.lm_head[side].token_ids, one.token_ids)


def test_near_ties_that_rounding_swaps_are_put_right() -> None:
    some = matrices(TILE, 64, 8)
    near = some.vectors.out[0] + 1e-3 * torch.randn(400, 64)
    some.unembed[:400] = near  # hundreds of tokens closer than 16 bits can tell
    exact, fast = (some.project(16, precision) for precision in (Precision.EXACT, Precision.FAST))
    for code, expected in exact.lists.items():
        np.testing.assert_array_equal(fast.lists[code].token_ids, expected.token_ids)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 200), st.floats(1e-5, 1e2))
def test_the_error_of_fast_products_is_bounded(seed: int, d_model: int, scale: float) -> None:
    random = torch.Generator().manual_seed(seed)
    left, right = torch.randn(2, 30, d_model, generator=random) * scale
    # all errors to one side: what rounding takes away has the sign of the other factor
    left, right = left.abs(), right.abs()
    operands = (
        Operand.at_precision(left, Precision.FAST),
        Operand.at_precision(right, Precision.FAST),
    )
    ((_, scores),) = multiply_tiles(*operands)
    off = (scores.double() - left.double() @ right.double().T).abs().amax(1)
    assert (off <= bound_product_error(*operands)).all()


def test_what_is_stored_in_16_bits_is_multiplied_without_loss() -> None:
    random = torch.Generator().manual_seed(0)
    unembed = torch.randn(5000, 32, generator=random).bfloat16()
    in_ = torch.randn(20, 32, generator=random).bfloat16().float()
    assert not Operand.at_precision(unembed, Precision.FAST).is_rounded
    for precision, side in itertools.product(PRECISIONS, SIDES):
        probabilities, typical = lm_head(unembed.double().numpy(), side * in_.double().numpy())
        found = find_lm_head_tokens(in_, Operand.at_precision(unembed, precision))[side]
        np.testing.assert_array_equal(found.token_ids, probabilities.argmax(1))
        np.testing.assert_allclose(found.probability, probabilities.max(1), rtol=1e-5)
        np.testing.assert_allclose(found.normalised, probabilities.max(1) / typical, rtol=1e-5)


# --- moments ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("precision", "higher"),
    [(Precision.EXACT, 1e-5), (Precision.FAST, 1e-4), (Precision.SPLIT, 1e-5)],
)
@pytest.mark.parametrize("shift", [0.0, 3.0])
def test_moments_are_those_of_float64(shift: float, precision: Precision, higher: float) -> None:
    if precision not in PRECISIONS:
        pytest.skip("needs a processor that multiplies bfloat16, and a compiler")
    some = matrices(2 * TILE + 77, 128, 12)
    some.unembed.add_(shift)  # a mean beside which the spread is small
    found = some.project(4, precision).moments[VECTORS.index("out")]
    expected = moments(cosines(some.vectors.out, some.unembed), axis=1)
    for name, value in zip(("mean", "variance"), expected, strict=False):
        np.testing.assert_allclose(getattr(found, name), value, rtol=1e-6, atol=1e-8)
    np.testing.assert_allclose(found.skewness, expected[2], atol=higher)
    np.testing.assert_allclose(found.kurtosis, expected[3], rtol=higher)
    dots = some.vectors.out.double().numpy() @ some.unembed.double().numpy().T
    np.testing.assert_allclose(found.dot_variance, dots.var(1), rtol=1e-6)


def test_a_small_variance_is_as_exact_as_a_large_one() -> None:
    random = torch.Generator().manual_seed(0)
    rows = torch.randn(3000, 64, generator=random)
    rows[:, 0] *= 1e-4  # almost nothing is written in this direction
    vector = torch.zeros(1, 64)
    vector[0, 0] = 1
    expected = rows.double()[:, 0].var(correction=0)
    assert Spread(rows).variance(vector).item() == pytest.approx(expected.item(), rel=1e-9)


def test_the_variance_of_a_wide_model_is_that_of_its_products() -> None:
    random = torch.Generator().manual_seed(1)
    rows, vectors = (torch.randn(n, 601, generator=random) for n in (900, 3))  # several blocks
    rows += rows[:, :1]  # columns that go together
    products = vectors.double().numpy() @ rows.double().numpy().T
    np.testing.assert_allclose(Spread(rows).variance(vectors), products.var(1), rtol=1e-12)


def test_tokens_all_alike_have_no_skewness() -> None:
    some = matrices(300, 8, 3)
    some.unembed[:] = some.unembed[0].clone()
    found = some.project(2, Precision.EXACT).moments[0]
    np.testing.assert_allclose(found.variance, 0, atol=1e-14)
    assert np.isnan(found.skewness).all()
    assert np.isnan(found.kurtosis).all()


# --- memory -------------------------------------------------------------------------------

LARGE, NEURONS = 256_000, 1024


def _peak_above_inputs() -> float:
    """MiB that projecting takes above its inputs, in a process of its own."""
    torch.set_num_threads(1)
    some = matrices(LARGE, 8, NEURONS)
    projector = Projector(some.unembed, some.embed, some.unembed, 16)
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # forget the peak so far
    before = _status("VmRSS")
    projector.project(some.vectors, some.vectors.in_)
    return (_status("VmHWM") - before) / 1024


def _status(name: str) -> int:
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    (found,) = [line.split()[1] for line in lines if line.startswith(name)]
    return int(found)


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="Linux tells a peak")
def test_memory_is_bounded_by_tiles_whatever_the_vocabulary() -> None:
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        peak = pool.apply(_peak_above_inputs)
    every_score = NEURONS * LARGE * 4 / 2**20
    assert peak < every_score / 5


def test_settling_nothing_is_nothing() -> None:
    empty = Candidates.empty(0, torch.device("cpu"))
    scores, ids = break_ties(empty, torch.ones(3, 2), torch.ones(0, 2), 2)
    assert scores.shape[0] == ids.shape[0] == 0
