"""The stage `weights`: neurons, cosines, baselines, classes (METHODS §1–3)."""

import time

from ingest.baselines import Sampling
from ingest.session import Session
from ingest.weights import analyse_layer
from neurondb.writing import layers
from neurondb.writing.ledger import Step


def weights_stage(session: Session) -> None:
    """Analyse the weights of every layer, then classify its neurons at each τ."""
    sampling = Sampling(session.request.seed, session.request.exact_baselines)
    settings = session.preprocessing | {"seed": sampling.seed, "exact_baselines": sampling.exact}
    steps = session.pending(Step("weights", n, settings) for n in session.layers)
    with session.progress.stage("weights", len(steps), "layers") as advance:
        for step in steps:
            started = time.perf_counter()
            weights = session.layer(step.layer)
            record = analyse_layer(weights, session.architecture, session.choices, sampling)
            with session.finishing(step, time.perf_counter() - started) as writer:
                layers.write_weights(writer, step.layer, record)
            advance(1)
    for threshold in session.request.thresholds:
        _classify(session, threshold)


def _classify(session: Session, threshold: float) -> None:
    stage = f"classes {threshold:g}"
    settings = session.preprocessing | {"threshold": threshold}
    for step in session.pending(Step(stage, n, settings) for n in session.layers):
        with session.finishing(step) as writer:
            layers.write_classes(writer, step.layer, threshold)
