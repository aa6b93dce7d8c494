"""Histograms of what neurons write to the vocabulary: a part of the stage `vocab` (METHODS §4)."""

from collections.abc import Sequence

from ingest.stages.property_pass import PropertyComputation, PropertyShard
from ingest.stages.session import Session
from ingest.vocabulary.logit_effects import OutMoments
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
    compute: PropertyComputation,
) -> None:
    """Store the histograms of layers whose moments, and the model's properties, are stored.

    Args:
        session: the ingest.
        steps: those of the layers that lack them.
        properties: which tokens have which properties.
        compute: computes them.
    """
    if not steps:
        return
    with transaction(session.engine) as connection:
        ids = read_property_ids(connection, properties)
        model = find_model(connection, session.ledger.model.name)
        shards = [
            PropertyShard(layer, OutMoments(*read_out_moments(connection, model, layer)))
            for layer in (step.layer for step in steps)
        ]
    with session.progress.stage("logit effects", len(steps), "layers") as advance:
        for place, (record, seconds) in session.compute(compute, shards):
            step = steps[place]
            with session.finishing(step, seconds) as writer:
                write_logit_effects(writer, step.layer, record, ids)
            advance(1)
