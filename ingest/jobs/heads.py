"""The job `heads`: neurons that activate and deactivate attention heads (METHODS §7)."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import Connection, Engine, select

from ingest.families.attention import Attention
from ingest.forward.open_model import refuse_mixture_of_experts
from ingest.interventions.running_model import (
    RunningModel,
    describe_origin,
    explain_memory_errors,
    open_running_model,
)
from ingest.jobs.ablate import open_for_writing
from ingest.relations import native
from ingest.relations.heads.directions import find_attention
from ingest.relations.heads.measuring import HeadMeasurement, measure_heads
from ingest.relations.heads.places import count_second_halves
from ingest.relations.heads.scan import Scan, scan_model
from ingest.text.corpus import list_remarks
from ingest.text.datasets import fingerprint_texts
from ingest.text.intervention_texts import TokenTexts, read_texts
from neurondb.contracts.heads import HeadsRecord, HeadsRequest, HeadsResult, HeadTexts
from neurondb.contracts.ingest import Preprocessing
from neurondb.contracts.progress import Progress
from neurondb.database import open_existing
from neurondb.errors import LackingModelError, UsageError
from neurondb.reading.concepts import read_fingerprint
from neurondb.reading.models import find_model, find_neuron_id
from neurondb.reading.pairs import read_preprocessing
from neurondb.schema import tables
from neurondb.spelling import option
from neurondb.writing.descriptions import describe_model
from neurondb.writing.heads import store_heads


def run(request: HeadsRequest, progress: Progress) -> HeadsResult:
    """Compare all neurons with all later heads, measure on texts if any are given, and store it.

    What is stored already is answered from there: the texts are read, the model is not run.

    Raises:
        UsageError: when pairs are asked for without texts.
        UnknownNameError: when the model, or the neuron or head of a pair, is not there.
        TextError: when the texts cannot be read.
        IngestError: when the model's weights are not ingested, or its checkpoint is gone.
        LackingModelError: when texts begin with no BOS, or the model has one layer only.
        ModelError: when it cannot be read or run.
    """
    if request.pairs and request.texts is None:
        raise UsageError(f"{option('pairs')} are measured on texts: give {option('dataset')}")
    started = time.perf_counter()
    native.prepare_library()
    engine = open_existing(request.machine.database)
    try:
        plan = _prepare(engine, request, progress)
        with engine.connect() as connection:
            stored = None if request.force else find_stored(connection, plan.key)
    finally:
        engine.dispose()
    if stored is not None:
        return HeadsResult(stored, is_new=False)
    if plan.texts is not None:
        for line in list_remarks(plan.texts.dataset, plan.running.tokenizer):
            progress.note(line)
    with explain_memory_errors(plan.running):
        scan = scan_model(plan.running, plan.attention, plan.bos, plan.choices, request, progress)
        measured = measure_heads(plan.running, scan, plan.texts, request, progress)
    with open_for_writing(request.machine.database) as engine:
        record = _make_record(engine, request, plan, scan, measured, started)
        run_id = store_heads(engine, record)
        describe_model(engine.url, request.machine.model, progress, force=request.force)
    return HeadsResult(run_id, is_new=True)


def find_stored(connection: Connection, request: str) -> int | None:
    """Return the run that was asked for in this way, by the sha256 of the request; None if none."""
    r = tables.head_runs.c
    return connection.scalar(select(r.run_id).where(r.request == request))


@dataclass(frozen=True)
class _Plan:
    """What a request means.

    Attributes:
        running: The model, whose weights are loaded when it first runs.
        attention: Where its family keeps what belongs to attention.
        bos: The token that texts begin with.
        choices: By layer, how weights were preprocessed.
        texts: The texts, if any.
        key: The sha256 over all that is asked for.
    """

    running: RunningModel
    attention: Attention
    bos: int
    choices: Mapping[int, Preprocessing]
    texts: TokenTexts | None
    key: str


def _prepare(engine: Engine, request: HeadsRequest, progress: Progress) -> _Plan:
    with engine.connect() as connection:
        model = find_model(connection, request.machine.model)
        refuse_mixture_of_experts(
            model,
            "whose neurons cannot be compared with attention heads yet",
            "`neurondb neighbours` finds which neurons feed which",
        )
        choices = read_preprocessing(connection, model)
        running = open_running_model(connection, request.machine)
        fingerprint = read_fingerprint(connection, model)
    architecture = running.checkpoint.architecture
    if architecture.n_layers < 2:
        raise LackingModelError(f"{model.name} has one layer: no head comes after its neurons")
    attention = find_attention(running.checkpoint.layout)
    for pair in request.pairs:
        find_neuron_id(model, *pair.neuron)
        if pair.head_layer >= architecture.n_layers or pair.head >= attention.n_heads:
            raise UsageError(
                f"{pair}: {model.name} has layers 0–{architecture.n_layers - 1}, of"
                f" {attention.n_heads} heads each, 0–{attention.n_heads - 1}"
            )
    bos = running.tokenizer.prefix_token_id
    if bos is None:
        raise LackingModelError(
            f"the tokenizer of {model.name} names neither a BOS nor an EOS token: its texts do not"
            " all begin with the same token, so that there is none for heads to rest on"
        )
    texts = None
    if request.texts is not None:
        texts = read_texts(engine, request.texts, running.tokenizer, architecture, progress.note)
        if count_second_halves(texts.token_ids) == 0:
            raise LackingModelError("no text has a second half to measure: give longer texts")
    fingerprint_of_texts = None if texts is None else fingerprint_texts(texts.dataset.texts)
    in_order = [choices[layer] for layer in sorted(choices)]
    key = request.identify(model.model_id, fingerprint, fingerprint_of_texts, in_order)
    return _Plan(running, attention, bos, choices, texts, key)


def _make_record(
    engine: Engine,
    request: HeadsRequest,
    plan: _Plan,
    scan: Scan,
    measured: HeadMeasurement,
    started: float,
) -> HeadsRecord:
    texts = None
    if plan.texts is not None:
        n_tokens = count_second_halves(plan.texts.token_ids)
        dataset_id = plan.texts.store(engine)
        texts = HeadTexts(dataset_id, len(plan.texts.token_ids), n_tokens, plan.texts.max_len)
    return HeadsRecord(
        origin=describe_origin(plan.running, plan.key),
        request=request,
        bos_token_id=plan.bos,
        n_pairs=scan.n_pairs,
        baseline_std=scan.heads.pooled_deviation(),
        ignored=scan.ignored,
        heads=measured.columns,
        counts=scan.list_counts(),
        scores=scan.columns,
        seconds=time.perf_counter() - started,
        texts=texts,
        ablations=measured.ablations,
    )
