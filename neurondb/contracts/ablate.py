"""What `ablate`, `rerun` and `ablate-suite` are asked for, report and store (METHODS §6)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from neurondb.contracts.inputs import NeuronSelection, TextsRequest
from neurondb.interventions import ZERO, Treatment

if TYPE_CHECKING:  # a request need not wait for numpy
    import numpy as np
    from jaxtyping import Int


@dataclass(frozen=True)
class AblationRequest:
    """Everything that `neurondb ablate` is asked for."""

    model: str
    """The model's name in the database."""
    selection: NeuronSelection
    texts: TextsRequest
    treatment: Treatment = ZERO
    name: str | None = None
    """Name to store the set of neurons under."""
    baseline: int = 0
    """How many random sets to compare with; each has a seed of its own."""
    seed: int = 0
    """Seed of the first random set; the next ones count on from it."""
    save_tokens: str | None = None
    """Parquet file to write the values of every token to."""
    device: str = "auto"
    """One device, or several with commas between, which share the work."""
    executor: str = "local"
    """Where it is computed: local, or ray or ray:ADDRESS, on a cluster."""
    dtype: str = "auto"
    database: str | None = None
    """Path or URL; None is the default database."""
    force: bool = False
    """Run again what is stored already."""


@dataclass(frozen=True)
class RerunRequest:
    """What `neurondb ablate --rerun` is asked for: a stored run and its baselines again."""

    run_id: int
    max_texts: int | None = None
    """Run the first so many texts instead; None with `max_tokens` None is those of the run."""
    max_tokens: int | None = None
    save_tokens: str | None = None
    device: str | None = None
    """None takes the device of the stored run, and so for the precision."""
    executor: str = "local"
    """Where it is computed: local, or ray or ray:ADDRESS, on a cluster."""
    dtype: str | None = None
    database: str | None = None


@dataclass(frozen=True)
class AblationSuiteRequest:
    """Everything that `neurondb ablate-suite` is asked for: every class × mode × condition."""

    model: str
    texts: TextsRequest
    classes: tuple[str, ...] | None = None
    """None takes every class that the model has neurons of, but for orthogonal output."""
    treatments: tuple[Treatment, ...] = (ZERO,)
    draw: int | None = None
    """So many neurons of each class, drawn by `seed`, all of one that has fewer; None takes all."""
    baseline: int = 1
    seed: int = 0
    device: str = "auto"
    """One device, or several with commas between, which share the work."""
    executor: str = "local"
    """Where it is computed: local, or ray or ray:ADDRESS, on a cluster."""
    dtype: str = "auto"
    database: str | None = None
    force: bool = False


@dataclass(frozen=True)
class AblationReport:
    """What a job of ablations did."""

    run_ids: tuple[int, ...]
    """The runs that answer the request, those stored before included; baselines are found by
    `baseline_of`."""
    n_new: int
    """How many runs were computed and stored now, baselines included."""
    seconds: float
    largest_difference: float | None = None
    """How far a statistic of a repeated run is from the stored one at most: 0 when all agree to the
    bit, None where nothing was repeated."""


@dataclass(frozen=True)
class NeuronSetRecord:
    """Some neurons of a model, and the SQL, expression or list that they came from."""

    definition: str
    neuron_ids: Int[np.ndarray, " members"]
    name: str | None = None


class AblationResult(NamedTuple):
    """One metric of a run, clean − ablated, over all tokens or those that changed (METHODS §6).

    All is NaN where no token is counted. `std` is the population's standard deviation (÷ n).
    """

    metric: str
    filter: str
    n: int
    mean: float
    std: float
    q25: float
    q50: float
    q75: float
    min: float
    max: float
    clean_mean: float
    ablated_mean: float


class AblationBin(NamedTuple):
    """How many tokens changed a metric by `low` to `high`; unchanged ones are in no bin."""

    metric: str
    low: float
    high: float
    n: int


class ChangedToken(NamedTuple):
    """A token that a run changed: `rank` is its place by |clean − ablated| in the metric, from 0.

    `ordinal` is the text's place in the dataset.
    """

    metric: str
    rank: int
    ordinal: int
    position: int
    token_id: int
    clean: float
    ablated: float


@dataclass(frozen=True)
class AblationSettings:
    """What makes two runs of the same set and treatment the same run."""

    model_id: int
    dataset_id: int
    n_texts: int
    max_len: int
    skip_bos: bool
    dtype: str
    device: str
    fingerprint: str


@dataclass(frozen=True)
class AblationRecord:
    """One run as it is stored: what was done to which neurons on which texts, and the results."""

    settings: AblationSettings
    neurons: NeuronSetRecord
    treatment: Treatment
    seed: int | None
    means_dataset_id: int | None
    n_tokens: int
    torch_version: str
    results: Sequence[AblationResult]
    bins: Sequence[AblationBin]
    changed: Sequence[ChangedToken] = ()
    """The tokens that it changed most."""
    token_ids: Mapping[int, Int[np.ndarray, " tokens"]] = field(default_factory=dict)
    """The token ids of their texts, by the place of the text in the dataset."""
