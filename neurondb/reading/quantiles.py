"""Quantiles of a neuron's activations, as far as the bins of its histogram tell."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Final

from neurondb.reading.histograms import Histograms

SHARES: Final = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)


@dataclass(frozen=True)
class Quantiles:
    """The values below which these shares of the counted tokens lie.

    Interpolated within a bin, so right to half an octave; None where the share ends in one of the
    two outer bins, which are open.
    """

    quantity: str
    shares: tuple[float, ...]
    values: tuple[float | None, ...]


def quantiles(
    histograms: Histograms | None, shares: Sequence[float] = SHARES
) -> tuple[Quantiles, ...]:
    """Return the quantiles of each quantity that has a histogram with something in it."""
    if histograms is None:
        return ()
    return tuple(
        Quantiles(
            one.quantity,
            tuple(shares),
            tuple(quantile(histograms.edges, one.counts, share) for share in shares),
        )
        for one in histograms.quantities
        if any(one.counts)
    )


def quantile(edges: Sequence[float], counts: Sequence[int], share: float) -> float | None:
    """Return one quantile; None in an open bin.

    Args:
        edges: between the bins, ascending.
        counts: of each bin, one more than edges; not all zero.
        share: in [0, 1].
    """
    up_to = list(accumulate(counts))
    wanted = share * up_to[-1]
    place = next(i for i, total in enumerate(up_to) if counts[i] and total >= wanted)
    if place in (0, len(edges)):
        return None
    low, high = edges[place - 1], edges[place]
    within = (wanted - (up_to[place] - counts[place])) / counts[place]
    return low + (high - low) * max(within, 0.0)
