"""What `compare` is asked for, of two models or a series, and what it stores of each layer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # a request need not wait for numpy
    from neurondb.contracts.weights import PerNeuron, PerNeuronInt


@dataclass(frozen=True)
class CompareRequest:
    """Everything that `neurondb compare` is asked for."""

    before: str
    """Name in the database of the model that the other one came from."""
    after: str
    database: str | None = None
    """Path or URL; None is the default database."""


@dataclass(frozen=True)
class SeriesRequest:
    """Everything that `neurondb compare` is asked for where there are more than two models.

    Attributes:
        models: their names in the database, in the order of their making.
        database: path or URL; None is the default database.
        force: whether pairs that are compared already are compared again.
    """

    models: tuple[str, ...]
    database: str | None = None
    force: bool = False


@dataclass(frozen=True)
class ComparisonRecord:
    """One layer of two models compared, neuron by neuron; cosines are between their vectors.

    Attributes:
        same_token: whether the top token of the LM-head decoding is the same text in both: 1 or 0,
            −1 where either has none.
        class_a: read-write class in the first model, −1 where it has none.
        class_b: in the second.
    """

    layer: int
    gate_cosine: PerNeuron | None
    in_cosine: PerNeuron
    out_cosine: PerNeuron
    same_token: PerNeuronInt
    class_a: PerNeuronInt
    class_b: PerNeuronInt
