"""Fingerprints of a time when they did not cover all weights, replaced by those that do."""

from __future__ import annotations

from sqlalchemy import Engine, select, update

from ingest.checkpoint.fingerprint_check import has_edge_fingerprint
from ingest.checkpoint.reader import Checkpoint
from ingest.weights.stored_cosines import compare_stored_cosines
from neurondb.contracts.progress import Progress
from neurondb.reading.models import find_model
from neurondb.schema import tables
from neurondb.writing.rows import transaction


def renew_fingerprint(
    engine: Engine, name: str, checkpoint: Checkpoint, progress: Progress
) -> None:
    """Give a stored model the checkpoint's fingerprint in place of its old one, if it has one.

    The old one says that the weights may be the same. Before it goes, the stored cosines of every
    neuron are compared with the checkpoint's.

    Raises:
        IngestError: when one differs.
    """
    m, runs = tables.models, tables.ablation_runs
    with transaction(engine) as connection:
        row = connection.execute(
            select(m.c.model_id, m.c.fingerprint).where(m.c.name == name)
        ).first()
    fingerprint = checkpoint.fingerprint()
    if (
        row is None
        or row.fingerprint == fingerprint
        or not has_edge_fingerprint(checkpoint, row.fingerprint)
    ):
        return
    with engine.connect() as connection:
        compare_stored_cosines(connection, find_model(connection, name), checkpoint, progress)
    with transaction(engine) as connection:
        for table in (m, runs):
            of_model = (table.c.model_id == row.model_id) & (table.c.fingerprint == row.fingerprint)
            connection.execute(update(table).where(of_model).values(fingerprint=fingerprint))
    progress.note(
        f"{name}: its fingerprint of an earlier version, which did not cover all weights, is"
        " renewed; every stored cosine agrees with the weights"
    )
