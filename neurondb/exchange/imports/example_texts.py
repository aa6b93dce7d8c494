"""The texts that come with examples, each stored once in a dataset that grows with imports.

Formats that bring whole texts beside a neuron's activations name no dataset: their texts make up
one, under a name that the user gives. A text is known by a hash of it, so that the same text, of
another neuron or another import, is stored once.
"""

import hashlib
from typing import Final

from sqlalchemy import Connection, select, update

from neurondb.exchange.imports.datasets import EMPTY
from neurondb.reading.models import Model
from neurondb.schema import tables
from neurondb.server_locks import take_turn
from neurondb.text_decoding import replace_surrogates
from neurondb.writing.rows import insert_one

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
        self._ids: dict[bytes, int] = {}
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
            self._ids.setdefault(_hash(row.text), row.text_id)
            self._n_texts += 1
        return int(found)

    def find(self, text: str) -> int:
        """Return the id of a text, which is stored where it is new."""
        dataset_id = self.dataset_id  # with its texts
        clean = str(replace_surrogates(text)).replace("\0", _NUL)
        key = _hash(clean)
        if key not in self._ids:
            values = {"dataset_id": dataset_id, "ordinal": self._n_texts, "text": clean}
            self._ids[key] = insert_one(self._connection, tables.texts, values)
            self._n_texts += 1
        return self._ids[key]

    def finish(self) -> None:
        """Store how many texts there are."""
        if self._dataset_id is not None:
            d = tables.dataset_rows
            of_dataset = d.c.dataset_id == self._dataset_id
            self._connection.execute(update(d).where(of_dataset).values(n_texts=self._n_texts))


def _hash(text: str) -> bytes:
    return hashlib.blake2b(text.encode(), digest_size=_HASH_BYTES).digest()
