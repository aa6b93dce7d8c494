"""The door between the command line and the jobs: what is asked for, and how progress is told.

Jobs are found by the entry points of the group `neurondb.jobs`, never by import, so that
`neurondb` does not know who computes.
"""

from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from typing import Any, Literal, NamedTuple, Protocol

from neurondb.conditions import ZERO, Treatment
from neurondb.errors import NeuronDBError, UsageError

STAGES = ("weights", "vocab", "activations", "traces")
"""The stages of `ingest` in their order; the later ones need the rows of the first."""
READ_TEXTS = ("activations", "traces")
"""Those that read a dataset."""


@dataclass(frozen=True)
class Preprocessing:
    """What is done to the weights before they are compared (METHODS §1)."""

    fold: bool = True
    """Fold the norm's gain and bias into gate and in."""
    center: bool = True
    """LayerNorm models: mean-centre in and out over d. All: subtract U's mean over the tokens."""
    center_gate: bool | None = None
    """LayerNorm models: mean-centre gate too; None is the published choice of the family."""
    fold_post_norm: bool = False
    """Fold a gain that is applied after the MLP into out."""
    canonicalise: bool = True
    """Multiply in and out by the sign of gate·in."""

    @classmethod
    def raw(cls) -> "Preprocessing":
        """Return everything off: the weights as they are stored."""
        return cls(False, False, False, False, False)


@dataclass(frozen=True)
class IngestRequest:
    """Everything `neurondb ingest` was asked for."""

    model: str
    """Known name, hub id or directory."""
    database: str | None = None
    """Path or URL; None is the default database."""
    name: str | None = None
    """Slug in the database; None derives it from the model."""
    revision: str | None = None
    """Revision of the hub repository."""
    stages: tuple[str, ...] | None = None
    """Stages to run; None is all that the inputs allow, but for the traces."""
    layers: tuple[int, ...] | None = None
    """Layers to look at, negative ones counted from the end; None is all."""
    dataset: str | None = None
    """File, directory or hub id of texts; without one there is no activations stage."""
    label_field: str = "label"
    """Field or column that names the part of the dataset a text is of; dots reach into objects;
    empty for no labels."""
    max_texts: int | None = None
    """Read only the first so many texts."""
    max_tokens: int | None = None
    """Stop before the text that would exceed so many tokens."""
    max_len: int = 1024
    """Tokens a text at most, the prefix token included."""
    skip_bos: bool = False
    """Leave the first position of each text out of the counts."""
    controls: bool = False
    """Store examples drawn at random and from each quarter of |peak| beside the top examples."""
    shard: tuple[int, int] | None = None
    """(i, n), 1 ≤ i ≤ n: run over the i-th of n parts of the texts, for `neurondb merge`."""
    summary: str | None = None
    """File that the summary of a shard is written to; None derives it."""
    where: str | None = None
    """A `find` expression: the neurons that the traces stage looks at; None is all."""
    window: tuple[int, int] = (24, 3)
    """Tokens of a trace before and after its peak."""
    device: str = "auto"
    """auto, cpu, cuda, cuda:1, mps."""
    dtype: str = "auto"
    """Precision of the forward pass; auto is that of the checkpoint, float32 on CPU."""
    thresholds: tuple[float, ...] = ()
    """τ of the read-write classes, the first is shown; none asks for the one shown, else 0.5."""
    top_k: int = 16
    """Tokens a list."""
    exact_baselines: bool = False
    """Look at all pairs for the mismatched baseline rather than at a sample."""
    preprocessing: Preprocessing = field(default_factory=Preprocessing)
    seed: int = 0
    force: bool = False
    """Redo what is done already."""


@dataclass(frozen=True)
class MergeRequest:
    """Everything `neurondb merge` was asked for."""

    files: tuple[str, ...]
    """Summaries that `ingest --shard` wrote."""
    database: str | None = None
    """Path or URL; None is the default database."""
    force: bool = False
    """Replace activations that are stored already."""


def wanted_stages(request: IngestRequest) -> list[str]:
    """Return the stages to run, in order; all need the neurons that `weights` stores.

    Raises:
        UsageError: for an unknown stage, one that needs a dataset and has none, and options that
            no stage of the request reads.
    """
    asked = request.stages or _default_stages(request)
    unknown = [stage for stage in asked if stage not in STAGES]
    if unknown:
        raise UsageError(f"no stage {unknown[0]!r}; the stages are {', '.join(STAGES)}")
    if request.dataset is None:
        for stage in READ_TEXTS:
            if stage in asked:
                raise UsageError(f"the stage {stage} needs texts; give --dataset")
    _check_options(request, asked)
    return [stage for stage in STAGES if stage in asked or stage == "weights"]


def _default_stages(request: IngestRequest) -> tuple[str, ...]:
    if request.shard is not None:
        return ("weights", "activations")
    return ("weights", "vocab", *(["activations"] if request.dataset is not None else []))


def _check_options(request: IngestRequest, stages: tuple[str, ...]) -> None:
    """Refuse options that would have no effect, and those that exclude each other."""
    if request.where is not None and "traces" not in stages:
        raise UsageError("--where restricts the stage traces; add it to --stages")
    if request.summary is not None and request.shard is None:
        raise UsageError("--summary is where a shard goes; give --shard I/N too")
    if request.shard is None:
        return
    if "activations" not in stages:
        raise UsageError("--shard divides the stage activations; add it to --stages")
    if "traces" in stages:
        raise UsageError("a shard has no traces: take them once `neurondb merge` has run")


class Advance(Protocol):
    """What a bar is moved with."""

    def __call__(self, n: int, detail: str = "") -> None:
        """Count `n` units as finished just now; `detail` says what is being done on the next."""
        ...


class Progress(Protocol):
    """How a job tells what it is doing."""

    def stage(
        self, title: str, total: int, unit: str, *, done: int = 0
    ) -> AbstractContextManager[Advance]:
        """Open a bar of `total` units; call what it yields with the units just finished.

        `done` units were finished by an earlier run: rate and time left do not count them.
        """
        ...

    def note(self, message: str) -> None:
        """Say one line."""
        ...


@dataclass(frozen=True)
class IngestReport:
    """What one run of `ingest` did."""

    model: str
    database: str
    rows: dict[str, int]
    """Rows written, by stage."""
    skipped: dict[str, int]
    """Steps that were done already, by stage."""
    seconds: float


class VerifyReport(NamedTuple):
    """What `neurondb verify` compared; `worst` is the largest difference of a cosine."""

    model: str
    n_layers: int
    n_neurons: int
    worst: float


class SplitRequest(NamedTuple):
    """A text, and the model whose tokenizer is to cut it: what the job `split` is asked for."""

    source: str
    """Hub id or directory that the model was read from."""
    revision: str | None
    text: str


@dataclass(frozen=True)
class LmHeadRequest:
    """What the job `tokens` is asked for: some tokens decoded from every `in` (METHODS §4)."""

    model: str
    """Name in the database."""
    token_ids: tuple[int, ...]
    database: str | None = None
    """Path or URL; None is the default database."""
    layers: tuple[int, ...] | None = None
    """Layers to look at; None is all, as `store` needs."""
    device: str = "auto"
    """auto, cpu, cuda, cuda:1, mps; always in float32."""
    store: bool = False
    """Write what was computed to the database, of all tokens or of none."""


@dataclass(frozen=True)
class CompareRequest:
    """Everything `neurondb compare` was asked for."""

    before: str
    """Name in the database of the model that the other came from."""
    after: str
    database: str | None = None
    """Path or URL; None is the default database."""


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


class DemoInputs(NamedTuple):
    """What `neurondb demo` ingests."""

    name: str
    model: str
    dataset: str


def job(name: str) -> Any:
    """Return the job registered under `name`.

    Raises:
        NeuronDBError: when none is installed.
    """
    for entry in entry_points(group="neurondb.jobs", name=name):
        return entry.load()
    raise NeuronDBError(f"the job {name!r} is not installed; reinstall neurondb")
