"""What `ablate-each` and `attribute` are asked for, and what they report: a number a neuron."""

from dataclasses import dataclass

from neurondb.contracts.inputs import NeuronSelection, TextsRequest
from neurondb.interventions import ZERO, Treatment


@dataclass(frozen=True)
class EffectRequest:
    """A request for a number for each neuron of a set: what intervening on it alone does.

    `ablate-each` measures it; `attribute` estimates it by activation × gradient.
    """

    model: str
    """The model's name in the database."""
    texts: TextsRequest
    metrics: tuple[str, ...]
    """Some of `interventions.METRICS`; an estimate has `ESTIMATED_METRICS` only."""
    selection: NeuronSelection | None = None
    """None takes every neuron."""
    treatment: Treatment = ZERO
    """What is done to each neuron; its mode is one of `SINGLE_NEURON_MODES`."""
    name: str | None = None
    """Name to store the set of neurons under."""
    seed: int = 0
    """Seed for drawing so many neurons of a class."""
    device: str = "auto"
    dtype: str = "auto"
    database: str | None = None
    """Path or URL; None is the default database."""
    force: bool = False
    """Run again what is stored already."""


@dataclass(frozen=True)
class EffectReport:
    """What one of these jobs did.

    Attributes:
        run_id: The run that answers the request; it may have been stored before.
        n_neurons: How many neurons its set has.
        n_new: How many of them were computed and stored now.
        seconds: The time that took, from the request to the answer.
    """

    run_id: int
    n_neurons: int
    n_new: int
    seconds: float
