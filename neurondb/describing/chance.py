"""How extreme chance is: what must be exceeded for something to stand out.

Whoever looks at the largest of fifty thousand cosines finds a large one. The bounds here are those
that a random direction, or a random draw of tokens, exceeds once in a thousand times.
"""

import math
from functools import cache
from typing import Final

import numpy as np
from jaxtyping import Float, Int

RARE: Final = 0.001
"""A bound is exceeded by chance in this share of all neurons."""
_POINTS: Final = 200_001


@cache
def find_largest_random_cosine(width: int, n: int, rare: float = RARE) -> float:
    """Return the cosine that the largest of n cosines of a random direction seldom exceeds.

    A random cosine in `width` dimensions is Beta((d − 1)/2, (d − 1)/2) rescaled to [−1, 1]
    (METHODS §3). The largest of n independent ones is below c with probability F(c)ⁿ; rows of an
    unembedding that resemble one another only make it smaller.

    Args:
        width: d_model.
        n: tokens that a vector is compared with.
        rare: how often a random direction may exceed the result.
    """
    if width < 4 or n < 1:
        return 1.0
    tail_wanted = -np.expm1(np.log1p(-rare) / n)
    cosines = np.linspace(0.0, 1.0, _POINTS)
    density = (1 - cosines**2) ** ((width - 3) / 2)
    steps = (density[1:] + density[:-1]) / 2
    above = np.concatenate([np.cumsum(steps[::-1])[::-1], [0.0]])
    tail = above / (2 * steps.sum())  # the other half of the distribution is below 0
    return float(cosines[np.searchsorted(-tail, -tail_wanted)])


def measure_one_surprise(count: int, n: int, share: float) -> float:
    """Return what `measure_surprise` does of one count."""
    seen, base = count / n, min(max(share, 1e-9), 1 - 1e-9)
    if seen <= base:
        return 0.0
    rest = (1 - seen) * math.log((1 - seen) / (1 - base)) if seen < 1 else 0.0
    return n * (seen * math.log(seen / base) + rest)


def measure_surprise(
    count: Int[np.ndarray, "..."] | Float[np.ndarray, "..."], n: int, share: np.ndarray | float
) -> Float[np.ndarray, "..."]:
    """Return by how many nats a count of n draws is likelier at its own share than at a base share.

    It is n times the Kullback–Leibler divergence of the two, 0 where the count is not above the
    base: the logarithm of a likelihood ratio.

    Args:
        count: how many of the draws have something.
        n: how many there are.
        share: how often that has it by chance.
    """
    seen = np.asarray(count, dtype=np.float64) / n
    base = np.clip(share, 1e-9, 1 - 1e-9)
    with np.errstate(divide="ignore", invalid="ignore"):
        nats = n * (
            np.where(seen > 0, seen * np.log(seen / base), 0.0)
            + np.where(seen < 1, (1 - seen) * np.log((1 - seen) / (1 - base)), 0.0)
        )
    return np.where(seen > base, nats, 0.0)
