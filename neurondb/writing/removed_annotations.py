"""Annotations that were taken back: only the digest of their words stays, and when it happened.

Without it a merge with a database that still has them would bring them back.
"""

from collections.abc import Iterable
from datetime import UTC, datetime

from sqlalchemy import Connection, bindparam, delete, select

from neurondb.contracts.annotations import compute_digest
from neurondb.schema import tables


def format_utc_moment() -> str:
    """Return the time as annotations have it: UTC, ISO 8601, to the microsecond."""
    return datetime.now(UTC).isoformat(timespec="microseconds")


def find_said(connection: Connection, neuron_id: int, digest: str) -> list[tuple[int, str]]:
    """Return (annotation_id, source) of what a digest tells; older databases may have it twice."""
    a = tables.annotations.c
    query = select(a.annotation_id, a.source, a.key, a.value, a.note)
    rows = connection.execute(query.where(a.neuron_id == neuron_id))
    return [(row[0], row.source) for row in rows if compute_digest(*row[1:]) == digest]


def delete_said(connection: Connection, ids: Iterable[int]) -> None:
    """Delete annotations by their ids."""
    a = tables.annotations
    connection.execute(delete(a).where(a.c.annotation_id.in_(list(ids))))


def record_removal(connection: Connection, neuron_id: int, digest: str, removed_at: str) -> None:
    """Store that an annotation was removed; the latest removal of the same words counts."""
    r = tables.removed_annotations
    of_words = (r.c.neuron_id == neuron_id) & (r.c.digest == digest)
    earlier = connection.execute(select(r.c.removed_at).where(of_words)).scalar()
    if earlier is not None and earlier >= removed_at:
        return
    connection.execute(delete(r).where(of_words))
    row = {"neuron_id": neuron_id, "digest": digest, "removed_at": removed_at}
    connection.execute(r.insert(), row)


def forget_removals(connection: Connection, said: Iterable[tuple[int, str]]) -> None:
    """Forget that these (neuron_id, digest) were removed, since they are said again."""
    r = tables.removed_annotations
    keys = [{"n": neuron_id, "d": digest} for neuron_id, digest in said]
    if keys and connection.execute(select(r.c.neuron_id).limit(1)).first() is not None:
        of_words = (r.c.neuron_id == bindparam("n")) & (r.c.digest == bindparam("d"))
        connection.execute(delete(r).where(of_words), keys)
