"""Random baselines: the region that cosines of unrelated vectors fill (METHODS §3).

Source: weakening-neurons §2.3 and App. C.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray
from scipy.stats import beta
from torch import Tensor

from neurondb.records import Baseline

MAX_STANDARD_ERROR: Final = 5e-4
"""Of each quantile of a sampled baseline."""

TAIL: Final = 0.025

UnitRows = Float[Tensor, "neurons d_model"]


@dataclass(frozen=True)
class Sampling:
    """How pairs i ≠ j are chosen: from a seed, or all of them."""

    seed: int = 0
    exact: bool = False


def gaussian(d_model: int) -> tuple[float, float]:
    """Return the 95% region of the cosine of two random directions in d dimensions.

    The cosine is Beta((d−1)/2, (d−1)/2), rescaled to [−1, 1].
    """
    shape = (d_model - 1) / 2
    low, high = beta.ppf([TAIL, 1 - TAIL], shape, shape, loc=-1, scale=2)
    return float(low), float(high)


def layer_baselines(
    gate: UnitRows | None, in_: UnitRows, out: UnitRows, sampling: Sampling
) -> list[Baseline]:
    """Return both baselines of every pair of vectors that a layer has.

    Args:
        gate: rows of length 1 (NaN for zero vectors), like `in_` and `out`.
        in_: canonical in vectors.
        out: out vectors.
        sampling: how the mismatched pairs are chosen.
    """
    d_model = in_.shape[1]
    pairs = {"in_out": (in_, out)}
    if gate is not None:
        pairs |= {"gate_out": (gate, out), "gate_in": (gate, in_)}
    low, high = gaussian(d_model)
    regions = [Baseline("gaussian", pair, low, high, None, 0.0) for pair in pairs]
    if len(in_) < 2:  # no i ≠ j
        return regions
    for pair, (left, right) in pairs.items():
        region = _mismatched(pair, left, right, sampling)
        if region is not None:
            regions.append(region)
    return regions


def _mismatched(
    pair: str, left: UnitRows, right: UnitRows, sampling: Sampling
) -> Baseline | None:
    # After sign canonicalisation the sign of cos(gate, in) carries nothing.
    of_absolute = pair == "gate_in"
    total = len(left) * (len(left) - 1)
    if sampling.exact:
        return _region(pair, _all_pairs(left, right, of_absolute), exact=True)
    sample: list[NDArray[np.float32]] = []
    wanted = _first_sample_size(left.shape[1])
    for cosines in _samples(left, right, sampling.seed):
        sample.append(np.abs(cosines) if of_absolute else cosines)
        n = sum(map(len, sample))
        if n < min(wanted, total):
            continue
        region = _region(pair, np.concatenate(sample), exact=n >= total)
        if region is not None and region.standard_error < MAX_STANDARD_ERROR:
            return region
        if n > total // 4:  # looking at all of them costs hardly more
            break
        wanted = 2 * n
    return _region(pair, _all_pairs(left, right, of_absolute), exact=True)


def _first_sample_size(d_model: int) -> int:
    # Standard error of a Gaussian's 2.5% quantile: √(p(1−p)/n) ÷ density = 2.67 σ/√n, σ = 1/√d.
    # Twice what that asks for, since real cosines have heavier tails.
    return int(2 * (2.67 / MAX_STANDARD_ERROR) ** 2 / d_model) + 1


def _samples(left: UnitRows, right: UnitRows, seed: int) -> Iterator[NDArray[np.float32]]:
    """Yield cosines of (i, i + shift), a new shift each time: no pair twice, each row once."""
    n = len(left)
    shifts = np.random.default_rng(seed).permutation(np.arange(1, n))
    for shift in shifts.tolist():
        cosines = (left * right.roll(-shift, 0)).sum(1)
        yield _numbers(cosines)


def _all_pairs(left: UnitRows, right: UnitRows, of_absolute: bool) -> NDArray[np.float32]:
    n = len(left)
    cosines = np.empty((n, n), dtype=np.float32)
    for start in range(0, n, 1024):
        cosines[start : start + 1024] = (left[start : start + 1024] @ right.T).cpu().numpy()
    np.fill_diagonal(cosines, np.nan)
    flat = cosines[~np.isnan(cosines)]
    return np.abs(flat) if of_absolute else flat


def _numbers(cosines: Tensor) -> NDArray[np.float32]:
    values: NDArray[np.float32] = cosines.cpu().numpy()
    return values[~np.isnan(values)]


def _region(pair: str, cosines: NDArray[np.float32], *, exact: bool) -> Baseline | None:
    n = len(cosines)
    if n == 0:  # no two vectors of the pair have a length
        return None
    if pair == "gate_in":
        high = float(np.quantile(cosines, 1 - 2 * TAIL))
        error = 0.0 if exact else _standard_error(cosines, 1 - 2 * TAIL)
        return Baseline("mismatched", pair, -high, high, n, error)
    low, high = (float(q) for q in np.quantile(cosines, [TAIL, 1 - TAIL]))
    error = 0.0 if exact else max(_standard_error(cosines, q) for q in (TAIL, 1 - TAIL))
    return Baseline("mismatched", pair, low, high, n, error)


def _standard_error(sample: NDArray[np.float32], q: float) -> float:
    """Estimate a sample quantile's standard error from the order statistics one σ around it."""
    spread = np.sqrt(q * (1 - q) / len(sample))
    low, high = np.quantile(sample, np.clip([q - spread, q + spread], 0, 1))
    return float(high - low) / 2
