"""Sums by token against loops in float64, whatever kernel, batches and order of merging."""

import itertools
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch

from ingest.activations.compiled import PLAIN_KERNELS, Kernels
from ingest.activations.counted_batch import CountedBatch
from ingest.activations.native import NotCompiledError, load_native_kernels
from ingest.activations.reduction import (
    TokenSums,
    choose_frequent_tokens,
    find_token_segments,
)
from ingest.activations.reduction.by_token import N_STRONGEST, cut_sums
from ingest.activations.summary import LayerSummary
from ingest.forward import Batch
from neurondb.contracts.activations import TokenStatistics
from tests.support.random_layers import (
    EXTREME,
    NO_NUMBERS,
    NUMBERS,
    Layer,
    activations,
    empty,
    random_layer,
)

N_TOKENS = 7
POOLS: dict[str, tuple[float, ...] | None] = {
    "normal": None,
    "ties": NUMBERS,
    "any": NUMBERS + EXTREME + NO_NUMBERS,
}


def load_kernels(name: str) -> Kernels:
    if name == "plain":
        return PLAIN_KERNELS
    try:
        return load_native_kernels()
    except NotCompiledError as error:
        pytest.skip(str(error))


class Words(NamedTuple):
    """A layer's texts with their token ids, and the tokens of which statistics are wanted."""

    layer: Layer
    ids: list[list[int]]
    listed: list[int]

    def batch(self, chosen: Sequence[int]) -> CountedBatch:
        chosen = sorted(chosen)
        lengths = torch.tensor([len(self.ids[i]) for i in chosen])
        padded = torch.zeros(len(chosen), int(lengths.max()), dtype=torch.int64)  # 0 is a token
        for row, i in zip(padded, chosen, strict=True):
            row[: len(self.ids[i])] = torch.tensor(self.ids[i])
        batch = Batch(padded, lengths, torch.tensor(chosen))
        listed = torch.tensor(self.listed)
        return CountedBatch.from_batch(batch, skip_bos=self.layer.skip_bos, listed=listed)

    def summarise(
        self, parts: Sequence[Sequence[int]], kernels: Kernels = PLAIN_KERNELS
    ) -> LayerSummary:
        summary = empty(self.layer)
        summary.by_token = TokenSums.empty(torch.tensor(self.listed), len(self.layer.sign))
        summary.use_kernels(kernels)
        for chosen in parts:
            found = activations(self.layer, sorted(chosen), math.nan)
            summary.add(self.batch(chosen), found, self.layer.sign, self.layer.activation)
        return summary


def words(seed: int, **options: Any) -> Words:
    layer = random_layer(seed, 11, longest=9, n_neurons=19, **options)
    draw = np.random.default_rng(seed)
    ids = [draw.integers(0, N_TOKENS, len(text.in_)).tolist() for text in layer.texts]
    return Words(layer, ids, [0, 2, 3, 6])


def expect(found: Words, place: int, token: int, neuron: int) -> tuple[int, float, float]:
    """Return how many positions count, the mean of hook_post and the share with an open gate."""
    layer, values, opens = found.layer, list[float](), 0
    step = (0, -1, 1)[place]
    for text, ids in zip(layer.texts, found.ids, strict=True):
        for position in range(int(layer.skip_bos), len(ids)):
            beside = position + step
            if not 0 <= beside < len(ids) or ids[beside] != token:
                continue
            parts = [float(part[position, neuron]) for part in text.parts]
            if not all(map(math.isfinite, parts)):
                continue
            values.append(parts[-1] * (float(layer.sign[neuron]) if layer.gated else 1.0))
            opens += (parts[0] if layer.gated else parts[-1]) > 0
    n = len(values)
    return n, math.fsum(values) / n if n else math.nan, opens / n if n else math.nan


def assert_right(found: Words, strongest: dict[int, TokenStatistics]) -> None:
    for place, neuron in np.ndindex(3, len(found.layer.sign)):
        expected = {token: expect(found, place, token, neuron) for token in found.listed}
        there = sorted(
            (token for token in found.listed if expected[token][0]),
            key=lambda token: (-abs(expected[token][1]), token),
        )
        stored = strongest[place]
        kept = [int(token) for token in stored.token_id[neuron] if token >= 0]
        assert set(kept) == set(there)
        sizes = [abs(expected[token][1]) for token in kept]
        largest = max(abs(float(v)) for v in (*sizes, 1.0))
        assert all(a >= b - 1e-12 * largest for a, b in itertools.pairwise(sizes))
        for rank, token in enumerate(kept):
            n, mean, freq = expected[token]
            assert stored.n[neuron, rank] == n
            assert stored.freq[neuron, rank] == freq
            assert stored.mean[neuron, rank] == pytest.approx(mean, rel=1e-6, abs=1e-12)


@pytest.mark.parametrize("kernels", ["plain", "native"])
@pytest.mark.parametrize("skip_bos", [False, True])
@pytest.mark.parametrize("pool", ["normal", "ties"])
@pytest.mark.parametrize("gated", [True, False])
def test_means_and_shares_are_those_of_a_loop(
    kernels: str, skip_bos: bool, pool: str, gated: bool
) -> None:
    found = words(3, gated=gated, pool=POOLS[pool], skip_bos=skip_bos)
    summary = found.summarise([range(4), range(4, 11)], load_kernels(kernels))
    assert_right(found, dict(summary.record().token_stats))


@pytest.mark.parametrize("gated", [True, False])
def test_what_is_not_finite_is_left_out(gated: bool) -> None:
    pool = NUMBERS * 3 + NO_NUMBERS
    found = words(5, gated=gated, pool=pool, free_post=True)
    summary = found.summarise([range(6), range(6, 11)], load_kernels("native"))
    assert_right(found, dict(summary.record().token_stats))


def assert_equal_bits(one: TokenSums, other: TokenSums) -> None:
    for name, tensor in one.tensors().items():
        assert torch.equal(tensor, other.tensors()[name]), name


@pytest.mark.parametrize("pool", POOLS)
@pytest.mark.parametrize("gated", [True, False])
def test_both_kernels_give_the_same_bits(pool: str, gated: bool) -> None:
    found = words(8, gated=gated, pool=POOLS[pool], free_post=True)
    parts = [range(5), range(5, 11)]
    plain, native = (found.summarise(parts, load_kernels(name)) for name in ("plain", "native"))
    assert plain.by_token is not None
    assert native.by_token is not None
    assert_equal_bits(plain.by_token, native.by_token)


def test_batches_merged_in_any_order_give_the_bits_of_the_whole() -> None:
    found = words(13, pool=None, free_post=True)
    parts: list[Sequence[int]] = [[0, 3], [1], [2, 4, 5], [6, 7, 8], [9], [10]]
    whole = found.summarise(parts).by_token
    assert whole is not None
    for order in ([0, 1, 2, 3, 4, 5], [5, 3, 1, 0, 2, 4]):
        for cut in (1, 3):
            sums = [
                found.summarise([parts[i] for i in half]).by_token
                for half in (order[:cut], order[cut:])
            ]
            assert sums[0] is not None
            assert sums[1] is not None
            sums[0].merge(sums[1])
            assert_equal_bits(sums[0], whole)


def test_halves_of_which_one_has_values_that_are_not_finite_merge() -> None:
    found = words(21, pool=NUMBERS, free_post=True)
    found.layer.texts[10].post[0, 4] = math.inf
    parts = [range(6), range(6, 11)]
    for order in (parts, parts[::-1]):
        first, second = (found.summarise([part]).by_token for part in order)
        assert first is not None
        assert second is not None
        first.merge(second)
        assert_right(found, first.describe_strongest())


def test_what_was_stored_is_what_comes_back() -> None:
    summary = words(2).summarise([range(11)])
    again = LayerSummary.from_tensors(0, 0, summary.tensors(), gated=True)
    assert again.by_token is not None
    assert summary.by_token is not None
    assert_equal_bits(again.by_token, summary.by_token)
    assert "by_token.n" not in empty(words(2).layer).tensors()


def test_segments_are_those_of_a_loop() -> None:
    for seed in range(20):
        found = words(seed, skip_bos=bool(seed % 2))
        chosen = [1, 4, 6, 7]
        batch = found.batch(chosen)
        width = batch.counted.shape[1]
        expected: dict[int, list[int]] = {}
        for row, i in enumerate(chosen):
            ids = found.ids[i]
            for place, step in enumerate((0, -1, 1)):
                for position in range(int(found.layer.skip_bos), len(ids)):
                    beside = position + step
                    if 0 <= beside < len(ids) and ids[beside] in found.listed:
                        number = place * len(found.listed) + found.listed.index(ids[beside])
                        expected.setdefault(number, []).append(row * width + position)
        assert batch.segments is not None
        rows = torch.split(batch.segments.rows, batch.segments.lengths.tolist())
        stored = zip(batch.segments.segments.tolist(), rows, strict=True)
        assert {number: part.tolist() for number, part in stored} == expected


def test_a_batch_without_a_listed_token_adds_nothing() -> None:
    found = words(1)._replace(listed=[99])
    for name in ("plain", "native"):
        sums = found.summarise([range(11)], load_kernels(name)).by_token
        assert sums is not None
        assert not sums.n.any()
        assert (sums.describe_strongest()[0].token_id == -1).all()


def test_the_most_frequent_tokens_are_chosen_ties_by_id() -> None:
    texts = [np.array(ids) for ids in ([5, 1, 1, 2], [5, 2, 9], [5, 3])]
    assert choose_frequent_tokens(texts, 2, skip_bos=False).tolist() == [1, 5]
    assert choose_frequent_tokens(texts, 3, skip_bos=False).tolist() == [1, 2, 5]
    assert choose_frequent_tokens(texts, 3, skip_bos=True).tolist() == [1, 2, 3]
    assert choose_frequent_tokens(texts, 99, skip_bos=False).tolist() == [1, 2, 3, 5, 9]


def test_of_equal_sizes_the_first_tokens_are_kept() -> None:
    n_tokens = 40
    sums = TokenSums.empty(torch.arange(n_tokens) * 2, 2)
    sums.n += 1
    sums.high[:n_tokens, 0] = torch.tensor([1.0, -1.0] * 20)
    sums.high[:n_tokens, 1] = torch.arange(n_tokens).remainder(4).double()
    strongest = sums.describe_strongest()[0]
    assert strongest.token_id[0].tolist() == [2 * i for i in range(N_STRONGEST)]
    threes, twos = ([i for i in range(n_tokens) if i % 4 == size] for size in (3, 2))
    assert strongest.token_id[1].tolist() == [2 * i for i in (*threes, *twos)][:N_STRONGEST]
    assert strongest.mean[0].tolist() == [1.0, -1.0] * 8


def test_sums_that_are_cut_add_exactly_in_any_order() -> None:
    draw = torch.Generator().manual_seed(0)
    scale = 2.0 ** torch.randint(-20, 30, (5000,), generator=draw)
    values = torch.randn(5000, generator=draw, dtype=torch.float64) * scale
    high, low = cut_sums(values)
    total = high.sum() + low.sum()
    for _ in range(3):
        order = torch.randperm(5000, generator=draw)
        assert high[order].cumsum(0)[-1] + low[order].cumsum(0)[-1] == total
    assert float(total) == pytest.approx(math.fsum(values.tolist()), rel=1e-12)
    huge = torch.tensor([3e38, -3e38, 2.0**45 + 0.5], dtype=torch.float64)
    assert (cut_sums(huge)[0] + cut_sums(huge)[1]).tolist() == huge.tolist()


def test_a_token_beside_a_position_that_is_not_counted_is_seen() -> None:
    ids = torch.tensor([[4, 5, 6]])
    counted = torch.tensor([[False, True, True]])
    found = find_token_segments(ids, torch.tensor([3]), counted, torch.tensor([4, 6]))
    # at 6: position 2; after 4: position 1; before 6: position 1
    assert found.segments.tolist() == [1, 2, 5]
    assert found.rows.tolist() == [2, 1, 1]
