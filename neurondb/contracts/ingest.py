"""What `ingest`, `merge`, `demo` and `verify` are asked for, and what they report."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple

from neurondb.contracts.inputs import check_executor, check_sample
from neurondb.contracts.peaks import DEFAULT_PEAK_COUNT
from neurondb.errors import UsageError
from neurondb.spelling import option

STAGES: Final = ("weights", "vocab", "activations", "peaks", "traces")
"""The stages of `ingest` in their order; the later ones need the rows of the first."""
DEVICE_MAPS: Final = ("auto", "balanced", "balanced_low_0", "sequential")
"""The device maps that transformers makes itself, by their names there."""
TEXT_STAGES: Final = ("activations", "peaks", "traces")
"""The stages that read a dataset."""

FULL_LIST: Final = 16
LEAN_LIST: Final = 8
"""Tokens and examples of a list, unless told otherwise: as ever, and of a lean ingest."""


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
        """Return no preprocessing at all: the weights as they are stored."""
        return cls(False, False, False, False, False)


@dataclass(frozen=True)
class IngestRequest:
    """Everything that `neurondb ingest` is asked for."""

    model: str
    """Directory, name of a stored model, known name or hub id."""
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
    sample_tokens: int | None = None
    """Draw texts at random over the whole dataset, by `seed`, until they have so many tokens."""
    max_len: int = 1024
    """Tokens a text at most, the prefix token included."""
    skip_bos: bool = False
    """Leave the first position of each text out of the counts."""
    controls: bool = False
    """Store examples drawn at random and from each quarter of |peak| beside the top examples."""
    peak_count: int = DEFAULT_PEAK_COUNT
    """Examples in which a token must stand at a place to be among the peak tokens; 1 is all."""
    token_stats: int = 0
    """Of so many of the dataset's most frequent tokens: what every neuron does at them, just before
    and just after."""
    shard: tuple[int, int] | None = None
    """(i, n), 1 ≤ i ≤ n: run over the i-th of n parts of the texts, for `neurondb merge`."""
    summary: str | None = None
    """File that the summary of a shard is written to; None derives it."""
    where: str | None = None
    """A `find` expression: the neurons that the traces stage looks at; None is all."""
    window: tuple[int, int] = (24, 3)
    """Tokens of a trace before and after its peak."""
    device: str = "auto"
    """auto, cpu, cuda, cuda:1, mps; several with commas between compute side by side."""
    device_map: str | None = None
    """How a model that is larger than a device is spread over several, memory and disk: a name of
    `DEVICE_MAPS`, or a JSON file of module and device; None is on one device."""
    executor: str = "local"
    """Where it is computed: local, or ray or ray:ADDRESS, on a cluster."""
    dtype: str = "auto"
    """Precision of the forward pass; auto is that of the checkpoint, float32 on CPU."""
    thresholds: tuple[float, ...] = ()
    """τ of the read-write classes; the first is shown. None given: the one shown now, else 0.5."""
    top_k: int | None = None
    """Tokens a list; None is 16, of a lean ingest 8."""
    lean: bool = False
    """Keep shorter lists: 8 tokens, 8 examples, of hook_post alone; and no histograms."""
    exact_baselines: bool = False
    """Look at all pairs for the mismatched baseline rather than at a sample."""
    preprocessing: Preprocessing = field(default_factory=Preprocessing)
    seed: int = 0
    """Of the sample of texts, of sampled baselines, and of examples drawn at random."""
    force: bool = False
    """Redo what is done already."""


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


@dataclass(frozen=True)
class MergeRequest:
    """Everything that `neurondb merge` is asked for."""

    files: tuple[str, ...]
    """Summaries that `ingest --shard` wrote."""
    database: str | None = None
    """Path or URL; None is the default database."""
    force: bool = False
    """Replace activations that are stored already."""
    peak_count: int = DEFAULT_PEAK_COUNT
    """Examples in which a token must stand at a place to be among the peak tokens; 1 is all."""


class VerifyReport(NamedTuple):
    """What `neurondb verify` compared; `worst` is the largest difference of a cosine."""

    model: str
    n_layers: int
    n_neurons: int
    worst: float


class DemoRequest(NamedTuple):
    """What `neurondb demo` is asked for."""

    directory: Path
    """A directory for the files that are written on the way."""
    real: bool = False
    """Take the real model instead of the bundled one."""
    model: str | None = None
    """The real model's file where it is at hand; None fetches it."""


class DemoInputs(NamedTuple):
    """What `neurondb demo` ingests."""

    name: str
    model: str
    dataset: str
    revision: str | None = None
    """Revision of the hub repository; None where the model is not from the hub."""
    neuron: str | None = None
    """The neuron of the answer to show, as `L.N`; None shows the first."""


def choose_top_k(request: IngestRequest) -> int:
    """Return how many tokens a list has."""
    default = LEAN_LIST if request.lean else FULL_LIST
    return default if request.top_k is None else request.top_k


def choose_stages(request: IngestRequest) -> list[str]:
    """Return the stages to run, in order.

    `weights` is always one, as all need its neurons; `peaks` comes with the activations.

    Raises:
        UsageError: for an unknown stage, one that needs a dataset and has none, and options that
            no stage of the request reads.
    """
    stages = request.stages or _default_stages(request)
    unknown = [stage for stage in stages if stage not in STAGES]
    if unknown:
        raise UsageError(f"no stage {unknown[0]!r}; the stages are {', '.join(STAGES)}")
    if request.dataset is None:
        for stage in TEXT_STAGES:
            if stage in stages:
                raise UsageError(f"the stage {stage} needs texts; give {option('dataset')}")
    _check_sample(request, stages)
    _check_machine(request)
    _check_options(request, stages)
    _check_shard(request, stages)
    if "activations" in stages and request.shard is None:
        stages = (*stages, "peaks")
    return [stage for stage in STAGES if stage in stages or stage == "weights"]


def _default_stages(request: IngestRequest) -> tuple[str, ...]:
    if request.shard is not None:
        return ("weights", "activations")
    return ("weights", "vocab", *(["activations"] if request.dataset is not None else []))


def _check_sample(request: IngestRequest, stages: tuple[str, ...]) -> None:
    """Refuse a sample that cannot be drawn, and one that no stage reads."""
    check_sample(request.sample_tokens, request.seed, request.max_texts, request.max_tokens)
    if request.sample_tokens is not None and not set(TEXT_STAGES).intersection(stages):
        raise UsageError(
            f"{option('sample_tokens')} draws texts, which no stage of "
            f"{', '.join(stages)} reads; give {option('dataset')}, or add activations to "
            f"{option('stages')}"
        )


def _check_machine(request: IngestRequest) -> None:
    """Refuse an executor that there is none of, and devices that it does not go with."""
    check_executor(request.executor)
    if request.device_map is not None and (request.executor != "local" or "," in request.device):
        raise UsageError(
            f"{option('device_map')} spreads one model over the devices of this machine; leave out "
            f"{option('executor')}, and the list in {option('device')}"
        )


def _check_options(request: IngestRequest, stages: tuple[str, ...]) -> None:
    """Refuse options that would have no effect, and those that exclude each other."""
    if request.where is not None and "traces" not in stages:
        raise UsageError(
            f"{option('where')} restricts the stage traces; add it to {option('stages')}"
        )
    if request.peak_count != DEFAULT_PEAK_COUNT and not {"activations", "peaks"} & set(stages):
        raise UsageError(
            f"{option('peak_count')} is of the stages activations and peaks; "
            f"add one to {option('stages')}"
        )
    if request.token_stats < 0:
        raise UsageError(f"{option('token_stats')} {request.token_stats}: 0, or a number of tokens")
    if request.token_stats and "activations" not in stages:
        raise UsageError(
            f"{option('token_stats')} belongs to the stage activations; give {option('dataset')}, "
            f"or add it to {option('stages')}"
        )
    if request.lean and not {"vocab", "activations"} & set(stages):
        raise UsageError(
            f"{option('lean')} shortens lists of the stages vocab and activations; add one to "
            f"{option('stages')}"
        )


def _check_shard(request: IngestRequest, stages: tuple[str, ...]) -> None:
    """Refuse what a shard cannot do, and a place for the summary of one where there is none."""
    if request.summary is not None and request.shard is None:
        raise UsageError(f"{option('summary')} is where a shard goes; give {option('shard')} too")
    if request.shard is None:
        return
    if "activations" not in stages:
        raise UsageError(
            f"{option('shard')} divides the stage activations; add it to {option('stages')}"
        )
    if "traces" in stages:
        raise UsageError("a shard has no traces: take them once `neurondb merge` has run")
    if "peaks" in stages or request.peak_count != DEFAULT_PEAK_COUNT:
        raise UsageError(
            "a shard has no peak tokens: `neurondb merge` stores them and takes "
            f"{option('peak_count')}"
        )
