"""Histograms: which bin a value is in, and counts that are packed and unpacked unchanged."""

import math
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from neurondb import histogram
from tests.support.leb128 import leb128

COUNTS = st.one_of(st.integers(0, 300), st.integers(0, 2**63 - 1))
ROWS = arrays(np.int64, array_shapes(min_dims=2, max_dims=2, max_side=70), elements=COUNTS)


def test_edges_are_two_an_octave_around_zero() -> None:
    edges = histogram.compute_edges().tolist()

    assert len(edges) == histogram.N_BINS - 1 == 59
    assert edges[29:36] == [0, 2**-6, 1.5 * 2**-6, 2**-5, 1.5 * 2**-5, 2**-4, 1.5 * 2**-4]
    assert edges[-2:] == [192, 256]
    assert edges == [-edge for edge in reversed(edges)]


@pytest.mark.parametrize(
    ("value", "bin_"),
    [
        (0.0, 30), (-0.0, 30), (1e-9, 30), (-1e-9, 29),
        (2**-6, 31), (-(2**-6), 28), (math.nextafter(2**-6, 0), 30),
        (1.0, 43), (-1.0, 16), (255.9, 58), (256.0, 59), (1e30, 59), (-256.0, 0), (-1e30, 0),
    ],
)  # fmt: skip
def test_an_edge_belongs_to_the_bin_beyond_it(value: float, bin_: int) -> None:
    assert histogram.find_bins(np.array([value])).tolist() == [bin_]


@given(st.lists(st.floats(allow_nan=False, width=32)))
def test_a_value_lies_between_the_edges_of_its_bin(values: list[float]) -> None:
    ends = [-math.inf, *histogram.compute_edges().tolist(), math.inf]
    for value, bin_ in zip(values, histogram.find_bins(np.array(values)).tolist(), strict=True):
        assert ends[bin_] <= value <= ends[bin_ + 1]


@given(ROWS)
def test_counts_come_back_from_the_bytes_of_the_format(counts: np.ndarray) -> None:
    packed = histogram.pack(counts)

    assert packed == [b"".join(map(leb128, row)) for row in counts.tolist()]
    assert [histogram.unpack(one).tolist() for one in packed] == counts.tolist()
    assert histogram.unpack(b"".join(packed)).reshape(counts.shape).tolist() == counts.tolist()


@pytest.mark.parametrize("shape", [(0, 60), (3, 0)])
def test_nothing_packs_into_nothing(shape: tuple[int, int]) -> None:
    assert histogram.pack(np.zeros(shape, dtype=np.int64)) == [b""] * shape[0]
    assert histogram.unpack(b"").tolist() == []


def test_a_layer_packs_well_under_a_second() -> None:
    counts = np.random.default_rng(0).integers(0, 10_000, (14_336, histogram.N_BINS))
    started = time.process_time()

    histogram.pack(counts)

    assert time.process_time() - started < 1
