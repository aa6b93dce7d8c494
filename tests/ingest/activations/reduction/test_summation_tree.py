"""Sums over a tree of batches: the same bits whatever the parts and the order they come in."""

import random
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.activations.reduction import FloatSums, SumTree, add_sums

N_NEURONS, N_CASES, N_QUANTITIES, N_LABELS = 3, 2, 2, 2


def batch_values(number: int) -> torch.Tensor:
    """Return some values of each neuron, of very different sizes and far from zero."""
    random_ = np.random.default_rng(number)
    n = int(random_.integers(0, 6))
    scale = 10.0 ** random_.integers(-6, 6, N_NEURONS)
    return torch.from_numpy(random_.standard_normal((n, N_NEURONS)) * scale + 7 * scale)


def of_values(values: torch.Tensor) -> FloatSums:
    """Return the sums of a sample by their definitions; every row and case is the same."""
    n = len(values)
    mean = values.sum(0) / max(n, 1)
    deviation = values - mean
    power2, power3, power4 = ((deviation**k).sum(0).expand(2, -1) for k in (2, 3, 4))
    sums = values.sum(0).expand(N_CASES, N_QUANTITIES, -1)
    by_label = values.sum(0).expand(4, N_LABELS, -1)
    finite, mean = torch.full((N_NEURONS,), n), mean.expand(2, -1)
    return FloatSums(finite, mean, power2, power3, power4, sums, by_label)


def batch(number: int) -> FloatSums:
    """Return what a batch comes to."""
    return of_values(batch_values(number))


def by_definition(first: int, n: int, n_batches: int) -> list[FloatSums]:
    """Return the sums of the largest full nodes of an interval, by recursion from the top."""
    if first + n <= n_batches:
        return [node(first, n)]
    if n == 1:
        return []
    halves = (by_definition(f, n // 2, n_batches) for f in (first, first + n // 2))
    return [sums for half in halves for sums in half]


def node(first: int, n: int) -> FloatSums:
    """Return a node's sum: that of its halves."""
    return batch(first) if n == 1 else add_sums(node(first, n // 2), node(first + n // 2, n // 2))


def tree_of(numbers: Sequence[int]) -> SumTree:
    """Return the tree of these batches, added in this order."""
    tree = SumTree()
    for number in numbers:
        tree.add(batch(number), number)
    return tree


def assert_identical(one: SumTree, other: SumTree) -> None:
    """Compare nodes and totals, bit by bit."""
    mine, theirs = one.tensors(), other.tensors()
    assert list(mine) == list(theirs)
    for name, tensor in mine.items():
        assert tensor.numpy().tobytes() == theirs[name].numpy().tobytes(), name
    totals = one.total(), other.total()
    for mine_, theirs_ in zip(*(total or () for total in totals), strict=True):
        assert mine_.numpy().tobytes() == theirs_.numpy().tobytes()


@given(n=st.integers(0, 70), data=st.data())
@settings(deadline=None)
def test_any_contiguous_shards_merged_in_any_order_are_one_run(n: int, data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, n), max_size=7)))
    bounds = zip([0, *cuts], [*cuts, n], strict=True)
    trees = data.draw(st.permutations([tree_of(range(a, b)) for a, b in bounds]))
    while len(trees) > 1:  # merges of merges: any two, as long as there are two
        one = trees.pop(data.draw(st.integers(0, len(trees) - 1)))
        trees[data.draw(st.integers(0, len(trees) - 1))].merge(one)
    assert_identical(trees[0], tree_of(range(n)))


@given(n=st.integers(1, 70), seed=st.integers(0, 999), n_parts=st.integers(1, 5))
@settings(deadline=None)
def test_batches_dealt_anyhow_are_one_run_too(n: int, seed: int, n_parts: int) -> None:
    order = random.Random(seed).sample(range(n), n)
    first, *others = (tree_of(order[part::n_parts]) for part in range(n_parts))
    for other in others:
        first.merge(other)
    assert_identical(first, tree_of(range(n)))


@given(n=st.integers(0, 40), at=st.integers(0, 40))
@settings(deadline=None)
def test_a_tree_goes_on_from_its_tensors(n: int, at: int) -> None:
    tree = SumTree.from_tensors(tree_of(range(min(at, n))).tensors())
    for number in range(min(at, n), n):
        tree.add(batch(number))  # after those that are there
    assert_identical(tree, tree_of(range(n)))


@pytest.mark.parametrize("n", [1, 2, 5, 21, 64, 67])
def test_nodes_and_total_are_those_of_the_definition(n: int) -> None:
    tree = tree_of(range(n))
    expected = by_definition(0, 128, n)
    found = [sums for _, sums in tree]
    assert len(found) == len(expected) == n.bit_count()
    total = expected[-1]
    for earlier in reversed(expected[:-1]):
        total = add_sums(earlier, total)
    for sums, right in zip([*found, tree.total()], [*expected, total], strict=True):
        assert sums is not None
        assert all(a.equal(b) for a, b in zip(sums, right, strict=True))


@given(n=st.integers(1, 70))
@settings(deadline=None, max_examples=20)
def test_the_total_is_that_of_all_values(n: int) -> None:
    """In extended precision, from the values themselves."""
    total = tree_of(range(n)).total()
    assert total is not None
    values = torch.cat([batch_values(number) for number in range(n)]).numpy().astype(np.longdouble)
    assert total.finite.tolist() == [len(values)] * N_NEURONS
    if not len(values):
        return
    mean = values.mean(0)
    np.testing.assert_allclose(total.mean[0].numpy(), mean.astype(float), rtol=1e-13)
    size = np.abs(values - mean)
    for k, power in ((2, total.power2), (3, total.power3), (4, total.power4)):
        exact = ((values - mean) ** k).sum(0).astype(float)
        scale = (size**k).sum(0).astype(float)
        assert (np.abs(power[1].numpy() - exact) <= 1e-11 * scale).all()
    np.testing.assert_allclose(total.sum[0, 0].numpy(), values.sum(0).astype(float), rtol=1e-12)
    np.testing.assert_allclose(total.by_label[3, 1], values.sum(0).astype(float), rtol=1e-12)


def test_few_nodes_are_kept() -> None:
    for first in (0, 1, 37):
        tree = tree_of(range(first, first + 200))
        assert len(list(tree)) <= 2 * 8


def test_a_batch_cannot_be_added_twice() -> None:
    tree = tree_of(range(5))
    for number in (0, 3, 4):
        with pytest.raises(ValueError, match=rf"\bbatch {number}\b"):
            tree.add(batch(number), number)


@pytest.mark.parametrize(("mine", "theirs"), [(5, 5), (1, 9), (9, 1), (16, 3), (3, 16)])
def test_trees_that_number_their_batches_alike_are_of_other_texts(mine: int, theirs: int) -> None:
    one, other = tree_of(range(mine)), tree_of(range(theirs))
    one.merge(other)
    total = one.total()
    values = [batch_values(number) for n in (mine, theirs) for number in range(n)]
    expected = of_values(torch.cat(values))
    assert total is not None
    for found, right in zip(total, expected, strict=True):
        torch.testing.assert_close(found, right, rtol=1e-9, atol=1e-9 * float(right.abs().max()))


def test_nothing_has_no_total() -> None:
    tree = SumTree()
    tree.merge(SumTree())
    assert tree.total() is None
    assert tree.tensors() == {}
