"""What `neighbours` is asked for, and what it stores: neighbours and connections by weights.

METHODS §8; universal-neurons App. C.2 and §5.2.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from neurondb.contracts.concept import RunOrigin, identify_request
from neurondb.errors import UsageError
from neurondb.spelling import option

if TYPE_CHECKING:  # a request need not wait for numpy
    import numpy as np
    from numpy.typing import NDArray

DEFAULT_TOP = 4
"""Entries of each list of a neuron."""
DEFAULT_THRESHOLD = 0.9
"""|cosine| from which pairs are duplicates or antipodes, and are all stored."""
DEFAULT_DIRECTIONS = 1000
MOST_TOP = 60
"""Entries of a list at most."""


@dataclass(frozen=True)
class NeighboursRequest:
    """Everything that `neurondb neighbours` is asked for."""

    model: str
    """The model's name in the database."""
    database: str | None = None
    """Path or URL; None is the default database."""
    n_top: int = DEFAULT_TOP
    """Entries of each list: of each vector, and of each sign of the cosine."""
    threshold: float = DEFAULT_THRESHOLD
    """|cosine| from which neighbours are stored however many come before them."""
    n_directions: int = DEFAULT_DIRECTIONS
    """Random directions to compare with."""
    seed: int = 0
    """Seed of the random directions."""
    memory_gib: float = 4.0
    """Memory for the vectors that are kept; those of other layers are read again when needed."""
    tile_mib: float = 32.0
    """Memory for the cosines that exist at a time."""
    device: str = "auto"
    """One of auto, cpu, cuda, cuda:1, mps; the precision is always float32."""
    force: bool = False
    """Compute again what is stored already, and replace it."""

    def check(self) -> None:
        """Check what can be checked without a model.

        Raises:
            UsageError: says which value is wrong.
        """
        if not 1 <= self.n_top <= MOST_TOP:
            raise UsageError(f"{option('top')} {self.n_top}: a list has 1 to {MOST_TOP} entries")
        if not 0 < self.threshold <= 1:
            raise UsageError(
                f"{option('threshold')} {self.threshold:g}: give a |cosine| above 0 and up to 1"
            )
        if self.n_directions < 1:
            raise UsageError(f"{option('random')} {self.n_directions}: one direction at least")
        if self.seed < 0:
            raise UsageError(f"{option('seed')} {self.seed}: a seed is 0 or more")
        if not self.memory_gib > 0 or not self.tile_mib > 0:
            raise UsageError(f"{option('memory')} {self.memory_gib:g}: give more than 0 GiB")

    def identify(self, model_id: int, fingerprint: str, preprocessing: Sequence[object]) -> str:
        """Return the sha256 over all that the result depends on.

        Args:
            model_id: The model.
            fingerprint: That of its weights.
            preprocessing: What was done to the weights of each layer.
        """
        return identify_request(
            model_id,
            fingerprint,
            neighbours=self.n_top,
            threshold=self.threshold,
            n_directions=self.n_directions,
            seed=self.seed,
            preprocessing=[str(one) for one in preprocessing],
        )


class NeighbourColumns(NamedTuple):
    """Neighbours by one vector, by neuron, sign and rank; neurons are numbered from 0.0 on.

    `sign` is 1 in the list of the nearest, −1 in that of the most nearly opposite.
    """

    vector: str
    neuron: NDArray[np.int64]
    sign: NDArray[np.int64]
    rank: NDArray[np.int64]
    other: NDArray[np.int64]
    cosine: NDArray[np.float64]


class ConnectionColumns(NamedTuple):
    """Connections that are read with one vector, by writer and reader.

    The rank is the place in the list of the writer, and in that of the reader, of the same sign; −1
    where the pair is not in it.
    """

    vector: str
    writer: NDArray[np.int64]
    reader: NDArray[np.int64]
    cosine: NDArray[np.float64]
    downstream_rank: NDArray[np.int64]
    upstream_rank: NDArray[np.int64]


class LayerConnection(NamedTuple):
    """All cosines between what the neurons of one layer write and those of a later one read.

    `rms` is the root of the mean square; random directions have 1/√d.
    """

    vector: str
    writer_layer: int
    reader_layer: int
    mean: float
    rms: float
    smallest: float
    largest: float


class NeighbourBaseline(NamedTuple):
    """A quantile of the largest cosine that a random direction has in a neuron's place.

    Attributes:
        relation: neighbour, downstream or upstream.
        vector: The vector compared with: gate, in or out; of upstream lists the one that reads.
        layer: The layer of the neuron; −1 for neighbours, which are of all layers.
        quantile: From 0 to 1.
        cosine: Its value.
    """

    relation: str
    vector: str
    layer: int
    quantile: float
    cosine: float


@dataclass(frozen=True)
class NeighboursRecord:
    """A run as it is stored."""

    origin: RunOrigin
    request: NeighboursRequest
    random_std: float
    """The standard deviation of a cosine with a random direction: 1/√d."""
    n_cut: int
    """Lists of neighbours that have more beyond the threshold than are kept."""
    neighbours: Sequence[NeighbourColumns]
    connections: Sequence[ConnectionColumns]
    layers: Sequence[LayerConnection]
    baselines: Sequence[NeighbourBaseline]
    seconds: float


@dataclass(frozen=True)
class NeighboursReport:
    """What the job did."""

    run_id: int
    is_new: bool
    """Whether it was computed now; False where it was stored already."""
    seconds: float
