"""What tokens are, by their ids."""

from collections.abc import Iterable

from sqlalchemy import Connection, select

from neurondb.reading.models import Model
from neurondb.schema.tables import tokens


def token_texts(connection: Connection, model: Model, token_ids: Iterable[int]) -> dict[int, str]:
    """Return token id → text; `#5` for one whose text is not stored."""
    wanted = sorted({int(token_id) for token_id in token_ids})
    t = tokens.c
    rows = connection.execute(
        select(t.token_id, t.token).where(t.model_id == model.model_id, t.token_id.in_(wanted))
    )
    known = {row.token_id: row.token for row in rows}
    return {token_id: known.get(token_id, f"#{token_id}") for token_id in wanted}
