"""Histograms of what neurons write to the vocabulary: a part of the stage `vocab` (METHODS §4)."""

import time
from collections.abc import Sequence

from ingest.stages.session import Session
from ingest.vocabulary.logit_effects import OutMoments, choose_neurons, count_logit_effects
from ingest.vocabulary.property_effects import PropertyEffects
from ingest.weights.preprocess import preprocess_neurons
from neurondb.contracts.vocabulary import TokenPropertiesRecord
from neurondb.reading.arrays import read_out_moments
from neurondb.reading.models import find_model
from neurondb.writing.ledger import Step
from neurondb.writing.properties import read_property_ids, write_logit_effects
from neurondb.writing.rows import transaction

STAGE = "logit_effects"
"""The stage of these steps in the ledger."""

VERSION = 1
"""The version of what is chosen and counted: another one is another step."""


def store_logit_effects(
    session: Session,
    steps: Sequence[Step],
    properties: TokenPropertiesRecord,
    effects: PropertyEffects,
) -> None:
    """Store the histograms of layers whose moments, and the model's properties, are stored.

    Args:
        session: the ingest.
        steps: those of the layers that lack them.
        properties: which tokens have which properties.
        effects: the effects of the model's neurons on them.
    """
    if not steps:
        return
    with transaction(session.engine) as connection:
        ids = read_property_ids(connection, properties)
        model = find_model(connection, session.ledger.model.name)
    with session.progress.stage("logit effects", len(steps), "layers") as advance:
        for step in steps:
            started = time.perf_counter()
            with transaction(session.engine) as connection:
                moments = OutMoments(*read_out_moments(connection, model, step.layer))
            weights = session.read_layer(step.layer)
            out = preprocess_neurons(weights, session.architecture, session.choices).out
            best = effects.find_best(out)
            chosen = choose_neurons(moments, best)
            record = count_logit_effects(
                out, effects.unit_unembed, properties.members, chosen, best
            )
            with session.finishing(step, time.perf_counter() - started) as writer:
                write_logit_effects(writer, step.layer, record, ids)
            advance(1)
