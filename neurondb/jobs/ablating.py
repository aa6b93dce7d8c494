"""What `ablate`, `rerun` and `ablate-suite` are asked for, and what they report (METHODS §6)."""

from dataclasses import dataclass
from typing import Literal

from neurondb.conditions import ZERO, Treatment

SelectionKind = Literal["where", "sql", "neurons", "class", "set"]


@dataclass(frozen=True)
class NeuronSelection:
    """Which neurons of a model are meant, said in one of five ways."""

    kind: SelectionKind
    """A `find` expression, a query, a list like `27.8000,26.1`, a class, a stored set's name."""
    text: str
    count: int | None = None
    """Of a class: so many, drawn at random; None is all."""


@dataclass(frozen=True)
class TextsRequest:
    """The texts that an intervention is run over."""

    dataset: str
    """File, directory, name of a stored dataset, or hub id."""
    max_texts: int | None = None
    """Only the first so many texts."""
    max_tokens: int | None = None
    """Stop before the text that would exceed so many tokens."""
    max_len: int | None = None
    """Tokens a text at most, the prefix token included; None is 1,024 or the model's context."""
    skip_bos: bool = False
    """Leave the first position of each text out."""


@dataclass(frozen=True)
class AblationRequest:
    """Everything `neurondb ablate` was asked for."""

    model: str
    """Name in the database."""
    selection: NeuronSelection
    texts: TextsRequest
    treatment: Treatment = ZERO
    name: str | None = None
    """Name to store the set under."""
    baseline: int = 0
    """Random sets to compare with: one for each of so many seeds."""
    seed: int = 0
    """Of the first random set; the next ones count on from it."""
    save_tokens: str | None = None
    """Parquet file for the values of every token."""
    device: str = "auto"
    dtype: str = "auto"
    database: str | None = None
    """Path or URL; None is the default database."""
    force: bool = False
    """Run again what is stored already."""


@dataclass(frozen=True)
class RerunRequest:
    """What `neurondb ablate --rerun` was asked for: a stored run and its baselines again."""

    run_id: int
    max_texts: int | None = None
    """Run the first so many texts instead; None with `max_tokens` None is those of the run."""
    max_tokens: int | None = None
    save_tokens: str | None = None
    device: str | None = None
    """None is that of the run."""
    dtype: str | None = None
    database: str | None = None


@dataclass(frozen=True)
class AblationSuiteRequest:
    """Everything `neurondb ablate-suite` was asked for: every class × mode × condition."""

    model: str
    texts: TextsRequest
    classes: tuple[str, ...] | None = None
    """None is every class that the model has neurons of, but for orthogonal output."""
    treatments: tuple[Treatment, ...] = (ZERO,)
    baseline: int = 1
    seed: int = 0
    device: str = "auto"
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
    """Runs that were computed and stored now, baselines included."""
    seconds: float
    largest_difference: float | None = None
    """Of a stored run that was repeated: how far a statistic is from what is stored; 0 to the
    bit. None where nothing was repeated."""
