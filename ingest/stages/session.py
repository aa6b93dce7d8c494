"""What the stages of one `ingest` share: the model, the database, the ledger, the progress."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any

import torch
from sqlalchemy import Engine

from ingest.checkpoint.hub import LocatedModel
from ingest.checkpoint.naming import locate_requested
from ingest.checkpoint.reader import Architecture, Checkpoint, LayerWeights
from ingest.executors import Computation, Executor, Listener
from ingest.forward import batch_tokens
from ingest.forward.devices import pick_dtype
from ingest.forward.open_model import OpenModel
from ingest.forward.spread import read_device_map
from ingest.stages.fingerprint_renewal import renew_fingerprint
from ingest.stages.preprocessing_guard import plan_ingest, refuse_mixture
from ingest.stages.token_rows_guard import describe_unused_rows, refuse_other_rows
from ingest.text.corpus import Corpus, list_remarks, read_corpus
from ingest.text.tokenizer import Tokenizer
from ingest.weights.preprocess import resolve_preprocessing
from ingest.weights.token_rows import TokenRows
from neurondb import migrate
from neurondb.contracts.ingest import TEXT_STAGES, IngestRequest, Preprocessing
from neurondb.contracts.model import ModelRecord, RunRecord
from neurondb.contracts.progress import Advance, Progress
from neurondb.errors import IngestError, UnsupportedModelError
from neurondb.experts import Experts
from neurondb.server_locks import ModelLock
from neurondb.spelling import option
from neurondb.taxonomy import DEFAULT_THRESHOLD
from neurondb.writing import models
from neurondb.writing.ledger import Ledger, Step, StepWriter


@dataclass
class Session:
    """One run of `ingest`, as its stages see it.

    Attributes:
        request: The request of the user.
        progress: Shows how far stages are, and notes on what is not as one expects.
        opened: The model's checkpoint, and where and in which precision it runs.
        executor: Computes layers and texts, on the devices that were asked for.
        tokenizer: The model's; None where there is none and none is needed.
        choices: How the weights are preprocessed.
        engine: The database, to be written to.
        lock: Its hold on the model, while others may write to the database too.
        ledger: The steps that are stored, and this run.
        corpus: The texts; None where no stage reads any.
        run: The record under which this run is stored.
        dataset_id: The dataset's id, once the texts are stored.
        rows: How many rows were written, by stage.
        skipped: How many steps were stored before, by stage.
        layers_with_peaks: Layers whose peak tokens this run has stored with their activations.
    """

    request: IngestRequest
    progress: Progress
    opened: OpenModel
    executor: Executor
    tokenizer: Tokenizer | None
    choices: Preprocessing
    engine: Engine
    lock: ModelLock
    ledger: Ledger
    corpus: Corpus | None
    run: RunRecord
    dataset_id: int | None = None
    rows: Counter[str] = field(default_factory=Counter)
    skipped: Counter[str] = field(default_factory=Counter)
    layers_with_peaks: set[int] = field(default_factory=set)

    @property
    def checkpoint(self) -> Checkpoint:
        """The model's files."""
        return self.opened.checkpoint

    @property
    def device(self) -> torch.device:
        """Where its weights are analysed and what it does is summed; it runs on `opened.device`."""
        return self.opened.exact_device

    @property
    def worker_device(self) -> torch.device:
        """The device of the first worker of the executor, whose kind is that of all."""
        return torch.device(self.executor.devices[0])

    @property
    def dtype(self) -> torch.dtype:
        """The precision in which it runs."""
        return self.opened.dtype

    @property
    def architecture(self) -> Architecture:
        """The model's sizes."""
        return self.checkpoint.architecture

    @property
    def thresholds(self) -> tuple[float, ...]:
        """The τ to classify at: those asked for, else the one that is shown."""
        return self.request.thresholds or (self.ledger.model.threshold,)

    @property
    def layers(self) -> tuple[int, ...]:
        """The numbers of the layers to look at, ascending."""
        return choose_layers(self.request.layers, self.architecture.n_layers)

    @cached_property
    def fingerprint(self) -> str:
        """The checkpoint's: of its configuration and weights."""
        return self.checkpoint.fingerprint()

    @cached_property
    def preprocessing(self) -> dict[str, object]:
        """The choices that every number of the weights depends on."""
        return asdict(self.choices)

    @cached_property
    def token_rows(self) -> TokenRows:
        """The rows of U and E that are a token's."""
        return TokenRows.from_tokenizer(self.tokenizer, self.architecture.d_vocab)

    @property
    def vocabulary_settings(self) -> dict[str, object]:
        """What every number over the vocabulary depends on."""
        return self.preprocessing | describe_unused_rows(self.token_rows.n_unused)

    def read_layer(self, index: int) -> LayerWeights:
        """Return a layer's raw weights on the device."""
        return self.checkpoint.read_layer(index).to(self.device)

    def compute(
        self, computation: Computation, shards: Sequence[Any], advance: Advance | None = None
    ) -> Iterator[tuple[int, Any]]:
        """Have the executor compute shards; yields the place and the result of each.

        They come as they are finished, in any order. `advance` counts what workers report of them.
        """
        listener = Listener(advance or (lambda n, detail="": None), self.progress)
        return self.executor.run(computation, shards, listener)

    def select_pending(self, steps: Iterable[Step]) -> list[Step]:
        """Return the steps that are not stored yet, counting the others."""
        pending = []
        for step in steps:
            if self.ledger.is_done(step):
                self.skipped[step.stage.split()[0]] += 1
            else:
                pending.append(step)
        return pending

    @contextmanager
    def finishing(self, step: Step, seconds: float = 0.0) -> Iterator[StepWriter]:
        """Store a step and count its rows; `seconds` were spent on it before."""
        with self.ledger.finishing(step) as writer:
            writer.seconds = seconds
            yield writer
        self.count_rows(step, writer.n_rows)

    def count_rows(self, step: Step, n_rows: int) -> None:
        """Count the rows of a step that is stored."""
        self.rows[step.stage.split()[0]] += n_rows


def open_session(
    request: IngestRequest, stages: list[str], executor: Executor, progress: Progress
) -> Session:
    """Find the model, open the database, and begin a run.

    Raises:
        ModelError: when the model cannot be found or read.
        DatabaseError: when the database cannot be opened.
        IngestError: when the database has another model of this name, or this one with another
            preprocessing, or the model lacks a layer that was asked for.
    """
    located, name = locate_requested(request)
    opened = _open_on(executor, Checkpoint.open(located.path), request)
    if opened.architecture.experts is not None:
        _refuse_for_experts(request, stages, name)
    choices = resolve_preprocessing(request.preprocessing, opened.architecture)
    layers = choose_layers(request.layers, opened.architecture.n_layers)
    tokenizer, corpus = _read_inputs(request, stages, opened, executor, progress)
    engine = migrate.create_or_open(request.database)
    lock = ModelLock(engine, name)
    with ExitStack() as on_error:
        on_error.callback(engine.dispose)
        on_error.callback(lock.release)
        # Shards of one dataset run side by side, and only wait for what they all store.
        lock.acquire(None if request.shard is None else progress.note)
        record = _model_record(name, located, opened.checkpoint, tokenizer)
        if not request.force:
            renew_fingerprint(engine, name, opened.checkpoint, progress)
        model = models.store_model(
            engine, record, (*request.thresholds, DEFAULT_THRESHOLD)[0], force=request.force
        )
        thresholds = request.thresholds or (model.threshold,)
        dataset = None if corpus is None else corpus.dataset.fingerprint
        planned = plan_ingest(request, stages, layers, thresholds, dataset)
        refuse_mixture(engine, model, choices, planned)
        rows = TokenRows.from_tokenizer(tokenizer, opened.architecture.d_vocab)
        refuse_other_rows(engine, model, rows.n_unused, planned)
        run = _run_record(request, stages, opened, executor, choices)
        ledger = Ledger(engine, model, models.start_run(engine, model, run), force=request.force)
        on_error.pop_all()
        return Session(
            *(request, progress, opened, executor, tokenizer, choices, engine, lock, ledger),
            corpus=corpus,
            run=run,
        )


def _open_on(executor: Executor, checkpoint: Checkpoint, request: IngestRequest) -> OpenModel:
    """Open a checkpoint to be analysed here, in the precision in which the workers run it."""
    worker_device = torch.device(executor.devices[0])
    if request.device_map is not None:
        read_device_map(request.device_map)  # now, rather than when the model is loaded
    dtype = pick_dtype(request.dtype, worker_device, checkpoint.config)
    return OpenModel(checkpoint, executor.own_device, dtype, request.device_map)


def _refuse_for_experts(request: IngestRequest, stages: list[str], name: str) -> None:
    """Refuse what is not computed of a mixture of experts.

    Raises:
        UnsupportedModelError: names it.
    """
    wanted = {
        "the stage traces": "traces" in stages,
        option("shard"): request.shard is not None,
        option("token_stats"): bool(request.token_stats),
        option("device_map"): request.device_map is not None,
    }
    refused = [what for what, is_wanted in wanted.items() if is_wanted]
    if refused:
        raise UnsupportedModelError(
            f"{name} is a mixture of experts, of which {refused[0]} cannot be had yet; leave it out"
        )


def choose_layers(requested: tuple[int, ...] | None, n_layers: int) -> tuple[int, ...]:
    """Return the layers asked for, ascending; negative numbers count from the end, None is all.

    Raises:
        IngestError: for one that a model of `n_layers` lacks.
    """
    if requested is None:
        return tuple(range(n_layers))
    for layer in requested:
        if not -n_layers <= layer < n_layers:
            raise IngestError(
                f"there is no layer {layer}; the model has {n_layers}: 0 to {n_layers - 1}, "
                f"or -{n_layers} to -1 from the end"
            )
    return tuple(sorted({layer % n_layers for layer in requested}))


def _read_inputs(
    request: IngestRequest,
    stages: list[str],
    opened: OpenModel,
    executor: Executor,
    progress: Progress,
) -> tuple[Tokenizer | None, Corpus | None]:
    """Read what else the stages need, so that a wrong input is told before hours of work."""
    settings, architecture = opened.checkpoint.settings, opened.architecture
    needs_texts = not set(TEXT_STAGES).isdisjoint(stages)
    needs_tokenizer = needs_texts or Tokenizer.is_in(settings)
    tokenizer = Tokenizer(settings) if needs_tokenizer else None
    if tokenizer is not None and stages != ["weights"]:
        tokenizer.check(architecture.d_vocab)
    if not needs_texts or tokenizer is None:
        return tokenizer, None
    n_places = batch_tokens(torch.device(executor.devices[0]))
    corpus = read_corpus(request, tokenizer, architecture, n_places, progress.note)
    for line in list_remarks(corpus.dataset, tokenizer):
        progress.note(line)
    return tokenizer, corpus


def _run_record(
    request: IngestRequest,
    stages: list[str],
    opened: OpenModel,
    executor: Executor,
    choices: Preprocessing,
) -> RunRecord:
    flags: dict[str, Any] = {name: bool(value) for name, value in asdict(choices).items()}
    return RunRecord(
        stages=",".join(stages),
        torch_version=str(torch.__version__),
        fingerprint=opened.checkpoint.fingerprint(),
        **flags,
        dtype=opened.dtype_name,
        device=",".join(executor.devices),
        seed=request.seed,
    )


def _model_record(
    name: str,
    located: LocatedModel,
    checkpoint: Checkpoint,
    tokenizer: Tokenizer | None,
) -> ModelRecord:
    shape = checkpoint.architecture
    return ModelRecord(
        name=name,
        source=located.source,
        revision=located.revision,
        architecture=shape.model_type,
        gated=shape.gated,
        activation=shape.activation,
        n_layers=shape.n_layers,
        d_model=shape.d_model,
        d_mlp=shape.d_mlp,
        d_vocab=shape.d_vocab,
        fingerprint=checkpoint.fingerprint(),
        tokenizer_fingerprint=None if tokenizer is None else tokenizer.fingerprint,
        quantisation=checkpoint.quantisation,
        tensor_types=json.dumps(checkpoint.tensor_types) if checkpoint.tensor_types else None,
        **_describe_experts(shape.experts),
    )


def _describe_experts(experts: Experts | None) -> dict[str, Any]:
    """Return what the table `models` says of a mixture of experts."""
    if experts is None:
        return {}
    return {
        "n_experts": experts.n_routed,
        "d_expert": experts.width,
        "experts_per_token": experts.per_token,
        "d_shared_expert": experts.shared_width,
        "dense_layers": experts.encode_dense_layers(),
        "d_dense": experts.dense_width,
    }
