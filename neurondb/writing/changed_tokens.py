"""The tokens that a run changed most → rows, with the token ids of their texts."""

import numpy as np
from sqlalchemy import Connection, Engine, select

from neurondb.contracts.ablate import AblationRecord
from neurondb.schema import tables
from neurondb.writing.rows import Column, insert_columns, transaction


def store_changed_tokens(engine: Engine, run_id: int, record: AblationRecord) -> None:
    """Write the changed tokens of a stored run that has none, as those of earlier versions."""
    c = tables.changed_tokens.c
    with transaction(engine) as connection:
        stored = select(c.rank).where(c.run_id == run_id).limit(1)
        if connection.execute(stored).first() is None:
            insert_changed_tokens(connection, run_id, record)


def insert_changed_tokens(connection: Connection, run_id: int, record: AblationRecord) -> None:
    """Write the changed tokens of a run.

    Texts whose token ids are not stored for the model, because it was not ingested with their
    dataset, get theirs, so that the tokens around a changed one can be shown.
    """
    if not record.changed:
        return
    t = tables.texts.c
    ordinals = sorted({token.ordinal for token in record.changed})
    rows = connection.execute(
        select(t.ordinal, t.text_id).where(
            t.dataset_id == record.settings.dataset_id, t.ordinal.in_(ordinals)
        )
    )
    text_ids = {row.ordinal: row.text_id for row in rows}
    changed = sorted(record.changed, key=lambda token: (token.metric, token.rank))
    columns: dict[str, Column] = {
        name: [getattr(token, name) for token in changed] for name in _COPIED
    }
    columns["run_id"] = [run_id] * len(changed)
    columns["text_id"] = [text_ids[token.ordinal] for token in changed]
    insert_columns(connection, tables.changed_tokens, columns)
    _insert_token_ids(connection, record, text_ids)


_COPIED = ("metric", "rank", "position", "token_id", "clean", "ablated")


def _insert_token_ids(
    connection: Connection, record: AblationRecord, text_ids: dict[int, int]
) -> None:
    t, model_id = tables.text_token_ids, record.settings.model_id
    ids = sorted(text_ids[ordinal] for ordinal in record.token_ids)
    stored = connection.scalars(
        select(t.c.text_id).where(t.c.model_id == model_id, t.c.text_id.in_(ids))
    ).all()
    missing = sorted(set(ids) - set(stored))
    ordinal_of = {text_id: ordinal for ordinal, text_id in text_ids.items()}
    packed = [
        np.asarray(record.token_ids[ordinal_of[text_id]], dtype="<u4").tobytes()
        for text_id in missing
    ]
    if missing:
        model_ids = [model_id] * len(missing)
        columns: dict[str, Column] = {"model_id": model_ids, "text_id": missing}
        insert_columns(connection, t, columns | {"token_ids": packed})
