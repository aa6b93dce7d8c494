"""Stored runs of one intervention a neuron, found or begun: their set, their texts, their model."""

from dataclasses import dataclass, replace

import numpy as np
import torch
from sqlalchemy import Engine

from ingest.executors import Executor
from ingest.interventions.ablation_session import AblationSession
from ingest.interventions.building import BuiltIntervention, build_intervention
from neurondb.contracts.ablate import AblationRecord
from neurondb.contracts.progress import Progress
from neurondb.contracts.single_neuron import EffectRequest
from neurondb.errors import UsageError
from neurondb.find.neuron_sets import NeuronSet, select_neurons
from neurondb.interventions import ESTIMATED_METRICS, METRICS, SINGLE_NEURON_MODES, Treatment
from neurondb.reading.effects import ATTRIBUTION, find_same_run
from neurondb.reading.models import Model, find_model, find_neuron_id
from neurondb.writing.ablations import store_named
from neurondb.writing.effects import open_run
from neurondb.writing.rows import transaction

EVERY_NEURON = "every neuron"


@dataclass(frozen=True)
class SingleNeuronRun:
    """A run that is open or finished, and what it takes to go on with it.

    Attributes:
        model: The stored model.
        neurons: The set.
        session: Its checkpoint and the texts.
        treatment: The treatment of each neuron.
        built: The same as an intervention, with the values that neurons are set to.
        run_id: The id of the stored run.
    """

    model: Model
    neurons: NeuronSet
    session: AblationSession
    treatment: Treatment
    built: BuiltIntervention
    run_id: int


def open_single_neuron_runs(
    engine: Engine, request: EffectRequest, kind: str, executor: Executor, progress: Progress
) -> list[SingleNeuronRun]:
    """Find the runs of a request, finished or not, or begin them: one a treatment, in their order.

    They share the session: the checkpoint and the texts.

    Args:
        engine: The database, to be written to.
        request: The neurons, their treatments and the texts.
        kind: each or attribution.
        executor: Runs the model, on the devices of the request.
        progress: Gets a note where texts are cut.

    Raises:
        NeuronDBError: one line on what was wrong.
    """
    _check(request, kind)
    with transaction(engine) as connection:
        model = find_model(connection, request.model)
    neurons = _neurons(engine, model, request)
    for treatment in request.treatments:
        treatment.check(gated=model.gated)
    machine = (executor, request.dtype)
    session = AblationSession.open(engine, model, request.texts, machine, progress)
    with transaction(engine) as connection:
        ids, dataset_id = neurons.neuron_ids, session.texts.dataset_id
        built = [
            build_intervention(connection, model, ids, treatment, dataset_id)
            for treatment in request.treatments
        ]
    store_named(engine, neurons.record)
    return [
        _open(engine, request, kind, SingleNeuronRun(model, neurons, session, *done, run_id=0))
        for done in zip(request.treatments, built, strict=True)
    ]


def _open(
    engine: Engine, request: EffectRequest, kind: str, run: SingleNeuronRun
) -> SingleNeuronRun:
    """Return a run with its id: of the stored one or, where there is none, of one begun now."""
    record = _record(engine, run)
    run_id = None
    if not request.force:
        with transaction(engine) as connection:
            run_id = find_same_run(
                *(connection, kind, record.settings, run.treatment),
                *(run.neurons.neuron_ids, request.metrics),
            )
    return replace(run, run_id=open_run(engine, record, kind) if run_id is None else run_id)


def _check(request: EffectRequest, kind: str) -> None:
    for treatment in request.treatments:
        if treatment.mode not in SINGLE_NEURON_MODES:
            raise UsageError(
                f"one neuron at a time is set to {' or '.join(SINGLE_NEURON_MODES)}, not by mode "
                f"{treatment.mode}; `neurondb ablate` has that for whole sets"
            )
    available = ESTIMATED_METRICS if kind == ATTRIBUTION else METRICS
    for metric in request.metrics:
        if metric not in available:
            hint = "; it counts or is no mean of tokens' own" if metric in METRICS else ""
            noun = "estimate of" if kind == ATTRIBUTION else "metric"
            raise UsageError(f"no {noun} {metric!r}{hint}; there is {', '.join(available)}")


def _neurons(engine: Engine, model: Model, request: EffectRequest) -> NeuronSet:
    if request.selection is None:
        by_layer = [
            find_neuron_id(model, layer, 0) + np.arange(model.count_neurons(layer))
            for layer in range(model.n_layers)
        ]
        return NeuronSet(EVERY_NEURON, np.concatenate(by_layer), name=request.name)
    neurons = select_neurons(engine, model, request.selection, request.seed)
    return neurons if request.name is None else neurons._replace(name=request.name)


def _record(engine: Engine, run: SingleNeuronRun) -> AblationRecord:
    texts = run.session.texts
    return AblationRecord(
        settings=run.session.make_settings(texts.store(engine)),
        neurons=run.neurons.record,
        treatment=run.treatment,
        seed=run.neurons.seed,
        means_dataset_id=run.built.means_dataset_id,
        n_tokens=texts.n_tokens,
        torch_version=str(torch.__version__),
        results=(),
        bins=(),
    )
