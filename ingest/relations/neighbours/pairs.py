"""Connections seen from both ends: a pair of neurons, and its place in the lists of either."""

from typing import Final, NamedTuple

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import NDArray

from ingest.relations.neighbours.exact import RelatedLists

ABSENT: Final = -1
"""The rank of a pair that is not in a list."""


class ConnectedPairs(NamedTuple):
    """Pairs of a neuron that writes and one that reads, each once, by writer and then reader.

    Attributes:
        writer: The neuron that writes, numbered through the model.
        reader: The neuron of a later layer that reads.
        cosine: Of what the one writes and what the other reads.
        downstream_rank: The reader's place among those of the writer with the same sign; or
            `ABSENT`.
        upstream_rank: The writer's place among those of the reader; or `ABSENT`.
    """

    writer: Int[NDArray[np.int64], " pairs"]
    reader: Int[NDArray[np.int64], " pairs"]
    cosine: Float[NDArray[np.float64], " pairs"]
    downstream_rank: Int[NDArray[np.int64], " pairs"]
    upstream_rank: Int[NDArray[np.int64], " pairs"]


def join_sides(downstream: RelatedLists, upstream: RelatedLists, n_total: int) -> ConnectedPairs:
    """Return the pairs that are in a writer's list of readers or in a reader's list of writers.

    Args:
        downstream: The lists of writers.
        upstream: The lists of readers, of the same vectors.
        n_total: Neurons of the model.
    """
    keys = np.concatenate(
        [
            downstream.neuron * n_total + downstream.other,
            upstream.other * n_total + upstream.neuron,
        ]
    )
    unique, first, place = np.unique(keys, return_index=True, return_inverse=True)
    n_down = len(downstream.neuron)
    ranks = np.full((2, len(unique)), ABSENT, dtype=np.int64)
    ranks[0, place[:n_down]] = downstream.rank
    ranks[1, place[n_down:]] = upstream.rank
    cosine = np.concatenate([downstream.cosine, upstream.cosine])[first]
    return ConnectedPairs(unique // n_total, unique % n_total, cosine, ranks[0], ranks[1])
