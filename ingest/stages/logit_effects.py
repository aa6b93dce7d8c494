"""Histograms of what neurons write to the vocabulary: a part of the stage `vocab` (METHODS §4)."""

import time
from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np
from torch import Tensor

from ingest.stages.joined_records import join_records
from ingest.stages.session import Session
from ingest.vocabulary.logit_effects import OutMoments, choose_neurons, count_logit_effects
from ingest.vocabulary.property_effects import BestProperties, PropertyEffects
from neurondb.contracts.vocabulary import LogitEffectsRecord, TokenPropertiesRecord
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
            record = _count_layer(session, step.layer, moments, properties, effects)
            with session.finishing(step, time.perf_counter() - started) as writer:
                write_logit_effects(writer, step.layer, record, ids)
            advance(1)


def _count_layer(
    session: Session,
    layer: int,
    moments: OutMoments,
    properties: TokenPropertiesRecord,
    effects: PropertyEffects,
) -> LogitEffectsRecord:
    """Return the histograms of a layer.

    Which neurons have one is known when all of the layer was seen: experts are read twice, so that
    some at a time are in memory.
    """
    outs: Iterable[Tensor] = (part.out for part in session.read_vectors(layer))
    if not session.architecture.is_divided(layer):
        outs = list(outs)
    found = [effects.find_best(out) for out in outs]
    best = BestProperties(*map(np.concatenate, zip(*found, strict=True)))
    chosen = choose_neurons(moments, best)
    if session.architecture.is_divided(layer):
        outs = (part.out for part in session.read_vectors(layer))
    records, first = [], 0
    for out, best_of_part in zip(outs, found, strict=True):
        end = first + len(out)
        held = chosen[(chosen >= first) & (chosen < end)] - first
        record = count_logit_effects(
            out, effects.unit_unembed, properties.members, held, best_of_part
        )
        records.append(replace(record, neuron=record.neuron + first))
        first = end
    return join_records(records)
