"""Which comparisons with a model are stored."""

from dataclasses import dataclass

from sqlalchemy import Connection, select

from neurondb.reading.models import Model
from neurondb.schema import tables


@dataclass(frozen=True)
class StoredComparison:
    """A comparison: the model before, the one after, and how many top tokens both share."""

    before: str
    after: str
    created_at: str
    share_same_token: float | None


def stored_comparisons(connection: Connection, model: Model) -> tuple[StoredComparison, ...]:
    """Return the comparisons that a model is part of, by the names of both."""
    c, a, b = tables.comparisons.c, tables.models.alias("a"), tables.models.alias("b")
    rows = connection.execute(
        select(a.c.name, b.c.name, c.created_at, c.share_same_token)
        .join_from(tables.comparisons, a, a.c.model_id == c.model_a)
        .join(b, b.c.model_id == c.model_b)
        .where((c.model_a == model.model_id) | (c.model_b == model.model_id))
        .order_by(a.c.name, b.c.name)
    )
    return tuple(StoredComparison(*row) for row in rows)
