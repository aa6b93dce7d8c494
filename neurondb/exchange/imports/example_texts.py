"""The texts that come with examples, each stored once in a dataset that grows with imports.

Formats that bring whole texts beside a neuron's activations name no dataset: their texts make up
one, under a name that the user gives. A text is known by a hash of it, so that the same text, of
another neuron or another import, is stored once.
"""

import hashlib
from array import array
from collections.abc import Sequence
from typing import Final

from sqlalchemy import Connection, select, update

from neurondb.exchange.imports.datasets import EMPTY
from neurondb.reading.models import Model
from neurondb.schema import tables
from neurondb.server_locks import take_turn
from neurondb.text_decoding import replace_surrogates
from neurondb.writing.rows import Columns, insert_columns, insert_one

_HASH_BYTES: Final = 12
_NUL: Final = "\N{SYMBOL FOR NULL}"


class ExampleTexts:
    """The texts of a dataset by what they say; the dataset is made when it is first needed.

    Args:
        connection: the transaction of the import.
        model: the model that is shown on this dataset, where it is on none.
        name: the dataset's.
    """

    def __init__(self, connection: Connection, model: Model, name: str) -> None:
        self._connection, self._model, self._name = connection, model, name
        self._dataset_id: int | None = None
        self._handles: dict[bytes, int] = {}
        self._ids = array("q")
        self._waiting: list[str] = []
        self._n_texts = 0

    @property
    def dataset_id(self) -> int:
        """The id of the dataset."""
        if self._dataset_id is None:
            self._dataset_id = self._find_or_make()
            if self._model.dataset_id is None:
                m = tables.models
                of_model = m.c.model_id == self._model.model_id
                shown = update(m).where(of_model, m.c.dataset_id.is_(None))
                self._connection.execute(shown.values(dataset_id=self._dataset_id))
        return self._dataset_id

    def _find_or_make(self) -> int:
        take_turn(self._connection, "datasets")
        d, t = tables.dataset_rows, tables.texts.c
        found = self._connection.execute(
            select(d.c.dataset_id).where(d.c.name == self._name)
        ).scalar()
        if found is None:
            values = {"name": self._name, "source": self._name, "n_texts": 0}
            return insert_one(self._connection, d, values | {"fingerprint": EMPTY + self._name})
        rows = self._connection.execute(
            select(t.text_id, t.text).where(t.dataset_id == found)
        ).yield_per(1000)
        for row in rows:
            if self._handles.setdefault(_hash(row.text), len(self._ids)) == len(self._ids):
                self._ids.append(row.text_id)
            self._n_texts += 1
        return int(found)

    def find(self, text: str) -> int:
        """Return the id of a text, which is stored where it is new."""
        handle = self.hold(text)
        return self.store()[handle]

    def hold(self, text: str) -> int:
        """Return the handle of a text: its place among the ids that `store` returns."""
        _ = self.dataset_id  # with its texts
        clean = str(replace_surrogates(text)).replace("\0", _NUL)
        new = len(self._ids) + len(self._waiting)
        handle = self._handles.setdefault(_hash(clean), new)
        if handle == new:
            self._waiting.append(clean)
        return handle

    def store(self) -> Sequence[int]:
        """Store the texts that are new; return the ids of all texts by their handles."""
        waiting, self._waiting = self._waiting, []
        if waiting:
            first, self._n_texts = self._n_texts, self._n_texts + len(waiting)
            columns: Columns = {
                "dataset_id": [self.dataset_id] * len(waiting),
                "ordinal": list(range(first, self._n_texts)),
                "text": waiting,
            }
            insert_columns(self._connection, tables.texts, columns)
            t = tables.texts.c
            new = (t.dataset_id == self.dataset_id) & (t.ordinal >= first)
            self._ids.extend(
                self._connection.scalars(select(t.text_id).where(new).order_by(t.ordinal))
            )
        return self._ids

    def finish(self) -> None:
        """Store the last texts, and how many there are."""
        if self._dataset_id is not None:
            self.store()
            d = tables.dataset_rows
            of_dataset = d.c.dataset_id == self._dataset_id
            self._connection.execute(update(d).where(of_dataset).values(n_texts=self._n_texts))


def _hash(text: str) -> bytes:
    return hashlib.blake2b(text.encode(), digest_size=_HASH_BYTES).digest()
