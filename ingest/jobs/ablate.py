"""The jobs `ablate` and `rerun`: neurons are intervened on, and what changes is stored."""

import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager

import numpy as np
from sqlalchemy import Connection, Engine, select

from ingest.executors.choosing import choose_executor
from ingest.interventions.ablation_session import AblationSession, RunOptions, RunOutcome, RunPlan
from ingest.text.datasets import read_dataset
from neurondb import migrate
from neurondb.contracts.ablate import AblationReport, AblationRequest, RerunRequest
from neurondb.contracts.inputs import TextsRequest
from neurondb.contracts.progress import Progress
from neurondb.database import open_existing
from neurondb.errors import IngestError
from neurondb.find.neuron_sets import NeuronSet, draw_baseline, select_neurons
from neurondb.interventions import Treatment
from neurondb.reading.models import Model, find_model
from neurondb.reading.runs import AblationRun, find_ablation_run, list_baselines, list_members
from neurondb.schema import tables
from neurondb.spelling import option
from neurondb.writing.ablations import store_named
from neurondb.writing.rows import transaction


def run(request: AblationRequest, progress: Progress) -> AblationReport:
    """Intervene on a set of neurons, and on random ones to compare with; store the runs.

    What is stored already is not run again, unless the values of its tokens are wanted.

    Raises:
        NeuronDBError: one line on what was wrong; nothing is half-written.
    """
    started = time.perf_counter()
    with (
        open_for_writing(request.database) as engine,
        closing(choose_executor(request.executor, request.device, float64=True)) as executor,
    ):
        with transaction(engine) as connection:
            model = find_model(connection, request.model)
        neurons = select_neurons(engine, model, request.selection, request.seed)
        if request.name is not None:
            neurons = neurons._replace(name=request.name)
        request.treatment.check(gated=model.gated)
        seeds = range(request.seed, request.seed + request.baseline)
        plans = plan_with_baselines(engine, model, neurons, [request.treatment], seeds)
        machine = (executor, request.dtype)
        session = AblationSession.open(engine, model, request.texts, machine, progress)
        store_named(engine, neurons.record)
        again = request.save_tokens is not None
        outcomes = session.run_plans(plans, RunOptions(request.force, again, request.save_tokens))
    return make_ablation_report(plans, outcomes, started)


def plan_with_baselines(
    engine: Engine,
    model: Model,
    neurons: NeuronSet,
    treatments: Sequence[Treatment],
    seeds: Sequence[int],
) -> list[RunPlan]:
    """Return a plan for each treatment of a set, each followed by those of its random sets."""
    with transaction(engine) as connection:
        drawn = [draw_baseline(connection, model, neurons, seed) for seed in seeds]
    plans: list[RunPlan] = []
    for treatment in treatments:
        place = len(plans)
        plans.append(RunPlan(neurons, treatment))
        plans += [RunPlan(random, treatment, place) for random in drawn]
    return plans


def make_ablation_report(
    plans: Sequence[RunPlan], outcomes: Sequence[RunOutcome], started: float
) -> AblationReport:
    """Return the report of runs; `started` is the `time.perf_counter()` of the job's start."""
    differences = [outcome.difference for outcome in outcomes if outcome.difference is not None]
    return AblationReport(
        run_ids=tuple(
            outcome.run_id
            for plan, outcome in zip(plans, outcomes, strict=True)
            if plan.baseline_of is None
        ),
        n_new=sum(outcome.is_new for outcome in outcomes),
        seconds=time.perf_counter() - started,
        largest_difference=max(differences, default=None),
    )


@contextmanager
def open_for_writing(location: str | None) -> Iterator[Engine]:
    """Open a database that exists to write to it, and close it after.

    Raises:
        DatabaseError: when there is none, or it is older, newer or something else.
    """
    open_existing(location).dispose()
    engine = migrate.create_or_open(location)
    try:
        yield engine
    finally:
        engine.dispose()


def rerun(request: RerunRequest, progress: Progress) -> AblationReport:
    """Repeat a stored run and its baselines, over the same texts or over more of them.

    Over the same texts nothing is stored: the report says by how much the statistics differ from
    what is. Over others the runs are new.

    Raises:
        NeuronDBError: one line on what was wrong; nothing is half-written.
    """
    started = time.perf_counter()
    with open_for_writing(request.database) as engine:
        with transaction(engine) as connection:
            original = find_ablation_run(connection, request.run_id).run
            _check(original)
            baselines = [baseline.run for baseline in list_baselines(connection, request.run_id)]
            model = find_model(connection, original.model)
            plans = [_plan(connection, original, None)]
            plans += [_plan(connection, baseline, 0) for baseline in baselines]
            texts = _texts(connection, original, request)
        device = request.device or _choose_device(original, request.executor)
        options = RunOptions(again=True, save_tokens=request.save_tokens)
        with closing(choose_executor(request.executor, device, float64=True)) as executor:
            machine = (executor, request.dtype or original.dtype or "auto")
            session = AblationSession.open(engine, model, texts, machine, progress)
            outcomes = session.run_plans(plans, options)
    return make_ablation_report(plans, outcomes, started)


def _choose_device(run: AblationRun, executor: str) -> str:
    """Return the device of a stored run; where others hand devices out, only its kind."""
    device = run.device or "auto"
    return device if executor == "local" else device.partition(":")[0]


def _check(run: AblationRun) -> None:
    if run.baseline_of is not None:
        raise IngestError(
            f"run {run.run_id} is the baseline of run {run.baseline_of}; rerun that one, which "
            "repeats its baselines too"
        )
    if run.n_texts is None or run.max_len is None or run.skip_bos is None:
        raise IngestError(f"run {run.run_id} does not say which texts it had; run it anew")


def _plan(connection: Connection, run: AblationRun, baseline_of: int | None) -> RunPlan:
    ids = np.array(list_members(connection, run.set_id), dtype=np.int64)
    neurons = NeuronSet(run.definition, ids, seed=run.seed, name=run.set_name)
    return RunPlan(neurons, run.treatment, baseline_of, run.means_dataset_id)


def _texts(connection: Connection, run: AblationRun, request: RerunRequest) -> TextsRequest:
    """Return the texts of a run, or as many as were asked for, from the source where need be."""
    d, sample = tables.dataset_rows.c, tables.text_samples.c
    stored = connection.execute(
        select(d.source, d.n_texts, sample.seed)
        .outerjoin_from(tables.dataset_rows, tables.text_samples, sample.dataset_id == d.dataset_id)
        .where(d.dataset_id == run.dataset_id)
    ).one()
    assert run.skip_bos is not None
    same_texts = request.max_texts is None and request.max_tokens is None
    n_texts = run.n_texts if same_texts else request.max_texts
    source = run.dataset
    if not same_texts and (n_texts is None or n_texts > stored.n_texts):
        source = stored.source
        if stored.seed is not None:
            raise IngestError(
                f"the texts of run {run.run_id} were drawn at random from {source}; run it anew "
                f"with a larger {option('sample_tokens')}"
            )
        _check_source(connection, run, source)
    return TextsRequest(source, n_texts, request.max_tokens, run.max_len, run.skip_bos)


def _check_source(connection: Connection, run: AblationRun, source: str) -> None:
    t = tables.texts.c
    first = select(t.text).where(t.dataset_id == run.dataset_id).order_by(t.ordinal)
    texts = list(connection.scalars(first.limit(run.n_texts)).all())
    if list(read_dataset(source, run.n_texts).texts) != texts:
        raise IngestError(
            f"{source} no longer begins with the texts of run {run.run_id}; run it anew on "
            "the new texts"
        )
