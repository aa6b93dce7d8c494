"""Numbers are short, and nothing is shown where there is none."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neurondb.formatting.numbers import (
    HALF,
    format_compact,
    format_duration,
    format_share,
    format_signed,
    format_size,
    shorten_float,
)


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0.0, "0"),
        (-0.0, "0"),
        (5.12, "5.12"),
        (-0.0801, "-0.0801"),
        (123.456, "123"),
        (31234.5, "31234"),
        (1e-4, "1.00e-04"),
        (1.5e9, "1.50e+09"),
        (math.inf, "inf"),
        (None, "–"),
    ],
)
def test_three_significant_digits(value: float | None, shown: str) -> None:
    assert format_compact(value) == shown


def test_cosines_have_their_sign_and_shares_are_per_cent() -> None:
    assert format_signed(-1e-9, 2) == format_signed(-0.0, 2) == "+0.00"
    assert (format_signed(0.71644), format_signed(-0.5, 3), format_signed(None)) == (
        "+0.7164",
        "-0.500",
        "–",
    )
    assert (format_share(0.63204), format_share(None)) == ("63.20%", "–")


@pytest.mark.parametrize(
    ("n_bytes", "shown"),
    [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (4.3e9, "4.3 GB"), (2e15, "2000.0 TB")],
)
def test_sizes(n_bytes: float, shown: str) -> None:
    assert format_size(int(n_bytes)) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(0.84, "0.8 s"), (42.4, "42 s"), (185.0, "3 min 05 s"), (7800.0, "2 h 10 min")],
)
def test_durations(seconds: float, shown: str) -> None:
    assert format_duration(seconds) == shown


singles = st.integers(0, 2**32 - 1).map(lambda bits: np.uint32(bits).view(np.float32))


@given(singles)
def test_a_float32_is_written_with_the_digits_that_numpy_finds_it_by(value: np.float32) -> None:
    if np.isfinite(value):
        assert shorten_float(float(value)) == float(str(value))
        assert np.float32(shorten_float(float(value))) == value


def test_powers_of_two_are_written_as_short_as_numpy_does() -> None:
    for exponent in range(-149, 128):
        value = np.float32(2.0**exponent)
        assert shorten_float(float(value)) == float(str(value))


def test_every_float16_is_written_with_the_digits_that_numpy_finds_it_by() -> None:
    every = np.arange(65536, dtype=np.uint16).view(np.float16)
    for value in every[np.isfinite(every)]:
        assert shorten_float(float(value), HALF) == float(str(value))


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_what_is_no_float32_stays_as_it_is(value: float) -> None:
    with np.errstate(over="ignore"):
        is_single = float(np.float32(value)) == value
    if not is_single:
        assert shorten_float(value) == value
