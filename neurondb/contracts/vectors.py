"""What is asked of a checkpoint about single neurons: their weight vectors, and hooks for them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from neurondb.interventions import Treatment

if TYPE_CHECKING:  # a request need not wait for numpy
    import numpy as np
    from jaxtyping import Float, Int
    from numpy.typing import NDArray


@dataclass(frozen=True)
class VectorsRequest:
    """What the job `vectors` is asked for: the weights of neurons of one stored model."""

    model: str
    """The model's name in the database."""
    neuron_ids: Int[NDArray[np.int64], " neurons"]
    database: str | None = None
    """Path or URL; None is the default database."""
    preprocessed: bool = False
    """Whether norms are folded in, what is centred is, and signs are canonical (METHODS §1)."""


class NeuronVectors(NamedTuple):
    """The weight vectors of neurons, a row each, in float32.

    Attributes:
        gate: None where the model has no gate.
        in_: What a neuron reads with.
        out: What it writes.
    """

    gate: Float[NDArray[np.float32], "neurons d_model"] | None
    in_: Float[NDArray[np.float32], "neurons d_model"]
    out: Float[NDArray[np.float32], "neurons d_model"]


@dataclass(frozen=True)
class HooksRequest:
    """What the job `hooks` is asked for: neurons of a stored model, and what to do to them."""

    model: str
    """The model's name in the database."""
    neuron_ids: Int[NDArray[np.int64], " neurons"]
    treatment: Treatment
    database: str | None = None
    """Path or URL; None is the default database."""
    dataset: str | None = None
    """The dataset whose means `mean` sets; None is the one that is shown."""
    check: bool = True
    """Whether the running model must have the weights that the stored one was read from."""
