"""The stage `weights`: neurons, cosines, baselines, classes (METHODS §1–3)."""

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from sqlalchemy import select

from ingest.checkpoint.reader import LayerWeights
from ingest.executors import Worker
from ingest.forward.devices import find_exact_device
from ingest.forward.open_model import OpenModel
from ingest.stages.layer_storing import divide_storing, finish_layer
from ingest.stages.session import Session
from ingest.weights.analysis import analyse_parts
from ingest.weights.baselines import Sampling
from ingest.weights.layer_parts import LayerParts
from neurondb.contracts.ingest import Preprocessing
from neurondb.contracts.weights import WeightsRecord
from neurondb.schema import tables
from neurondb.spelling import option
from neurondb.taxonomy import DEFAULT_THRESHOLD
from neurondb.writing import models
from neurondb.writing.ledger import Step
from neurondb.writing.rows import transaction
from neurondb.writing.weights import write_classes, write_weights

PART_ELEMENTS: Final = 2**24
"""Numbers of the vectors of experts that are read together, 64 MiB in float32; or of one expert."""


@dataclass(frozen=True)
class WeightsAnalysis:
    """A computation: the weight analysis of a layer, and the seconds that it took.

    Attributes:
        opened: The model.
        choices: How its weights are preprocessed.
        sampling: How the pairs of the mismatched baselines are chosen.
    """

    opened: OpenModel
    choices: Preprocessing
    sampling: Sampling

    def __call__(self, layer: int, worker: Worker) -> tuple[WeightsRecord, float]:
        """Read a layer and analyse it; CheckpointError where it cannot be read."""
        started = time.perf_counter()
        self.opened.prepare_processor()
        weights = self._read(layer, find_exact_device(worker.device))
        record = analyse_parts(weights, self.opened.architecture, self.choices, self.sampling)
        if not np.isfinite(record.penalty).all():
            for _ in self.opened.checkpoint.read_parts(layer):
                pass  # refuses the tensor that holds NaN or infinity
        return record, time.perf_counter() - started

    def _read(self, layer: int, device: torch.device) -> LayerParts:
        """Return a layer's weights on a device; those of experts are read some at a time."""
        checkpoint, sizes = self.opened.checkpoint, self.opened.architecture
        if not sizes.is_divided(layer):
            return LayerParts.of_whole(checkpoint.read_unexamined_layer(layer).to(device))

        def read() -> Iterator[LayerWeights]:
            for part in checkpoint.read_parts(layer, PART_ELEMENTS // (3 * sizes.d_model)):
                yield part.to(device)

        return LayerParts(sizes.count_neurons(layer), read)


def run_weights_stage(session: Session) -> None:
    """Analyse the weights of every layer, and classify its neurons at each τ."""
    sampling = Sampling(_choose_seed(session), session.request.exact_baselines)
    settings = session.preprocessing | {"seed": sampling.seed, "exact_baselines": sampling.exact}
    steps = session.select_pending(Step("weights", n, settings) for n in session.layers)
    analysis = WeightsAnalysis(session.opened, session.choices, sampling)
    # Layers take turns: with each the model's neighbours are forgotten, whatever layer they are of.
    compute = divide_storing(session, analysis, write_weights, turn="weights")
    with session.progress.stage("weights", len(steps), "layers") as advance:
        for place, outcome in session.compute(compute, steps):
            finish_layer(session, steps[place], outcome, write_weights)
            _classify(session, steps[place].layer)
            advance(1)
    for layer in set(session.layers) - {step.layer for step in steps}:
        _classify(session, layer)  # analysed by an earlier run, perhaps at other thresholds
    _show(session, session.thresholds[0])


def _choose_seed(session: Session) -> int:
    """Return the seed of the sampled baselines: that of the request.

    Where the request's seed draws texts, and baselines are stored by another one, they stay: a
    second sample of texts is no reason to refuse the model, or to analyse it again.
    """
    request = session.request
    if request.sample_tokens is None or request.force:
        return request.seed
    s = tables.ingest_steps.c
    with transaction(session.engine) as connection:
        settings = connection.scalar(
            select(s.settings)
            .where(s.model_id == session.ledger.model.model_id, s.stage == "weights")
            .limit(1)
        )
    return request.seed if settings is None else int(json.loads(settings).get("seed", request.seed))


def _classify(session: Session, layer: int) -> None:
    """Classify a layer's neurons from their stored cosines."""
    for threshold in session.thresholds:
        settings = session.preprocessing | {"threshold": threshold}
        for step in session.select_pending([Step(f"classes {threshold:g}", layer, settings)]):
            with session.finishing(step) as writer:
                write_classes(writer, layer, threshold)


def _show(session: Session, threshold: float) -> None:
    """Have neuron_overview show the classes at this τ; say so where it is not as one expects."""
    model = session.ledger.model
    if threshold != model.threshold:
        models.set_shown(session.engine, model, threshold=threshold)
    chosen = bool(session.request.thresholds) and threshold != DEFAULT_THRESHOLD
    if threshold != model.threshold or chosen:
        before = f", no longer at {model.threshold:g}" if threshold != model.threshold else ""
        other_threshold = model.threshold if before else DEFAULT_THRESHOLD
        session.progress.note(
            f"neuron_overview and `find` show the classes of {model.name} at τ = {threshold:g}"
            f"{before}; ingest with {option('tau')} {other_threshold:g} to see those, "
            "`neurondb status` lists them all"
        )
