"""The job `attribute`: first-order estimates for many neurons at once (METHODS §6)."""

import time
from collections.abc import Sequence
from contextlib import closing

import numpy as np
from jaxtyping import Float

from ingest.executors.choosing import choose_executor
from ingest.interventions.single_neuron.attribution import Attributor
from ingest.interventions.single_neuron.run import SingleNeuronRun, open_single_neuron_runs
from ingest.jobs.ablate import open_for_writing
from neurondb.contracts.progress import Progress
from neurondb.contracts.single_neuron import EffectReport, EffectRequest
from neurondb.errors import UsageError
from neurondb.reading.effects import ATTRIBUTION, list_done_neurons
from neurondb.spelling import option
from neurondb.writing.effects import finish_run, store_effects
from neurondb.writing.rows import transaction


def run(request: EffectRequest, progress: Progress) -> EffectReport:
    """Estimate what intervening on each neuron of a set alone does, and store it all or nothing.

    All treatments that are not stored already are estimated by the same passes.

    Raises:
        NeuronDBError: one line on what was wrong.
    """
    started = time.perf_counter()
    if request.executor != "local" or "," in request.device:
        raise UsageError(
            f"an attribution takes one pass over the texts, on one device; leave out "
            f"{option('executor')}, and the list in {option('device')}"
        )
    with (
        open_for_writing(request.database) as engine,
        closing(choose_executor(request.executor, request.device, float64=True)) as executor,
    ):
        runs = open_single_neuron_runs(engine, request, ATTRIBUTION, executor, progress)
        ids = runs[0].neurons.neuron_ids
        with transaction(engine) as connection:
            done = [
                list_done_neurons(connection, ATTRIBUTION, run.run_id, request.metrics[0])
                for run in runs
            ]
        pending = [run for run, known in zip(runs, done, strict=True) if len(known) < len(ids)]
        if pending:
            estimates, seconds = _estimate(request, pending, progress)
            for run, estimate in zip(pending, estimates, strict=True):
                values = {m: {"mean": estimate[i]} for i, m in enumerate(request.metrics)}
                store_effects(engine, run.run_id, ATTRIBUTION, ids, values, seconds / len(pending))
        for run in runs:
            finish_run(engine, run.run_id, ATTRIBUTION)
    run_ids, n_new = tuple(run.run_id for run in runs), len(ids) * len(pending)
    return EffectReport(run_ids, len(ids), n_new, time.perf_counter() - started)


def _estimate(
    request: EffectRequest, pending: Sequence[SingleNeuronRun], progress: Progress
) -> tuple[Float[np.ndarray, "runs metrics neurons"], float]:
    session = pending[0].session
    texts = session.texts
    attributor = Attributor(
        session.opened.load(), texts.token_ids, skip_bos=texts.skip_bos, metrics=request.metrics
    )
    n_ids = sum(map(len, texts.token_ids))
    with progress.stage("attribution", n_ids, "tokens") as advance:
        started = time.perf_counter()
        estimates = attributor.run([run.built.intervention for run in pending], advance)
        return estimates, time.perf_counter() - started
