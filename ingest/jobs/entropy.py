"""The job `entropy`: neurons fixed at values, beside random neurons of the last layers."""

from __future__ import annotations

import numpy as np

from ingest.interventions.entropy_baseline import draw_neurons
from ingest.interventions.frozen_norm import FixedNeuron, FrozenNormRunner, MetricSums
from ingest.interventions.running_model import (
    explain_memory_errors,
    open_running_model,
    read_canonical_signs,
)
from ingest.text.corpus import list_remarks
from ingest.text.intervention_texts import read_texts
from neurondb.contracts.entropy import EntropyCurves, EntropyRequest
from neurondb.contracts.progress import Progress
from neurondb.database import open_existing
from neurondb.errors import UsageError
from neurondb.interventions import ENTROPY_METRICS
from neurondb.neurons import NeuronPlace
from neurondb.reading.models import find_model, find_neuron_id


def run(request: EntropyRequest, progress: Progress) -> EntropyCurves:
    """Fix each neuron at each value, and measure.

    Raises:
        UsageError: when there is nothing to fix, or the model has no final norm.
        UnknownNameError: when the model or a neuron is not in the database.
        TextError: when the texts cannot be read.
        IngestError: when the checkpoint is gone, or what the baseline is drawn by is not stored.
        ModelError: when it cannot be read or run.
    """
    if not request.neurons or not request.values:
        raise UsageError("nothing to fix: give at least one neuron and one value")
    if len(set(request.neurons)) < len(request.neurons):
        raise UsageError("a neuron is named twice")
    engine = open_existing(request.machine.database)
    try:
        with engine.connect() as connection:
            model = find_model(connection, request.machine.model)
            for place in request.neurons:
                find_neuron_id(model, *place)
            baseline = draw_neurons(
                connection, model, request.n_baseline, request.seed, request.neurons
            )
            places = (*request.neurons, *baseline)
            sign = read_canonical_signs(connection, model, places)
            running = open_running_model(connection, request.machine)
        architecture = running.checkpoint.architecture
        texts = read_texts(engine, request.texts, running.tokenizer, architecture)
    finally:
        engine.dispose()
    for line in list_remarks(texts.dataset, running.tokenizer):
        progress.note(line)
    if texts.n_truncated:
        progress.note(f"{texts.n_truncated} texts cut at {texts.max_len} tokens")
    runner = FrozenNormRunner(running, sign, skip_bos=texts.skip_bos)
    pairs = [(place, value) for place in places for value in request.values]
    settings = [FixedNeuron(place, value, row) for row, (place, value) in enumerate(pairs)]
    work = texts.n_tokens * len(settings)
    with progress.stage("entropy", work, "tokens") as advance, explain_memory_errors(running):
        sums = runner.run(texts.token_ids, settings, advance)
    return _curves(request, baseline, sums, texts.n_tokens)


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
