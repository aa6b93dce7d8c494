"""What files say a neuron at a time, stored some thousands of neurons at a time.

Entries of a file say columns of rows, some of which are there already. Rows wait here; when they
are stored, one question a table tells which of them are there. These are updated, the others
inserted.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any, Final, NamedTuple, TypeAlias

import numpy as np
from sqlalchemy import Connection, Row, Select, Table, and_, bindparam, select, update

from neurondb.schema import tables
from neurondb.writing.rows import Columns, insert_columns, scale

_NEURONS_A_STATEMENT: Final = 500

Key: TypeAlias = tuple[Any, ...]
"""The values of a primary key, the neuron's id first."""


class WaitingRows:
    """Rows of one table; what several entries say of one row is joined, the last of it counts.

    Args:
        connection: the transaction.
        table: a table whose primary key begins with a neuron.
    """

    def __init__(self, connection: Connection, table: Table) -> None:
        self._connection, self._table = connection, table
        self._rows: dict[Key, dict[str, Any]] = {}

    def put(self, key: Key, values: Mapping[str, Any]) -> None:
        """Set columns of a row; without columns, see that there is one."""
        self._rows.setdefault(key, {}).update(values)

    def store(self) -> None:
        """Store all of them."""
        rows, self._rows = self._rows, {}
        there = self._find(rows)
        # Rows with the same columns are written together, those of a table in its order.
        by_columns = sorted(rows, key=lambda key: (tuple(rows[key]), key))
        for names, keys in groupby(by_columns, key=lambda key: tuple(rows[key])):
            of_columns = list(keys)
            known = [key for key in of_columns if key in there]
            new = [key for key in of_columns if key not in there]
            if names and known:
                self._update(names, known, rows)
            if new:
                self._insert(names, new, rows)

    def _find(self, keys: Iterable[Key]) -> set[Key]:
        columns = list(self._table.primary_key)
        neurons = sorted({int(key[0]) for key in keys})
        return {tuple(row) for row in _ask(self._connection, select(*columns), columns[0], neurons)}

    def _update(
        self, names: Sequence[str], keys: Sequence[Key], rows: Mapping[Key, Mapping[str, Any]]
    ) -> None:
        columns = list(self._table.primary_key)
        is_row = and_(*(column == bindparam(f"key_{i}") for i, column in enumerate(columns)))
        values: dict[str, Any] = {name: bindparam(f"to_{name}") for name in names}
        self._connection.execute(
            update(self._table).where(is_row).values(values),
            [
                {f"key_{i}": value for i, value in enumerate(key)}
                | {f"to_{name}": rows[key][name] for name in names}
                for key in keys
            ],
        )

    def _insert(
        self, names: Sequence[str], keys: Sequence[Key], rows: Mapping[Key, Mapping[str, Any]]
    ) -> None:
        columns: Columns = {
            column.name: [key[i] for key in keys]
            for i, column in enumerate(self._table.primary_key)
        }
        columns |= {name: [rows[key][name] for key in keys] for name in names}
        insert_columns(self._connection, self._table, columns)


def _ask(
    connection: Connection, query: Select[Any], column: Any, neurons: Sequence[int]
) -> Iterator[Row[Any]]:
    for start in range(0, len(neurons), _NEURONS_A_STATEMENT):
        some = neurons[start : start + _NEURONS_A_STATEMENT]
        yield from connection.execute(query.where(column.in_(some)))


class ListedExample(NamedTuple):
    """An example of a list: a text by its handle, a position, a value."""

    text: int
    position: int
    value: float


class WaitingLists:
    """Lists of examples of one table and one kind; a list takes the place of the stored one.

    Args:
        connection: the transaction.
        table: `example_rows` or `control_example_rows`.
        code: the column that says which list, and its value.
    """

    def __init__(self, connection: Connection, table: Table, code: tuple[str, int]) -> None:
        self._connection, self._table, self._code = connection, table, code
        self._lists: dict[int, list[ListedExample]] = {}

    def __len__(self) -> int:
        """Return how many lists wait."""
        return len(self._lists)

    def put(self, neuron_id: int, examples: list[ListedExample]) -> int:
        """Take a neuron's list; return how many examples that waited it replaces."""
        before = self._lists.pop(neuron_id, [])
        self._lists[neuron_id] = examples
        return len(before)

    def store(self, dataset_id: int, text_ids: Sequence[int]) -> int:
        """Store all of them; return how many stored examples they replaced.

        Args:
            dataset_id: the dataset.
            text_ids: ids of its texts by their handles.
        """
        lists, self._lists = self._lists, {}
        neurons = sorted(lists)
        name, value = self._code
        c = self._table.c
        of_list = (c.dataset_id == dataset_id) & (c[name] == value)
        n_replaced = 0
        for start in range(0, len(neurons), _NEURONS_A_STATEMENT):
            some = neurons[start : start + _NEURONS_A_STATEMENT]
            old = self._table.delete().where(c.neuron_id.in_(some) & of_list)
            n_replaced += self._connection.execute(old).rowcount
        examples = [one for neuron_id in neurons for one in lists[neuron_id]]
        lengths = [len(lists[neuron_id]) for neuron_id in neurons]
        values = np.array([one.value for one in examples], np.float64)
        columns: Columns = {
            "neuron_id": np.repeat(np.array(neurons, np.int64), lengths),
            "dataset_id": np.full(len(examples), dataset_id),
            name: np.full(len(examples), value),
            "rank": [rank for n in lengths for rank in range(n)],
            "text_id": [text_ids[one.text] for one in examples],
            "position": [one.position for one in examples],
        }
        if self._table is tables.example_rows:
            columns["scaled_value"] = scale(values, tables.example_rows.c.scaled_value)
        else:
            columns["value"] = values
        if examples:
            insert_columns(self._connection, self._table, columns)
        return n_replaced
