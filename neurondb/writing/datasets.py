"""Datasets, their texts and token ids, and the vocabularies that read them."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, Engine, insert, select

from neurondb.records import DatasetRecord, Token, TokenizationRecord
from neurondb.schema import tables
from neurondb.writing.bulk import insert_columns
from neurondb.writing.ledger import StepWriter
from neurondb.writing.transactions import insert_one, transaction


def store_dataset(engine: Engine, record: DatasetRecord) -> int:
    """Give a dataset its row and texts, or find the one with the same texts; return its id."""
    table = tables.dataset_rows
    with transaction(engine) as connection:
        found = connection.execute(
            select(table.c.dataset_id).where(table.c.fingerprint == record.fingerprint)
        ).scalar()
        if found is not None:
            return int(found)
        taken = connection.execute(select(table.c.name).where(table.c.name == record.name)).first()
        values = {
            "name": record.name if taken is None else f"{record.name}-{record.fingerprint[:8]}",
            "source": record.source,
            "fingerprint": record.fingerprint,
            "n_texts": len(record.texts),
        }
        dataset_id = insert_one(connection, table, values)
        n_texts = len(record.texts)
        insert_columns(
            connection,
            tables.texts,
            {
                "dataset_id": np.full(n_texts, dataset_id),
                "ordinal": np.arange(n_texts),
                "text": record.texts,
            },
        )
        return dataset_id


def text_ids(connection: Connection, dataset_id: int) -> NDArray[np.int64]:
    """Return the ids of a dataset's texts in order."""
    t = tables.texts.c
    rows = connection.execute(
        select(t.text_id).where(t.dataset_id == dataset_id).order_by(t.ordinal)
    )
    return np.array([row.text_id for row in rows], dtype=np.int64)


def store_tokenization(writer: StepWriter, dataset_id: int, record: TokenizationRecord) -> None:
    """Write the token ids of a dataset's texts under the model's tokenizer."""
    connection, model_id = writer.connection, writer.model.model_id
    ids = text_ids(connection, dataset_id)
    packed = [np.asarray(t, dtype="<u4").tobytes() for t in record.token_ids]
    t = tables.text_token_ids
    of_dataset = t.c.text_id.in_(
        select(tables.texts.c.text_id).where(tables.texts.c.dataset_id == dataset_id)
    )
    writer.replace(
        t,
        {"model_id": np.full(len(ids), model_id), "text_id": ids, "token_ids": packed},
        (t.c.model_id == model_id) & of_dataset,
    )
    z = tables.tokenizations
    connection.execute(
        z.delete().where((z.c.model_id == model_id) & (z.c.dataset_id == dataset_id))
    )
    values = {k: v for k, v in vars(record).items() if k != "token_ids"}
    connection.execute(insert(z), {"model_id": model_id, "dataset_id": dataset_id, **values})


def store_tokens(writer: StepWriter, vocabulary: Sequence[Token]) -> None:
    """Write the vocabulary of a model, token id = place in the sequence."""
    table, model_id = tables.tokens, writer.model.model_id
    columns = {
        "model_id": np.full(len(vocabulary), model_id),
        "token_id": np.arange(len(vocabulary)),
        "token": [entry.token for entry in vocabulary],
        "piece": [entry.piece for entry in vocabulary],
    }
    writer.replace(table, columns, table.c.model_id == model_id)
