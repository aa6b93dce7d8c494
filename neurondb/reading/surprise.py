"""How far out values of hook_post stand in the stored distributions of their own neurons.

The surprise of a value is −log₁₀ of the two-sided tail share, 2·min(share below, share above), by
the neuron's histogram (`neurondb.histogram`): 0 in the middle, 3 where one token in a thousand
is as far out. Within a bin tokens are taken to be evenly spread. The outermost bins are open: a
value in one has all of its tokens beyond it. No share is taken to be smaller than one of the
histogram's tokens, so that no surprise exceeds log₁₀ of their number, however extreme the value.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Float, Int
from sqlalchemy import ColumnElement, Connection, select

from neurondb import histogram
from neurondb.reading.models import Model, match_neurons
from neurondb.schema import tables
from neurondb.schema.codes import QUANTITIES

_AT_A_TIME: Final = 10_000
"""Neurons that one statement names."""
_EDGES: Final = histogram.compute_edges()
_LOWS: Final = np.concatenate([[0.0], _EDGES])
_WIDTHS: Final = np.concatenate([[np.inf], np.diff(_EDGES), [np.inf]])
"""Lower ends and widths of the bins; what an open bin has as its lower end does not matter."""
_HOOK_POST: Final = QUANTITIES.index("hook_post")


@dataclass(frozen=True)
class PostDistributions:
    """Histograms of hook_post of some neurons, in canonical sign.

    Attributes:
        before: how many tokens lie below each bin, and at the end how many there are; 0 throughout
            for a neuron without a histogram.
    """

    before: Int[np.ndarray, "neurons bins_and_one"]

    def measure_surprise(
        self, values: Float[np.ndarray, "*places neurons"]
    ) -> Float[np.ndarray, "*places neurons"]:
        """Return the surprise of values, their last axis over the neurons.

        It is NaN for a value that is none, and for a neuron without a histogram.
        """
        bins = histogram.find_bins(np.nan_to_num(values, nan=0.0, posinf=np.inf, neginf=-np.inf))
        n_before, n = self.before.shape[1], self.before[:, -1].astype(np.float64)
        place = np.arange(len(self.before)) * n_before + bins
        first, last = (self.before.take(p).astype(np.float64) for p in (place, place + 1))
        low, width = _LOWS.take(bins), _WIDTHS.take(bins)
        with np.errstate(invalid="ignore", divide="ignore"):
            # Of an open bin the whole lies beyond: 1 of it is below at the bottom, 0 at the top.
            within = np.where(np.isinf(width), bins == 0, (values - low) / width)
            below = first + within * (last - first)
            tail = np.clip(2 * np.minimum(below, n - below), 1, n)
            found = np.log10(n) - np.log10(tail)
        found[..., n == 0] = np.nan
        return np.where(np.isnan(values), np.nan, found)


def read_post_distributions(
    connection: Connection,
    model: Model,
    dataset_id: int,
    neuron_ids: Int[np.ndarray, " neurons"] | None = None,
) -> PostDistributions:
    """Return the histograms of hook_post of neurons on a dataset.

    Args:
        connection: an open connection.
        model: whose neurons.
        dataset_id: the dataset.
        neuron_ids: which, in the order of the result; None is all, in the order of their ids.
    """
    of_neuron = tables.activation_histograms.c.neuron_id
    if neuron_ids is None:
        wanted = np.arange(model.first_neuron_id, model.first_neuron_id + model.n_ids)
        found = _read(connection, dataset_id, match_neurons(of_neuron, model))
    else:
        wanted, found = neuron_ids, {}
        unique = np.unique(neuron_ids).tolist()
        for first in range(0, len(unique), _AT_A_TIME):
            part = of_neuron.in_(unique[first : first + _AT_A_TIME])
            found |= _read(connection, dataset_id, part)
    before = np.zeros((len(wanted), histogram.N_BINS + 1), dtype=np.uint32)
    stored = [(place, found[i]) for place, i in enumerate(wanted.tolist()) if i in found]
    if stored:
        counts = histogram.unpack(b"".join(packed for _, packed in stored))
        places = [place for place, _ in stored]
        before[places, 1:] = counts.reshape(len(stored), histogram.N_BINS).cumsum(axis=1)
    return PostDistributions(before)


def _read(connection: Connection, dataset_id: int, which: ColumnElement[bool]) -> dict[int, bytes]:
    h = tables.activation_histograms.c
    rows = connection.execute(
        select(h.neuron_id, h.counts).where(
            which, h.dataset_id == dataset_id, h.quantity_id == _HOOK_POST
        )
    )
    return {row.neuron_id: row.counts for row in rows}
