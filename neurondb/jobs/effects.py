"""What the jobs `ablate-each` and `attribute` are asked for, and what they report."""

from dataclasses import dataclass
from typing import Final

from neurondb.conditions import ZERO, Treatment
from neurondb.jobs.ablating import NeuronSelection, TextsRequest

METRICS: Final = ("loss", "entropy", "rank", "scale")
"""What an intervention is measured by (METHODS §6)."""
ESTIMATED: Final = ("loss", "entropy")
"""Those that attribution estimates."""
MODES: Final = ("zero", "mean")
"""What may be done to each neuron."""


@dataclass(frozen=True)
class EffectRequest:
    """A number for each neuron of a set: what intervening on it alone does, or an estimate."""

    model: str
    """Name in the database."""
    texts: TextsRequest
    metrics: tuple[str, ...]
    """Of `METRICS`; of an estimate, of `ESTIMATED`."""
    selection: NeuronSelection | None = None
    """None is every neuron."""
    treatment: Treatment = ZERO
    """Of one of `MODES`."""
    name: str | None = None
    """Name to store the set under."""
    seed: int = 0
    """Of so many neurons of a class, drawn at random."""
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
        run_id: Of the run that answers the request, one stored before included.
        n_neurons: Of its set.
        n_new: Those that were computed and stored now.
        seconds: That took, from the question to the answer.
    """

    run_id: int
    n_neurons: int
    n_new: int
    seconds: float
