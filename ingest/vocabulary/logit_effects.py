"""Histograms of what neurons do to the vocabulary, split by a property (universal-neurons Fig. 5).

All of a neuron's effects are as many numbers as the vocabulary has tokens, so histograms are kept
in their place, and only of neurons whose effects say something: those with a role, which is rare,
and those whose effects a property of tokens explains the best.
"""

from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from numpy.typing import NDArray
from torch import Tensor

from ingest.vocabulary.property_effects import BestProperties
from neurondb.contracts.vocabulary import LogitEffectsRecord
from neurondb.schema.views import PARTITION_VARIANCE, ROLE_KURTOSIS

MOST_WITH_ROLE: Final = 64
"""Neurons of each role that a layer has histograms of at most: the most extreme."""

MOST_EXPLAINED: Final = 16
"""Neurons of a layer that have histograms because a property explains their effects the best."""

MOST_BINS: Final = 64
"""Bins between a neuron's smallest and its largest effect, at most."""

STEPS_A_DECADE: Final = (1, 2, 5)
FINEST: Final = 6
"""Bins are no narrower than 10⁻⁶, what float32 tells apart."""

_TILE: Final = 32


class OutMoments(NamedTuple):
    """Moments of cos(U, out) over the vocabulary, of a layer; NaN where there is none."""

    skewness: Float[np.ndarray, " neurons"]
    kurtosis: Float[np.ndarray, " neurons"]
    variance: Float[np.ndarray, " neurons"]


def choose_neurons(moments: OutMoments, best: BestProperties) -> Int[np.ndarray, " chosen"]:
    """Return the neurons of a layer that get histograms, ascending.

    These are the MOST_WITH_ROLE of largest kurtosis among prediction and among suppression
    neurons, as many of largest variance among partition neurons (METHODS §4), and the
    MOST_EXPLAINED whose effects a property explains the best.
    """
    with np.errstate(invalid="ignore"):
        heavy = moments.kurtosis > ROLE_KURTOSIS
        wide = moments.variance > PARTITION_VARIANCE
    prediction, suppression = heavy & (moments.skewness > 0), heavy & (moments.skewness < 0)
    partition = wide & ~prediction & ~suppression
    chosen = np.zeros(len(best.explained), dtype=bool)
    for members, strength, most in (
        (prediction, moments.kurtosis, MOST_WITH_ROLE),
        (suppression, moments.kurtosis, MOST_WITH_ROLE),
        (partition, moments.variance, MOST_WITH_ROLE),
        (best.explained > 0, best.explained, MOST_EXPLAINED),
    ):
        places = np.flatnonzero(members)
        chosen[places[np.argsort(-strength[places], kind="stable")[:most]]] = True
    return np.flatnonzero(chosen & (best.by_variance >= 0))


def count_logit_effects(
    out: Float[Tensor, "neurons d_model"],
    unit_unembed: Float[Tensor, "tokens d_model"],
    members: Bool[NDArray[np.bool_], "tokens properties"],
    chosen: Int[np.ndarray, " chosen"],
    best: BestProperties,
) -> LogitEffectsRecord:
    """Return histograms of cos(U, out) of chosen neurons, one for each of their best properties.

    Args:
        out: a layer's preprocessed out vectors.
        unit_unembed: U, preprocessed, its rows of unit length.
        members: `members[t, p]`: token t has property p.
        chosen: numbers of the neurons.
        best: the best properties of every neuron of the layer.
    """
    parts = [
        part
        for places in np.split(chosen, range(_TILE, len(chosen), _TILE))
        for part in _count_tile(out, unit_unembed, members, places, best)
    ]
    columns = (np.concatenate(column) for column in zip(*parts, strict=True)) if parts else ()
    return LogitEffectsRecord(*(columns if parts else _no_bins()))


def _no_bins() -> Iterator[NDArray[Any]]:
    for kind in (int, int, float, float, int, int):
        yield np.zeros(0, dtype=kind)


def _count_tile(
    out: Tensor,
    unit_unembed: Tensor,
    members: NDArray[np.bool_],
    places: NDArray[np.int64],
    best: BestProperties,
) -> Iterator[Sequence[NDArray[Any]]]:
    """Yield the columns of the record for each neuron of a tile and each of its properties."""
    vectors = out[torch.from_numpy(places).to(out.device)]
    unit = vectors / torch.linalg.vector_norm(vectors, dim=1, keepdim=True)
    effects = (unit @ unit_unembed.T).cpu().numpy()
    for place, of_neuron in zip(places, effects, strict=True):
        bins_a_unit = choose_scale(float(of_neuron.min()), float(of_neuron.max()))
        bins = np.floor(of_neuron.astype(np.float64) * bins_a_unit).astype(np.int64)
        first = int(bins.min())
        counts = np.bincount(bins - first)
        held = np.flatnonzero(counts)
        properties = int(best.by_variance[place]), int(best.by_skewness[place])
        for property_ in dict.fromkeys(properties):
            inside = np.bincount(bins[members[:, property_]] - first, minlength=len(counts))
            yield (
                np.full(len(held), place),
                np.full(len(held), property_),
                # A quotient of whole numbers is the decimal that it looks like.
                (held + first) / bins_a_unit,
                (held + first + 1) / bins_a_unit,
                counts[held],
                inside[held],
            )


def choose_scale(low: float, high: float) -> int:
    """Return how many bins a unit has: the most of 1, 2, 5, 10, … that give MOST_BINS or fewer."""
    scales = [step * 10**k for k in range(FINEST) for step in STEPS_A_DECADE]
    fitting = [scale for scale in scales if (high - low) * scale <= MOST_BINS]
    return max(fitting, default=1)
