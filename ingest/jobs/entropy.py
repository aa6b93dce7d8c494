"""The job `entropy`: neurons fixed at values, beside random neurons of the last layers."""

from __future__ import annotations

import time
from contextlib import closing
from dataclasses import dataclass, replace

import numpy as np
import torch
from sqlalchemy import Engine

from ingest.executors import Executor, Listener
from ingest.executors.choosing import choose_executor
from ingest.forward import batch_tokens
from ingest.interventions.entropy_baseline import draw_neurons
from ingest.interventions.entropy_pass import EntropyPass, run_entropy_pass
from ingest.interventions.frozen_norm import FixedNeuron, MetricSums
from ingest.interventions.running_model import (
    RunningModel,
    describe_origin,
    open_running_model,
    read_canonical_signs,
)
from ingest.jobs.ablate import open_for_writing
from ingest.text.corpus import list_remarks
from ingest.text.datasets import fingerprint_texts
from ingest.text.intervention_texts import TokenTexts, read_texts
from neurondb.contracts.entropy import EntropyCurves, EntropyRecord, EntropyRequest
from neurondb.contracts.progress import Progress
from neurondb.database import open_existing
from neurondb.errors import DatabaseError, UsageError
from neurondb.interventions import ENTROPY_METRICS
from neurondb.neurons import NeuronPlace
from neurondb.reading.concepts import read_fingerprint
from neurondb.reading.entropy_runs import find_stored_entropy, read_entropy_page
from neurondb.reading.models import find_model, find_neuron_id, locate_place, name_places
from neurondb.writing.model_runs import store_entropy


def run(request: EntropyRequest, progress: Progress) -> EntropyCurves:
    """Fix each neuron at each value, measure, and store what was measured.

    What is stored already is answered from there: the texts are read, the model is not run.

    Raises:
        UsageError: when there is nothing to fix, or the model has no final norm.
        UnknownNameError: when the model or a neuron is not in the database.
        TextError: when the texts cannot be read.
        IngestError: when the checkpoint is gone, or what the baseline is drawn by is not stored.
        ModelError: when it cannot be read or run.
    """
    if not request.neurons or not request.values:
        raise UsageError("nothing to fix: give at least one neuron and one value")
    started = time.perf_counter()
    with closing(
        choose_executor(request.executor, request.machine.device, float64=True)
    ) as executor:
        engine = open_existing(request.machine.database)
        try:
            request = _name_neurons(engine, request)
            plan = _prepare(engine, request, executor, progress)
            stored = _read_stored(engine, plan.key) if request.store and not request.force else None
        finally:
            engine.dispose()
        if stored is not None:
            return stored
        curves = _measure(request, plan, executor, progress)
    if request.store:
        try:
            return _store(request, plan, curves, time.perf_counter() - started)
        except DatabaseError as error:  # what was asked for is there
            progress.note(f"the run is not stored: {error}")
    return curves


@dataclass(frozen=True)
class _Plan:
    """What a request means.

    Attributes:
        running: the model, whose weights are loaded when it first runs.
        baseline: the random neurons.
        sign: the canonical sign of each neuron, those included.
        key: the sha256 over all that is asked for.
    """

    running: RunningModel
    baseline: tuple[NeuronPlace, ...]
    sign: dict[NeuronPlace, int]
    texts: TokenTexts
    key: str


def _name_neurons(engine: Engine, request: EntropyRequest) -> EntropyRequest:
    """Return the request with its neurons as their names have them, each once."""
    with engine.connect() as connection:
        model = find_model(connection, request.machine.model)
    neurons = name_places(model, request.neurons)
    if len(set(neurons)) < len(neurons):
        raise UsageError("a neuron is named twice")
    return replace(request, neurons=neurons)


def _prepare(
    engine: Engine, request: EntropyRequest, executor: Executor, progress: Progress
) -> _Plan:
    with engine.connect() as connection:
        model = find_model(connection, request.machine.model)
        asked = [locate_place(model, place) for place in request.neurons]
        drawn = draw_neurons(connection, model, request.n_baseline, request.seed, asked)
        baseline = name_places(model, drawn)
        sign = read_canonical_signs(connection, model, (*request.neurons, *baseline))
        device = torch.device(executor.devices[0])
        running = open_running_model(connection, request.machine, device)
        fingerprint = read_fingerprint(connection, model)
    architecture = running.checkpoint.architecture
    texts = read_texts(engine, request.texts, running.tokenizer, architecture, progress.note)
    key = request.identify(model.model_id, fingerprint, fingerprint_texts(texts.dataset.texts))
    return _Plan(running, baseline, sign, texts, key)


def _read_stored(engine: Engine, key: str) -> EntropyCurves | None:
    with engine.connect() as connection:
        run_id = find_stored_entropy(connection, key)
        return None if run_id is None else read_entropy_page(connection, run_id).curves


def _measure(
    request: EntropyRequest, plan: _Plan, executor: Executor, progress: Progress
) -> EntropyCurves:
    texts, places = plan.texts, (*request.neurons, *plan.baseline)
    for line in list_remarks(texts.dataset, plan.running.tokenizer):
        progress.note(line)
    if texts.n_truncated:
        progress.note(f"{texts.n_truncated} texts cut at {texts.max_len} tokens")
    pairs = [(place, value) for place in places for value in request.values]
    settings = [FixedNeuron(place, value, row) for row, (place, value) in enumerate(pairs)]
    opened = plan.running.opened
    compute = EntropyPass(
        *(plan.running.stored, opened, texts.token_ids, texts.skip_bos),
        *(plan.sign, settings, batch_tokens(opened.device)),
    )
    with progress.stage("entropy", texts.n_tokens * len(settings), "tokens") as advance:
        sums = run_entropy_pass(compute, executor, Listener(advance, progress))
    return _curves(request, plan.baseline, sums, texts.n_tokens)


def _store(
    request: EntropyRequest, plan: _Plan, curves: EntropyCurves, seconds: float
) -> EntropyCurves:
    places, texts = (*curves.neurons, *curves.baseline), plan.texts
    with open_for_writing(request.machine.database) as engine:
        record = EntropyRecord(
            describe_origin(plan.running, plan.key),
            request,
            curves,
            tuple(find_neuron_id(plan.running.stored, *place) for place in places),
            texts.store(engine),
            len(texts.token_ids),
            texts.max_len,
            texts.skip_bos,
            seconds,
        )
        return replace(curves, run_id=store_entropy(engine, record))


def _curves(
    request: EntropyRequest, baseline: tuple[NeuronPlace, ...], sums: MetricSums, n_tokens: int
) -> EntropyCurves:
    shape = (len(request.neurons) + len(baseline), len(request.values), len(ENTROPY_METRICS))
    with np.errstate(invalid="ignore"):
        fixed, frozen = (totals.reshape(shape) / sums.n for totals in (sums.fixed, sums.frozen))
        clean = sums.clean / sums.n
    return EntropyCurves(
        neurons=request.neurons,
        baseline=baseline,
        values=np.array(request.values),
        n_tokens=n_tokens,
        clean=dict(zip(ENTROPY_METRICS, map(float, clean), strict=True)),
        fixed={name: fixed[..., i] for i, name in enumerate(ENTROPY_METRICS)},
        frozen={name: frozen[..., i] for i, name in enumerate(ENTROPY_METRICS)},
    )
