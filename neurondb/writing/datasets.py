"""Datasets, their texts and token ids, and the vocabularies that read them."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray
from sqlalchemy import Connection, Engine, bindparam, insert, select, update

from neurondb.contracts.model import Token
from neurondb.contracts.texts import DatasetRecord, TextSample, TokenizationRecord
from neurondb.schema import tables
from neurondb.server_locks import take_turn
from neurondb.writing.ledger import StepWriter
from neurondb.writing.rows import insert_columns, insert_one, transaction


def store_dataset(engine: Engine, record: DatasetRecord) -> int:
    """Give a dataset its row, texts and labels, or find the one with the same texts; return its id.

    A dataset that is there gets the record's labels in place of its own, unless it has none.
    """
    table = tables.dataset_rows
    with transaction(engine) as connection:
        take_turn(connection, "datasets")
        stored_id = connection.execute(
            select(table.c.dataset_id).where(table.c.fingerprint == record.fingerprint)
        ).scalar()
        if stored_id is not None:
            _relabel(connection, int(stored_id), record)
            return int(stored_id)
        namesake = connection.execute(
            select(table.c.name).where(table.c.name == record.name)
        ).first()
        values = {
            "name": record.name if namesake is None else f"{record.name}-{record.fingerprint[:8]}",
            "source": record.source,
            "fingerprint": record.fingerprint,
            "n_texts": len(record.texts),
        }
        dataset_id = insert_one(connection, table, values)
        _store_sample(connection, dataset_id, record.sample)
        n_texts = len(record.texts)
        insert_columns(
            connection,
            tables.texts,
            {
                "dataset_id": np.full(n_texts, dataset_id),
                "ordinal": np.arange(n_texts),
                "text": record.texts,
                "label_id": _store_labels(connection, dataset_id, record),
            },
        )
        return dataset_id


def _store_sample(connection: Connection, dataset_id: int, sample: TextSample | None) -> None:
    """Write how a dataset's texts were drawn, unless all of them were."""
    if sample is None or sample.is_whole:
        return
    values = {
        "dataset_id": dataset_id,
        "tokens": sample.requested,
        "seed": sample.seed,
        "n_source_texts": sample.n_source_texts,
    }
    connection.execute(insert(tables.text_samples), values)


def _store_labels(
    connection: Connection, dataset_id: int, record: DatasetRecord
) -> list[int | None]:
    """Return the label id of each text of a record; labels get their rows here."""
    if not record.labels:
        return [None] * len(record.texts)
    stored_labels = _read_labels(connection, dataset_id)
    new_labels = [label for label in record.labels if label not in stored_labels]
    insert_columns(
        connection,
        tables.labels,
        {"dataset_id": [dataset_id] * len(new_labels), "label": new_labels},
    )
    ids = read_label_ids(connection, dataset_id, record.labels).tolist()
    return [ids[place] if place >= 0 else None for place in record.label_of]


def _relabel(connection: Connection, dataset_id: int, record: DatasetRecord) -> None:
    if not record.labels:
        return
    t = tables.texts
    of_dataset = t.c.dataset_id == dataset_id
    rows = connection.execute(select(t.c.label_id).where(of_dataset).order_by(t.c.ordinal))
    stored_label_ids = [row.label_id for row in rows]
    label_ids = _store_labels(connection, dataset_id, record)
    changes = [
        {"place": ordinal, "label": label}
        for ordinal, (label, stored_label) in enumerate(
            zip(label_ids, stored_label_ids, strict=True)
        )
        if label != stored_label
    ]
    if changes:
        of_text = of_dataset & (t.c.ordinal == bindparam("place"))
        connection.execute(update(t).where(of_text).values(label_id=bindparam("label")), changes)


def _read_labels(connection: Connection, dataset_id: int) -> dict[str, int]:
    c = tables.labels.c
    rows = connection.execute(select(c.label, c.label_id).where(c.dataset_id == dataset_id))
    return {row.label: row.label_id for row in rows}


def read_label_ids(
    connection: Connection, dataset_id: int, labels: Sequence[str]
) -> NDArray[np.int64]:
    """Return the ids of a dataset's labels, in the order of `labels`."""
    stored_labels = _read_labels(connection, dataset_id)
    return np.array([stored_labels[label] for label in labels], dtype=np.int64)


def read_text_ids(connection: Connection, dataset_id: int) -> NDArray[np.int64]:
    """Return the ids of a dataset's texts in order."""
    t = tables.texts.c
    rows = connection.execute(
        select(t.text_id).where(t.dataset_id == dataset_id).order_by(t.ordinal)
    )
    return np.array([row.text_id for row in rows], dtype=np.int64)


def store_tokenization(writer: StepWriter, dataset_id: int, record: TokenizationRecord) -> None:
    """Write the token ids of a dataset's texts under the model's tokenizer."""
    connection, model_id = writer.connection, writer.model.model_id
    ids = read_text_ids(connection, dataset_id)
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


def store_tokens(
    writer: StepWriter, vocabulary: Sequence[Token], token_ids: NDArray[np.int64] | None = None
) -> None:
    """Write the vocabulary of a model; without `token_ids` a token's is its place."""
    table, model_id = tables.tokens, writer.model.model_id
    columns = {
        "model_id": np.full(len(vocabulary), model_id),
        "token_id": np.arange(len(vocabulary)) if token_ids is None else token_ids,
        "token": [entry.token for entry in vocabulary],
        "piece": [entry.piece for entry in vocabulary],
    }
    writer.replace(table, columns, table.c.model_id == model_id)


def store_token_norms(
    writer: StepWriter,
    unembed: Float[np.ndarray, " tokens"],
    embed: Float[np.ndarray, " tokens"],
    token_ids: NDArray[np.int64] | None = None,
) -> None:
    """Write the norms of the rows of U, preprocessed, and of E, as stored, of a model's tokens.

    The tokens are stored before (`store_tokens`, which leaves both NULL), with the same
    `token_ids`; NaN is NULL.
    """
    t = tables.tokens
    ids = np.arange(len(unembed)) if token_ids is None else token_ids
    rows = [
        {"id": token_id, "u": None if np.isnan(u) else u, "e": None if np.isnan(e) else e}
        for token_id, u, e in zip(ids.tolist(), unembed.tolist(), embed.tolist(), strict=True)
    ]
    of_token = (t.c.model_id == writer.model.model_id) & (t.c.token_id == bindparam("id"))
    statement = (
        update(t).where(of_token).values(unembed_norm=bindparam("u"), embed_norm=bindparam("e"))
    )
    writer.connection.execute(statement, rows)
