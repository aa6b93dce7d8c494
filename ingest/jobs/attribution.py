"""The job `attribute`: first-order estimates for many neurons at once (METHODS §6)."""

import time

import numpy as np

from ingest.interventions.single_neuron.attribution import Attributor
from ingest.interventions.single_neuron.run import SingleNeuronRun, open_single_neuron_run
from ingest.jobs.ablate import open_for_writing
from neurondb.contracts.progress import Progress
from neurondb.contracts.single_neuron import EffectReport, EffectRequest
from neurondb.reading.effects import ATTRIBUTION, list_done_neurons
from neurondb.writing.effects import finish_run, store_effects
from neurondb.writing.rows import transaction


def run(request: EffectRequest, progress: Progress) -> EffectReport:
    """Estimate what intervening on each neuron of a set alone does, and store it all or nothing.

    What is stored already is not computed again.

    Raises:
        NeuronDBError: one line on what was wrong.
    """
    started = time.perf_counter()
    with open_for_writing(request.database) as engine:
        opened = open_single_neuron_run(engine, request, ATTRIBUTION, progress)
        ids = opened.neurons.neuron_ids
        with transaction(engine) as connection:
            done = list_done_neurons(connection, ATTRIBUTION, opened.run_id, request.metrics[0])
        is_new = len(done) < len(ids)
        if is_new:
            estimates, seconds = _estimates(request, opened, progress)
            values = {m: {"mean": estimates[i]} for i, m in enumerate(request.metrics)}
            store_effects(engine, opened.run_id, ATTRIBUTION, ids, values, seconds)
        finish_run(engine, opened.run_id, ATTRIBUTION)
    n_new = len(ids) if is_new else 0
    return EffectReport(opened.run_id, len(ids), n_new, time.perf_counter() - started)


def _estimates(
    request: EffectRequest, opened: SingleNeuronRun, progress: Progress
) -> tuple[np.ndarray, float]:
    texts, intervention = opened.session.texts, opened.built.intervention
    attributor = Attributor(
        opened.load_forward(), texts.token_ids, skip_bos=texts.skip_bos, metrics=request.metrics
    )
    n_ids = sum(map(len, texts.token_ids))
    with progress.stage("attribution", n_ids, "tokens") as advance:
        started = time.perf_counter()
        estimates = attributor.run(intervention.targets, advance, intervention.condition)
        return estimates, time.perf_counter() - started
