"""The job `ablate-suite`: every class × mode × condition, with baselines, over the same texts.

Source: weakening-neurons §4, Figure 5 and Figures 14–21.
"""

import time
from contextlib import closing

import numpy as np
from sqlalchemy import Engine

from ingest.executors.choosing import choose_executor
from ingest.interventions.ablation_session import AblationSession, RunOptions, RunPlan
from ingest.jobs.ablate import make_ablation_report, open_for_writing, plan_with_baselines
from neurondb.contracts.ablate import AblationReport, AblationSuiteRequest
from neurondb.contracts.inputs import NeuronSelection
from neurondb.contracts.progress import Progress
from neurondb.errors import UnknownNameError
from neurondb.find.neuron_sets import NeuronSet, load_class_ids, select_neurons
from neurondb.reading.models import Model, find_model
from neurondb.spelling import option
from neurondb.taxonomy import CLASSES, ORTHOGONAL
from neurondb.writing.rows import transaction


def run(request: AblationSuiteRequest, progress: Progress) -> AblationReport:
    """Run what is not stored yet of a suite, and store it.

    Raises:
        NeuronDBError: one line on what was wrong; finished runs stay, and are skipped next time.
    """
    started = time.perf_counter()
    with (
        open_for_writing(request.database) as engine,
        closing(choose_executor(request.executor, request.device, float64=True)) as executor,
    ):
        with transaction(engine) as connection:
            model = find_model(connection, request.model)
        for treatment in request.treatments:
            treatment.check(gated=model.gated)
        plans = _plans(engine, model, request, progress)
        machine = (executor, request.dtype)
        session = AblationSession.open(engine, model, request.texts, machine, progress)
        outcomes = session.run_plans(plans, RunOptions(request.force))
    return make_ablation_report(plans, outcomes, started)


def _plans(
    engine: Engine, model: Model, request: AblationSuiteRequest, progress: Progress
) -> list[RunPlan]:
    seeds = range(request.seed, request.seed + request.baseline)
    plans: list[RunPlan] = []
    for name in request.classes or _list_present_classes(engine, model):
        neurons = _draw_neurons(engine, model, name, request, progress)
        of_class = plan_with_baselines(engine, model, neurons, request.treatments, seeds)
        plans += [plan.shift(len(plans)) for plan in of_class]
    return plans


def _draw_neurons(
    engine: Engine, model: Model, name: str, request: AblationSuiteRequest, progress: Progress
) -> NeuronSet:
    """Return as many neurons of a class as are to be drawn, or all of them where it has fewer."""
    every = select_neurons(engine, model, NeuronSelection("class", name))
    if request.draw is None or request.draw == len(every.neuron_ids):
        return every
    if request.draw > len(every.neuron_ids):
        progress.note(
            f"{every.definition} has {len(every.neuron_ids):,} neurons, all of which are taken, "
            f"not {request.draw:,}"
        )
        return every
    return select_neurons(engine, model, NeuronSelection("class", name, request.draw), request.seed)


def _list_present_classes(engine: Engine, model: Model) -> list[str]:
    """Return the classes that a model has neurons of, all but orthogonal output."""
    with transaction(engine) as connection:
        class_ids = np.unique(load_class_ids(connection, model))
    class_names = [
        read_write_class.name
        for read_write_class in CLASSES
        if read_write_class.class_id in class_ids and read_write_class.class_id != ORTHOGONAL
    ]
    if not class_names:
        raise UnknownNameError(
            f"every neuron of {model.name} is of class orthogonal output at τ = "
            f"{model.threshold:g}; name it with {option('classes')}, or classify at "
            f"another {option('tau')}"
        )
    return class_names
