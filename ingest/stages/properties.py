"""What neurons do to classes of tokens: the last part of the stage `vocab` (METHODS §4)."""

import time
from collections.abc import Callable, Sequence

from ingest.stages.session import Session
from ingest.vocabulary import Projector, normalise_rows
from ingest.vocabulary.properties.catalogue import find_token_properties
from ingest.vocabulary.property_effects import PropertyEffects
from ingest.weights.preprocess import preprocess_neurons, preprocess_unembedding
from neurondb.contracts.model import Token
from neurondb.writing.ledger import WHOLE_MODEL, Step
from neurondb.writing.properties import read_property_ids, store_properties, write_property_effects
from neurondb.writing.rows import transaction

CATALOGUE_VERSION = 1
"""The version of the catalogue of properties: another one is another step."""


def store_property_effects(
    session: Session, tokens: Callable[[], Sequence[Token]], projector: Projector | None
) -> None:
    """Store which tokens have which properties, and every neuron's effect on them.

    A model whose tokens have no text has none.

    Args:
        session: the ingest.
        tokens: gives the tokens that exist, in the order of `session.token_rows`.
        projector: one of this model, where there is one already.
    """
    if session.tokenizer is None:
        return
    settings = session.vocabulary_settings | {
        "catalogue": CATALOGUE_VERSION,
        "tokenizer": session.tokenizer.fingerprint,
    }
    model_steps = session.select_pending([Step("properties", WHOLE_MODEL, settings)])
    steps = session.select_pending(Step("properties", n, settings) for n in session.layers)
    if not model_steps and not steps:
        return
    properties = find_token_properties(tokens())
    for step in model_steps:
        with session.finishing(step) as writer:
            store_properties(writer, properties, session.token_rows.ids)
    if not steps:
        return
    with transaction(session.engine) as connection:
        ids = read_property_ids(connection, properties)
    with session.progress.stage("token properties", len(steps), "layers") as advance:
        if projector is None:
            unembed = preprocess_unembedding(
                session.checkpoint, session.choices, session.token_rows
            )
            unit = normalise_rows(unembed.to(session.device))
            effects = PropertyEffects(unit, properties.members)
        else:
            effects = PropertyEffects(
                projector.unit_unembed, properties.members, projector.covariance
            )
        for step in steps:
            started = time.perf_counter()
            vectors = preprocess_neurons(
                session.read_layer(step.layer), session.architecture, session.choices
            )
            record = effects.compute(vectors.out)
            with session.finishing(step, time.perf_counter() - started) as writer:
                write_property_effects(writer, step.layer, record, ids)
            advance(1)
