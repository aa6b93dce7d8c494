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
    treatments: tuple[Treatment, ...] = (ZERO,)
    """What is done to each neuron, each a run of its own; their modes are of
    `SINGLE_NEURON_MODES`."""
    name: str | None = None
    """Name to store the set of neurons under."""
    seed: int = 0
    """Seed for drawing so many neurons of a class."""
    device: str = "auto"
    """One device, or several with commas between, which share the work."""
    executor: str = "local"
    """Where it is computed: local, or ray or ray:ADDRESS, on a cluster.
    Estimates are computed on one device."""
    dtype: str = "auto"
    database: str | None = None
    """Path or URL; None is the default database."""
    force: bool = False
    """Run again what is stored already."""


@dataclass(frozen=True)
class EffectReport:
    """What one of these jobs did.

    Attributes:
        run_ids: The runs that answer the request, one a treatment; they may have been stored
            before.
        n_neurons: How many neurons their set has.
        n_new: How many numbers a metric were computed and stored now: neurons × runs.
        seconds: The time that took, from the request to the answer.
    """

    run_ids: tuple[int, ...]
    n_neurons: int
    n_new: int
    seconds: float

    @property
    def run_id(self) -> int:
        """The only run, of a request with one treatment."""
        (run_id,) = self.run_ids
        return run_id
