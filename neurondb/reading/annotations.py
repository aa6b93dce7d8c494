"""What others have said about a neuron: labels and columns from outside."""

from dataclasses import dataclass

from sqlalchemy import Connection, select

from neurondb.schema import tables


@dataclass(frozen=True)
class Annotation:
    """One thing said about a neuron, and by whom."""

    source: str
    key: str
    value: str | None
    note: str | None


def annotations(connection: Connection, neuron_id: int) -> tuple[Annotation, ...]:
    """Return the annotations of a neuron, by source and key."""
    a = tables.annotations.c
    rows = connection.execute(
        select(a.source, a.key, a.value, a.note)
        .where(a.neuron_id == neuron_id)
        .order_by(a.source, a.key, a.annotation_id)
    )
    return tuple(Annotation(*row) for row in rows)
