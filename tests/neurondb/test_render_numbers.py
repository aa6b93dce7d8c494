"""Numbers are short, and nothing is shown where there is none."""

import math

import pytest

from neurondb.render.numbers import compact, duration, share, signed, size


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
    assert compact(value) == shown


def test_cosines_have_their_sign_and_shares_are_per_cent() -> None:
    assert (signed(0.71644), signed(-0.5, 3), signed(None)) == ("+0.7164", "-0.500", "–")
    assert (share(0.63204), share(None)) == ("63.20%", "–")


@pytest.mark.parametrize(
    ("n_bytes", "shown"),
    [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (4.3e9, "4.3 GB"), (2e15, "2000.0 TB")],
)
def test_sizes(n_bytes: float, shown: str) -> None:
    assert size(int(n_bytes)) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(0.84, "0.8 s"), (42.4, "42 s"), (185.0, "3 min 05 s"), (7800.0, "2 h 10 min")],
)
def test_durations(seconds: float, shown: str) -> None:
    assert duration(seconds) == shown
