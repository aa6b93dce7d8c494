"""The texts that imported examples are of: found by the dataset's name, or made for the import.

GLUScope's examples name texts by their number in a dataset. Where the database has a dataset of
this name, these are its texts. Where it has not, and no file of texts is given, texts are made
without content, as many as are named; a later import with the file fills them in.
"""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from sqlalchemy import Connection, bindparam, select, update

from neurondb.errors import TextError
from neurondb.parquet_files import read_batches
from neurondb.schema import tables
from neurondb.server_locks import take_turn
from neurondb.spelling import option
from neurondb.text_decoding import decode, format_path, replace_surrogates
from neurondb.writing.datasets import read_text_ids
from neurondb.writing.rows import Columns, insert_columns, insert_one

EMPTY: Final = "imported without texts: "
"""How the fingerprint of a dataset begins whose texts nobody has seen."""
_TEXT: Final = "text"


def read_texts(file: Path) -> list[str]:
    """Return the texts of a Parquet or JSON-lines file, from its column or field `text`.

    Raises:
        TextError: when it cannot be read, or has no such column.
    """
    name = format_path(file)
    try:
        if file.suffix.lower() == ".parquet":
            with pq.ParquetFile(file) as parquet:
                if _TEXT not in parquet.schema_arrow.names:
                    raise TextError(
                        f"{name} has no column 'text'; its columns are "
                        f"{', '.join(map(repr, parquet.schema_arrow.names))}"
                    )
                batches = read_batches(parquet, columns=[_TEXT])
                return [str(text or "") for batch in batches for text in batch[0].to_pylist()]
        return [
            str(json.loads(line)[_TEXT])
            for line in decode(file.read_bytes(), name).split("\n")
            if line.strip()
        ]
    except OSError as error:
        raise TextError(f"{name}: {error.strerror or error}") from error
    except (pa.ArrowException, ValueError, KeyError, TypeError) as error:
        raise TextError(
            f"{name} is no Parquet with a column 'text', and no JSON lines with a field 'text': "
            f"{' '.join(str(error).split())}"
        ) from error


def find_or_make_dataset(
    connection: Connection, name: str, source: str, texts: Sequence[str] | None
) -> int:
    """Return the id of the dataset of this name; it is made, with these texts, where it is not.

    Raises:
        TextError: when the database has it with other texts.
    """
    take_turn(connection, "datasets")
    d = tables.dataset_rows
    texts = None if texts is None else [replace_surrogates(text) for text in texts]
    row = connection.execute(
        select(d.c.dataset_id, d.c.fingerprint, d.c.n_texts).where(d.c.name == name)
    ).first()
    fingerprint = EMPTY + name if texts is None else _compute_fingerprint(texts)
    if row is None:
        values = {"name": name, "source": source, "fingerprint": fingerprint}
        dataset_id = insert_one(connection, d, values | {"n_texts": 0})
        _add_texts(connection, dataset_id, texts or [])
        return dataset_id
    if texts is not None:
        _fill_in(connection, row, name, texts, fingerprint)
    return int(row.dataset_id)


def _compute_fingerprint(texts: Sequence[str]) -> str:
    """Return the SHA-256 over texts in order, as `ingest` computes it."""
    digest = hashlib.sha256()
    for text in texts:
        encoded = text.encode()
        digest.update(len(encoded).to_bytes(8, "little"))
        digest.update(encoded)
    return digest.hexdigest()


def _fill_in(
    connection: Connection, row: Any, name: str, texts: Sequence[str], fingerprint: str
) -> None:
    d, t = tables.dataset_rows, tables.texts
    if not row.fingerprint.startswith(EMPTY):
        if row.n_texts != len(texts):
            raise TextError(
                f"the dataset {name!r} has {row.n_texts:,} texts, and the file {len(texts):,}; "
                f"give the import's own {option('dataset')}"
            )
        return
    ids = read_text_ids(connection, row.dataset_id)
    known = [
        {"id": text_id, "said": text} for text_id, text in zip(ids.tolist(), texts, strict=False)
    ]
    if known:
        one = t.c.text_id == bindparam("id")
        connection.execute(update(t).where(one).values(text=bindparam("said")), known)
    _add_texts(connection, row.dataset_id, texts[len(ids) :], len(ids))
    of_dataset = d.c.dataset_id == row.dataset_id
    connection.execute(update(d).where(of_dataset).values(fingerprint=fingerprint))


def _add_texts(
    connection: Connection, dataset_id: int, texts: Sequence[str], first: int = 0
) -> None:
    n = len(texts)
    columns: Columns = {
        "dataset_id": np.full(n, dataset_id),
        "ordinal": np.arange(first, first + n),
        "text": texts,
    }
    if n:
        insert_columns(connection, tables.texts, columns)
    d = tables.dataset_rows
    of_dataset = d.c.dataset_id == dataset_id
    connection.execute(update(d).where(of_dataset).values(n_texts=first + n))


class TextNumbers:
    """The ids of a dataset's texts by number; of one made for the import, made as they are named.

    Args:
        connection: the transaction of the import.
        dataset_id: the dataset.
    """

    def __init__(self, connection: Connection, dataset_id: int) -> None:
        self._connection = connection
        self._dataset_id = dataset_id
        self._ids = read_text_ids(connection, dataset_id)
        d = tables.dataset_rows.c
        fingerprint = connection.execute(
            select(d.fingerprint).where(d.dataset_id == dataset_id)
        ).scalar_one()
        self._grows = str(fingerprint).startswith(EMPTY)

    def find(self, ordinals: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the id of each text, −1 where the dataset has none of this number."""
        if len(ordinals) == 0:
            return ordinals
        if self._grows and ordinals.max() >= len(self._ids):
            n_more = int(ordinals.max()) + 1 - len(self._ids)
            _add_texts(self._connection, self._dataset_id, [""] * n_more, len(self._ids))
            self._ids = read_text_ids(self._connection, self._dataset_id)
        if not len(self._ids):
            return np.full(len(ordinals), -1)
        inside = (ordinals >= 0) & (ordinals < len(self._ids))
        return np.where(inside, self._ids[np.where(inside, ordinals, 0)], -1)
