"""A stored run of one intervention a neuron, found or begun: its set, its texts, its model."""

from dataclasses import dataclass, replace

import numpy as np
import torch
from sqlalchemy import Engine

from ingest.forward import Forward
from ingest.interventions.ablation_session import AblationSession
from ingest.interventions.building import BuiltIntervention, build_intervention
from neurondb.contracts.ablate import AblationRecord
from neurondb.contracts.progress import Progress
from neurondb.contracts.single_neuron import EffectRequest
from neurondb.errors import UsageError
from neurondb.find.neuron_sets import NeuronSet, select_neurons
from neurondb.interventions import ESTIMATED_METRICS, METRICS, SINGLE_NEURON_MODES, Treatment
from neurondb.reading.effects import ATTRIBUTION, find_same_run
from neurondb.reading.models import Model, find_model
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

    def load_forward(self) -> Forward:
        """Load the model to run it.

        Raises:
            ModelError: when it cannot be run.
        """
        return self.session.opened.load()


def open_single_neuron_run(
    engine: Engine, request: EffectRequest, kind: str, progress: Progress
) -> SingleNeuronRun:
    """Find the run of a request, finished or not, or begin it.

    Args:
        engine: The database, to be written to.
        request: The neurons, their treatment and the texts.
        kind: each or attribution.
        progress: Gets a note where texts are cut.

    Raises:
        NeuronDBError: one line on what was wrong.
    """
    _check(request, kind)
    with transaction(engine) as connection:
        model = find_model(connection, request.model)
    neurons = _neurons(engine, model, request)
    request.treatment.check(gated=model.gated)
    machine = (request.device, request.dtype)
    session = AblationSession.open(engine, model, request.texts, machine, progress)
    store_named(engine, neurons.record)
    record = _record(engine, neurons, session, request)
    with transaction(engine) as connection:
        ids, treatment = neurons.neuron_ids, request.treatment
        built = build_intervention(connection, model, ids, treatment, session.texts.dataset_id)
        run_id = None
        if not request.force:
            run_id = find_same_run(
                connection, kind, record.settings, treatment, ids, request.metrics
            )
    if run_id is None:
        record = replace(record, means_dataset_id=built.means_dataset_id)
        run_id = open_run(engine, record, kind)
    return SingleNeuronRun(model, neurons, session, request.treatment, built, run_id)


def _check(request: EffectRequest, kind: str) -> None:
    if request.treatment.mode not in SINGLE_NEURON_MODES:
        raise UsageError(
            f"one neuron at a time is set to {' or '.join(SINGLE_NEURON_MODES)}, not by mode "
            f"{request.treatment.mode}; `neurondb ablate` has that for whole sets"
        )
    available = ESTIMATED_METRICS if kind == ATTRIBUTION else METRICS
    for metric in request.metrics:
        if metric not in available:
            hint = "; it counts or is no mean of tokens' own" if metric in METRICS else ""
            noun = "estimate of" if kind == ATTRIBUTION else "metric"
            raise UsageError(f"no {noun} {metric!r}{hint}; there is {', '.join(available)}")


def _neurons(engine: Engine, model: Model, request: EffectRequest) -> NeuronSet:
    if request.selection is None:
        first = model.first_neuron_id
        return NeuronSet(EVERY_NEURON, np.arange(first, first + model.n_neurons), name=request.name)
    neurons = select_neurons(engine, model, request.selection, request.seed)
    return neurons if request.name is None else neurons._replace(name=request.name)


def _record(
    engine: Engine, neurons: NeuronSet, session: AblationSession, request: EffectRequest
) -> AblationRecord:
    return AblationRecord(
        settings=session.make_settings(session.texts.store(engine)),
        neurons=neurons.record,
        treatment=request.treatment,
        seed=neurons.seed,
        means_dataset_id=None,
        n_tokens=session.texts.n_tokens,
        torch_version=str(torch.__version__),
        results=(),
        bins=(),
    )
