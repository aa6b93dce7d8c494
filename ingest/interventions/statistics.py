"""The values of every token → what is stored of a run (METHODS §6)."""

from collections.abc import Iterator
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ingest.interventions.token_values import TokenValues
from neurondb.contracts.ablate import AblationBin, AblationResult
from neurondb.interventions import METRICS

SMALLEST_EXPONENT: Final = -16
LARGEST_EXPONENT: Final = 20
"""Exponents of two of the innermost and outermost edges: 1.5e-5, and more than any rank."""

Values = NDArray[np.float64]


def compute_results(clean: TokenValues, ablated: TokenValues, run: int) -> list[AblationResult]:
    """Return the statistics of every metric that a token has: of all, and of those changed.

    Args:
        clean: Values of the clean run.
        ablated: Values of several runs.
        run: The place of the run among them.
    """
    results = []
    for metric in METRICS:
        before, after = _finite(clean, ablated, run, metric)
        if len(before):
            changed = before != after
            results.append(_result(metric, "all", before, after))
            results.append(_result(metric, "changed", before[changed], after[changed]))
    return results


def count_bins(clean: TokenValues, ablated: TokenValues, run: int) -> list[AblationBin]:
    """Return how many tokens changed by how much, in fixed bins; those unchanged are in none.

    Two bins an octave on either side of zero, from 2⁻¹⁶ to 2²⁰; an edge belongs to the bin beyond
    it, seen from zero.
    """
    bins: list[AblationBin] = []
    for metric in METRICS:
        before, after = _finite(clean, ablated, run, metric)
        bins += _bins(metric, before - after)
    return bins


def count_left_out(
    clean: TokenValues, ablated: TokenValues, run: int, has_next: NDArray[np.bool_]
) -> int:
    """Return the tokens whose loss is NaN or infinite in either run, although a token follows."""
    both = (clean.read_metric(0, "loss"), ablated.read_metric(run, "loss"))
    finite = np.logical_and(*(np.isfinite(values) for values in both))
    return int((has_next & ~finite).sum())


def _finite(
    clean: TokenValues, ablated: TokenValues, run: int, metric: str
) -> tuple[Values, Values]:
    """Return a metric before and after, of tokens that have it; float64 keeps differences exact."""
    before = clean.read_metric(0, metric).astype(np.float64)
    after = ablated.read_metric(run, metric).astype(np.float64)
    has_metric = np.isfinite(before) & np.isfinite(after)
    return before[has_metric], after[has_metric]


def _result(metric: str, filter_: str, before: Values, after: Values) -> AblationResult:
    if not len(before):
        return AblationResult(metric, filter_, 0, *(np.nan,) * 9)
    difference = before - after
    q25, q50, q75, least, most = np.quantile(difference, (0.25, 0.5, 0.75, 0, 1)).tolist()
    mean, std = float(difference.mean()), float(difference.std())
    means = float(before.mean()), float(after.mean())
    return AblationResult(
        metric, filter_, len(before), mean, std, q25, q50, q75, least, most, *means
    )


def compute_bin_edges() -> Values:
    """Return the edges of the bins of positive differences, ascending from zero."""
    octaves = np.exp2(np.arange(SMALLEST_EXPONENT, LARGEST_EXPONENT, dtype=np.float64))
    halves = np.stack([octaves, 1.5 * octaves], axis=1).ravel()
    return np.concatenate([[0.0], halves, [2.0**LARGEST_EXPONENT]])


def _bins(metric: str, difference: Values) -> Iterator[AblationBin]:
    edges = compute_bin_edges()
    last = len(edges) - 2
    for side in (-1, 1):
        sizes = np.abs(difference[difference * side > 0])
        place = np.minimum(np.searchsorted(edges, sizes, side="right") - 1, last)
        counts = np.bincount(place, minlength=last + 1)
        bins = [
            AblationBin(metric, *_ends(side, edges[i], edges[i + 1]), int(counts[i]))
            for i in np.flatnonzero(counts)
        ]
        yield from bins[::side]


def _ends(side: int, inner: float, outer: float) -> tuple[float, float]:
    return (float(inner), float(outer)) if side > 0 else (-float(outer), -float(inner))
