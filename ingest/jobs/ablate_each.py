"""The job `ablate-each`: one intervention for each neuron of a set (METHODS §6).

Neurons are run in parts, each over all texts, and a part is stored whole: a run that was
interrupted goes on with those that are not stored.
"""

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Engine

from ingest.executors import Listener
from ingest.executors.choosing import choose_executor
from ingest.forward import batch_tokens
from ingest.interventions.building import build_intervention
from ingest.interventions.hooks import Intervention
from ingest.interventions.single_neuron.effects import Effects
from ingest.interventions.single_neuron.effects_pass import EffectsPass, run_effects_pass
from ingest.interventions.single_neuron.run import SingleNeuronRun, open_single_neuron_runs
from ingest.jobs.ablate import open_for_writing
from neurondb.contracts.progress import Advance, Progress
from neurondb.contracts.single_neuron import EffectReport, EffectRequest
from neurondb.reading.effects import SINGLE_NEURON, list_done_neurons
from neurondb.writing.effects import finish_run, store_effects
from neurondb.writing.rows import transaction

NEURON_TOKENS = 4_000_000
"""Neurons × tokens between two commits: seconds for a small model, minutes for a large one."""
MIN_NEURONS, MAX_NEURONS = 16, 2048
"""Neurons of a part: each part also costs a clean pass."""
CLEAN_PASS_BYTES = 1 << 30
"""Bytes of what the clean pass of a part keeps, layer by layer."""
STREAMS_A_LAYER = 3
"""Residual streams that it keeps of a layer: before it, of its attention, of its MLP."""


def run(request: EffectRequest, progress: Progress) -> EffectReport:
    """Intervene on each neuron of a set alone, and store what that does, a treatment a run.

    What is stored already is not run again.

    Raises:
        NeuronDBError: one line on what was wrong; parts that are finished stay.
    """
    started = time.perf_counter()
    with (
        open_for_writing(request.database) as engine,
        closing(choose_executor(request.executor, request.device, float64=True)) as executor,
    ):
        runs = open_single_neuron_runs(engine, request, SINGLE_NEURON, executor, progress)
        ids = runs[0].neurons.neuron_ids
        with transaction(engine) as connection:
            pending = [
                np.setdiff1d(
                    ids,
                    list_done_neurons(connection, SINGLE_NEURON, run.run_id, request.metrics[0]),
                )
                for run in runs
            ]
        n_pending = sum(map(len, pending))
        if n_pending:
            _carry_out(engine, request, runs, pending, progress)
        for run in runs:
            finish_run(engine, run.run_id, SINGLE_NEURON)
    run_ids = tuple(run.run_id for run in runs)
    return EffectReport(run_ids, len(ids), n_pending, time.perf_counter() - started)


def _carry_out(
    engine: Engine,
    request: EffectRequest,
    runs: Sequence[SingleNeuronRun],
    pending: Sequence[NDArray[np.int64]],
    progress: Progress,
) -> None:
    session = runs[0].session
    texts, n_tokens = session.texts, max(1, session.texts.n_tokens)
    total = len(runs[0].neurons.neuron_ids) * len(runs)
    done = total - sum(map(len, pending))
    unit = "neurons" if len(runs) == 1 else "neurons × conditions"
    size = batch_tokens(session.opened.device)
    compute = EffectsPass(session.opened, texts.token_ids, texts.skip_bos, request.metrics, size)
    parts = [
        (run, part)
        for run, neuron_ids in zip(runs, pending, strict=True)
        for part in split_neurons(neuron_ids, run, n_tokens)
    ]
    interventions = _build(engine, parts)
    left = Counter(run.run_id for run, _ in parts)
    with progress.stage("one neuron at a time", total, unit, done=done) as advance:
        counted = _WholeNeurons(advance, sum(map(len, texts.token_ids)))
        listener = Listener(counted, progress)
        found = run_effects_pass(compute, interventions, session.executor, listener)
        for place, effects, seconds in found:
            run, part = parts[place]
            values = _by_metric(request.metrics, effects)
            store_effects(engine, run.run_id, SINGLE_NEURON, part, values, seconds)
            left[run.run_id] -= 1
            if not left[run.run_id]:
                finish_run(engine, run.run_id, SINGLE_NEURON)


class _WholeNeurons:
    """Counts neurons × tokens, and tells of whole neurons."""

    def __init__(self, advance: Advance, n_tokens: int) -> None:
        self._advance = advance
        self._n_tokens = n_tokens
        self._partial = 0

    def __call__(self, n: int, detail: str = "") -> None:
        n_whole, self._partial = divmod(self._partial + n, self._n_tokens)
        if n_whole:
            self._advance(n_whole)


def split_neurons(
    neuron_ids: NDArray[np.int64], opened: SingleNeuronRun, n_tokens: int
) -> Iterator[NDArray[np.int64]]:
    """Yield neurons, ascending, in parts that are soon done and whose layers fit in memory."""
    max_neurons = min(MAX_NEURONS, max(MIN_NEURONS, NEURON_TOKENS // n_tokens))
    model, machine = opened.model, opened.session.opened
    width = model.d_model * machine.dtype.itemsize
    layers = max(1, CLEAN_PASS_BYTES // (STREAMS_A_LAYER * batch_tokens(machine.device) * width))
    layer_of = (neuron_ids - model.first_neuron_id) // model.d_mlp
    start = 0
    while start < len(neuron_ids):
        end = int(np.searchsorted(layer_of, layer_of[start] + layers))
        end = min(end, start + max_neurons)
        yield neuron_ids[start:end]
        start = end


def _build(
    engine: Engine, parts: Sequence[tuple[SingleNeuronRun, NDArray[np.int64]]]
) -> list[Intervention]:
    """Return what is done to the neurons of each part, with the values that their run has."""
    with transaction(engine) as connection:
        return [
            build_intervention(
                connection, run.model, neurons, run.treatment, run.built.means_dataset_id
            ).intervention
            for run, neurons in parts
        ]


def _by_metric(
    metrics: Sequence[str], effects: Effects
) -> dict[str, dict[str, NDArray[np.float64]]]:
    """Return metric → column → values."""
    return {
        metric: {name: values[i] for name, values in effects._asdict().items()}
        for i, metric in enumerate(metrics)
    }
