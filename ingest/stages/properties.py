"""What neurons do to classes of tokens: the last part of the stage `vocab` (METHODS §4)."""

from collections.abc import Callable, Sequence

from ingest.stages import logit_effects
from ingest.stages.property_pass import PropertyComputation, PropertyShard
from ingest.stages.session import Session
from ingest.vocabulary import Projector
from ingest.vocabulary.properties.catalogue import find_token_properties
from neurondb.contracts.model import Token
from neurondb.contracts.vocabulary import TokenPropertiesRecord
from neurondb.writing.ledger import WHOLE_MODEL, Step
from neurondb.writing.properties import read_property_ids, store_properties, write_property_effects
from neurondb.writing.rows import transaction

CATALOGUE_VERSION = 1
"""The version of the catalogue of properties: another one is another step."""


def store_property_effects(
    session: Session, tokens: Callable[[], Sequence[Token]], projector: Projector | None
) -> None:
    """Store which tokens have which properties, every neuron's effect on them, and histograms.

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
    logit_settings = settings | {"histograms": logit_effects.VERSION}
    histograms = session.select_pending(
        Step(logit_effects.STAGE, n, logit_settings) for n in session.layers
    )
    if not model_steps and not steps and not histograms:
        return
    properties = find_token_properties(tokens())
    for step in model_steps:
        with session.finishing(step) as writer:
            store_properties(writer, properties, session.token_rows.ids)
    if steps or histograms:
        compute = PropertyComputation(
            session.opened, session.choices, session.token_rows, properties.members
        )
        if projector is not None:
            compute.use_projector(projector)
        _store_effects(session, steps, properties, compute)
        logit_effects.store_logit_effects(session, histograms, properties, compute)


def _store_effects(
    session: Session,
    steps: Sequence[Step],
    properties: TokenPropertiesRecord,
    compute: PropertyComputation,
) -> None:
    if not steps:
        return
    with transaction(session.engine) as connection:
        ids = read_property_ids(connection, properties)
    with session.progress.stage("token properties", len(steps), "layers") as advance:
        shards = [PropertyShard(step.layer) for step in steps]
        for place, (record, seconds) in session.compute(compute, shards):
            step = steps[place]
            with session.finishing(step, seconds) as writer:
                write_property_effects(writer, step.layer, record, ids)
            advance(1)
