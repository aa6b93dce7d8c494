"""The job `merge`: summaries of all shards of a dataset in, rows out."""

import json
import time
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from functools import cached_property
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, select

from ingest.activations.peak_tokens import TokenisedTexts
from ingest.activations.summary import LayerSummary
from ingest.activations.summary_file import SummaryFile
from ingest.stages.peaks import read_texts, store_from_examples, store_from_record
from neurondb import migrate
from neurondb.contracts.activations import ActivationsRecord
from neurondb.contracts.ingest import IngestReport, MergeRequest
from neurondb.contracts.model import RunRecord
from neurondb.contracts.progress import Progress
from neurondb.database import format_url
from neurondb.errors import IngestError, NeuronDBError
from neurondb.schema import tables
from neurondb.server_locks import hold_model
from neurondb.spelling import option
from neurondb.writing import datasets, indexes, models
from neurondb.writing.activations import keep_lean, write_activations
from neurondb.writing.descriptions import describe_model
from neurondb.writing.ledger import Ledger, Step
from neurondb.writing.models import StoredModel
from neurondb.writing.peaks import STAGE, make_peaks_step
from neurondb.writing.rows import transaction


def run(request: MergeRequest, progress: Progress) -> IngestReport:
    """Merge the shards, a layer at a time, and store what one run over all texts would have.

    Raises:
        IngestError: when they are not all the shards of one dataset, or the database lacks the
            weights or the texts that they belong to.
    """
    started = time.perf_counter()
    files = _order_shards([SummaryFile.open(Path(file)) for file in request.files])
    engine = migrate.create_or_open(request.database)
    with ExitStack() as at_end:
        at_end.callback(engine.dispose)
        with transaction(engine) as connection:
            model = _model(connection, files[0])
            dataset_id, labels = _dataset(connection, files[0])
            _check_weights(connection, model, files[0])
        at_end.enter_context(hold_model(engine, model.name, progress.note))
        record = RunRecord(**files[0].about["run"] | {"stages": "merge"})
        run_id = models.start_run(engine, model, record)
        ledger = Ledger(engine, model, run_id, force=request.force)
        settings = files[0].about["identity"]["settings"]
        steps = [Step("activations", n, settings, dataset_id) for n in sorted(files[0].layers)]
        try:
            steps_left = [step for step in steps if not ledger.is_done(step)]
            counts = _Peaks(ledger, dataset_id, request.peak_count)
            lacking = counts.list_lacking(steps, steps_left)
            n_rows = _store(ledger, steps_left, files, labels, counts, progress)
            for step in lacking:
                counts.store(step.layer)
        except BaseException:
            with suppress(NeuronDBError):  # what went wrong first is what the user must hear
                models.forget_empty_run(engine, model, run_id)
            raise
        models.set_shown(engine, model, dataset_id=dataset_id)
        indexes.finish_load(engine)
        models.finish_run(engine, run_id, dataset_id)
        described = describe_model(engine.url, model.name, progress, force=request.force)
    return IngestReport(
        model=model.name,
        database=format_url(engine.url),
        rows={
            "activations": n_rows,
            "peaks": counts.n_rows,
            "descriptions": described.n,
        },
        skipped={"activations": len(steps) - len(steps_left)},
        seconds=time.perf_counter() - started,
    )


def _order_shards(files: Sequence[SummaryFile]) -> list[SummaryFile]:
    """Return the files in the order of their shards, all of which must be there, each once."""
    by_shard: dict[int, SummaryFile] = {}
    first = files[0]
    for file in files:
        if "identity" not in file.about:  # the state of a pass, which is of the same format
            raise IngestError(f"{file.path}: no shard, but the state of an interrupted pass")
        _check_alike(first, file)
        number, _ = file.about["identity"]["shard"]
        if number in by_shard:
            raise IngestError(
                f"{by_shard[number].path} and {file.path} are both shard {number}; give each once"
            )
        by_shard[number] = file
    n_shards = first.about["identity"]["shard"][1]
    missing = [str(n) for n in range(1, n_shards + 1) if n not in by_shard]
    if missing:
        raise IngestError(
            f"of the {n_shards} shards of {first.about['dataset']} number {', '.join(missing)} "
            "is missing; nothing is stored before all are there"
        )
    return [by_shard[number] for number in sorted(by_shard)]


def _check_alike(first: SummaryFile, file: SummaryFile) -> None:
    if file.layers.keys() != first.layers.keys():
        raise IngestError(f"{first.path} and {file.path} have summaries of other layers")
    for name, meaning in {
        "fingerprint": "models",
        "texts": "datasets",
        "settings": "settings",
        "preprocessing": "preprocessing",
        "version": "versions of neurondb",
        # Machines of one kind may share a dataset; on others batches, and so the cuts, differ.
        "device": "kinds of device, on which batches differ; compute all shards on one kind",
        "batch_tokens": "sizes of batches",
    }.items():
        expected, actual = (f.about["identity"][name] for f in (first, file))
        if expected != actual:
            raise IngestError(f"{first.path} and {file.path} are of different {meaning}")
    if first.about["identity"]["shard"][1] != file.about["identity"]["shard"][1]:
        raise IngestError(f"{first.path} and {file.path} divide the dataset differently")


def _model(connection: Connection, file: SummaryFile) -> StoredModel:
    m, name = tables.models.c, file.about["model"]
    fingerprint = file.about["identity"]["fingerprint"]
    rows = connection.execute(select(m.model_id, m.name).where(m.fingerprint == fingerprint)).all()
    # The same weights may be there under another name, or under several.
    rows = sorted(rows, key=lambda row: row.name != name)
    if not rows:
        raise IngestError(
            f"the database has no model with the weights of {name}; ingest it first "
            "(the stages weights and vocab need no texts)"
        )
    return models.find_model(connection, rows[0].model_id)


def _dataset(connection: Connection, file: SummaryFile) -> tuple[int, list[int]]:
    """Return the id of the dataset, and its label ids in the order of the summaries' labels."""
    d, label = tables.dataset_rows.c, tables.labels.c
    dataset_id = connection.execute(
        select(d.dataset_id).where(d.fingerprint == file.about["identity"]["texts"])
    ).scalar()
    if dataset_id is None:
        raise IngestError(
            f"the database does not have the texts of {file.about['dataset']}; run one of the "
            "shards into it, which stores them"
        )
    rows = connection.execute(
        select(label.label, label.label_id).where(label.dataset_id == dataset_id)
    )
    # by code points, as the dataset's are: a database may collate otherwise
    return int(dataset_id), [row.label_id for row in sorted(rows, key=lambda row: row.label)]


def _check_weights(connection: Connection, model: StoredModel, file: SummaryFile) -> None:
    """Refuse summaries whose canonical signs are not those of the stored weights."""
    step = tables.ingest_steps.c
    rows = connection.execute(
        select(step.layer, step.settings).where(
            step.model_id == model.model_id, step.stage == "weights"
        )
    )
    stored: dict[int, dict[str, Any]] = {row.layer: json.loads(row.settings) for row in rows}
    for layer in file.layers:
        if layer not in stored:
            raise IngestError(
                f"{model.name}: the weights of layer {layer} are not stored; ingest them first"
            )
        choices = file.about["identity"]["preprocessing"]
        if any(stored[layer].get(name) != choice for name, choice in choices.items()):
            raise IngestError(
                f"{model.name}: layer {layer} is stored with other preprocessing than "
                f"{file.path} was computed with; ingest the weights under another "
                f"{option('name')}"
            )


def _store(
    ledger: Ledger,
    steps: list[Step],
    files: list[SummaryFile],
    label_ids: list[int],
    peaks: "_Peaks",
    progress: Progress,
) -> int:
    """Store these steps, a layer's summaries in memory at a time; return the rows written."""
    n_rows = 0
    with progress.stage("merge", len(steps), "layers") as advance:
        for step in steps:
            assert step.dataset_id is not None
            record = _merged(files, step.layer).record()
            if step.settings.get("lean"):  # as the shards were ingested
                record = keep_lean(record)
            with ledger.finishing(step) as writer:
                text_ids = datasets.read_text_ids(writer.connection, step.dataset_id)
                write_activations(writer, step.layer, record, step.dataset_id, text_ids, label_ids)
            n_rows += writer.n_rows
            peaks.store(step.layer, record)
            advance(1)
    return n_rows


class _Peaks:
    """Stores the peak tokens of layers, on texts that are read when the first layer needs them."""

    def __init__(self, ledger: Ledger, dataset_id: int, peak_count: int) -> None:
        self._ledger = ledger
        self._dataset_id = dataset_id
        self._peak_count = peak_count
        self.n_rows = 0

    def list_lacking(self, steps: Sequence[Step], steps_left: Sequence[Step]) -> list[Step]:
        """Return the steps whose activations are stored and whose peak tokens are not."""
        return [
            step
            for step in steps
            if step not in steps_left and not self._ledger.is_done(self._step(step.layer))
        ]

    def store(self, layer: int, record: ActivationsRecord | None = None) -> None:
        """Store a layer's peak tokens, without its summary from the stored examples."""
        step, texts, count = self._step(layer), self._texts, self._peak_count
        if record is None:
            self.n_rows += store_from_examples(self._ledger, step, texts, count)
        else:
            self.n_rows += store_from_record(self._ledger, step, record, texts, count)

    def _step(self, layer: int) -> Step:
        return make_peaks_step(layer, self._peak_count, self._dataset_id)

    @cached_property
    def _texts(self) -> TokenisedTexts:
        engine, model = self._ledger.engine, self._ledger.model
        indexes.prepare_load(engine, tables.peak_token_rows, STAGE, model)
        with transaction(engine) as connection:
            return read_texts(connection, model, self._dataset_id)


def _merged(files: list[SummaryFile], layer: int) -> LayerSummary:
    summary = files[0].load([layer])[layer]
    for file in files[1:]:
        summary.merge(file.load([layer])[layer])
    return summary
