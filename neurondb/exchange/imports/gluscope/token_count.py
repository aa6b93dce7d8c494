"""How many tokens frequencies are of: the number that all of them are whole multiples of 1 over.

GLUScope writes counts divided by their number, and not the number. A frequency is a float32, so
freq·N is within a few 2⁻²⁴ of the count: for counts up to some hundred thousand that is close
enough to a whole number to recognise N by. Rare sign cases of many neurons have small counts, and
the smallest decide.
"""

from collections.abc import Iterable
from typing import Final

import numpy as np
from numpy.typing import NDArray

FEWEST: Final = 24
"""Distinct frequencies from which a number is believed: by chance all of them fit in 0.1^24."""
_MOST: Final = 4096
_LARGEST_FIRST_COUNT: Final = 512
"""How many tokens the rarest case may have."""
_FLOAT32: Final = 4 * 2.0**-24
"""Relative error of a sum, a quotient and a product of float32."""
_TOLERANCE: Final = 0.05
"""How far from a whole number a count may be."""


class Frequencies:
    """The smallest frequencies of a file, gathered batch by batch."""

    def __init__(self) -> None:
        self._smallest = np.empty(0)

    def add(self, columns: Iterable[NDArray[np.float64]]) -> None:
        """Look at more frequencies."""
        seen = np.concatenate([self._smallest, *(np.ravel(column) for column in columns)])
        self._smallest = np.unique(seen[seen > 0])[:_MOST]

    def infer_token_count(self) -> int | None:
        """Return the number of tokens; None where the frequencies do not tell.

        The smallest number is taken that all of them are multiples of 1 over, then made exact to
        rounding by all counts that it gives.
        """
        few = self._smallest[: 4 * FEWEST]
        if len(few) < FEWEST:
            return None
        for count in range(1, _LARGEST_FIRST_COUNT + 1):
            n = count / few[0]
            if _fits(few, _refine(few, n)):
                return round(_refine(self._smallest, _refine(few, n)))
        return None


def _refine(frequencies: NDArray[np.float64], n: float) -> float:
    """Return the number of tokens by the counts that an approximate number gives."""
    counts = np.rint(frequencies * n)
    sure = np.abs(frequencies * n - counts) < 0.25
    sure &= counts * _FLOAT32 < _TOLERANCE
    if not sure.any():
        return n
    return float(counts[sure].sum() / frequencies[sure].sum())


def _fits(frequencies: NDArray[np.float64], n: float) -> bool:
    counts = frequencies * n
    distance = np.abs(counts - np.rint(counts))
    return bool((distance < _TOLERANCE + counts * _FLOAT32).all() and np.rint(counts).max() < 1e5)
