"""The ids of copied rows: as they were in an empty database, after those that are there in another.

Ids of a space move by one number, beyond the largest that is there, so that the rows of a copy are
those whose ids are larger. Datasets of the same texts, their labels, and token properties of the
same name are there already: their ids become those that they have there.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, Table, func, select

from neurondb.schema import tables
from neurondb.transfer.chunks import Chunk, Values
from neurondb.transfer.reading import Source
from neurondb.transfer.relations import NEURONS, find_space, list_spaces

_DATASET: Final = "dataset_rows.dataset_id"
_TEXT: Final = "texts.text_id"
_LABEL: Final = "labels.label_id"
_PROPERTY: Final = "properties.property_id"
_OF_DATASETS: Final = (tables.dataset_rows, tables.text_samples, tables.texts)
"""Tables whose rows of a dataset that is there are not copied again."""


@dataclass
class IdMap:
    """New ids for old.

    Attributes:
        offsets: space → what is added to its ids.
        lasts: space → the last id that was taken; those of a copy are larger.
        shared: space → old id → the id of the same thing that is there already.
        names: old id of a dataset → its name in the destination, where that is taken by another.
    """

    offsets: Mapping[str, int]
    lasts: Mapping[str, int]
    shared: dict[str, dict[int, int]] = field(default_factory=dict)
    names: dict[int, str] = field(default_factory=dict)

    def renumber(self, table: Table, chunk: Chunk) -> Chunk:
        """Return the rows that are new there, with their new ids."""
        columns = _keep(chunk.columns, self._find_new(table, chunk))
        if table is tables.dataset_rows and self.names:
            columns["name"] = [
                self.names.get(dataset_id, name)
                for dataset_id, name in zip(
                    np.asarray(columns["dataset_id"]).tolist(), columns["name"], strict=True
                )
            ]
        for column in table.columns:
            space = find_space(column)
            if space is not None:
                columns[column.name] = self._move(space, np.asarray(columns[column.name]))
        return Chunk(columns)

    def find_former(self, space: str, moved: int) -> int:
        """Return the id that a row of the destination had in the source."""
        for old, new in self.shared.get(space, {}).items():
            if new == moved:
                return old
        return moved - self.offsets[space]

    def _find_new(self, table: Table, chunk: Chunk) -> NDArray[np.bool_] | None:
        """Return which rows are not there yet; None where all are new."""
        if table in _OF_DATASETS:
            space, key = _DATASET, "dataset_id"
        elif table is tables.labels:
            space, key = _LABEL, "label_id"
        elif table is tables.properties:
            space, key = _PROPERTY, "property_id"
        else:
            return None
        there = self.shared.get(space)
        if not there:
            return None
        return ~np.isin(np.asarray(chunk.columns[key]), list(there))

    def _move(self, space: str, ids: NDArray[Any]) -> NDArray[Any]:
        moved = ids + self.offsets[space]
        there = self.shared.get(space)
        if there:
            old = np.array(sorted(there))
            new = np.array([there[one] for one in old.tolist()])
            places = np.searchsorted(old, ids).clip(max=len(old) - 1)
            moved = np.where(old[places] == ids, new[places], moved)
        return moved


def _keep(columns: Mapping[str, Values], kept: NDArray[np.bool_] | None) -> dict[str, Values]:
    if kept is None:
        return dict(columns)
    places = np.flatnonzero(kept)
    return {
        name: [values[i] for i in places] if isinstance(values, list) else values[places]
        for name, values in columns.items()
    }


def keep_ids() -> IdMap:
    """Return the map for an empty database: every id stays."""
    unmoved = dict.fromkeys(list_spaces(), 0)
    return IdMap(unmoved, unmoved)


def plan_ids(source: Source, connection: Connection) -> IdMap:
    """Return the map for a database in which other models are, read in the writing transaction."""
    lasts = {space: _find_last(connection, space) for space in list_spaces()}
    firsts = _read(source, tables.models, "first_neuron_id")
    before = min((first for (first,) in firsts), default=1) - 1
    found = IdMap(lasts | {NEURONS: lasts[NEURONS] - before}, lasts)
    _share_datasets(found, source, connection)
    p = tables.properties.c
    rows = connection.execute(select(p.name, p.property_id))
    names = {row.name: row.property_id for row in rows}
    found.shared[_PROPERTY] = {
        old: names[name]
        for old, name in _read(source, tables.properties, "property_id", "name")
        if name in names
    }
    return found


def _find_last(connection: Connection, space: str) -> int:
    """Return the last id of a space that is taken; neurons' are as soon as their model is there."""
    if space == NEURONS:
        m = tables.models.c
        end = connection.execute(select(func.max(m.first_neuron_id + m.n_layers * m.d_mlp)))
        return int(end.scalar() or 1) - 1
    table = list_spaces()[space]
    (key,) = table.primary_key
    return int(connection.execute(select(func.max(key))).scalar() or 0)


def _share_datasets(found: IdMap, source: Source, connection: Connection) -> None:
    d, t, label = tables.dataset_rows.c, tables.texts.c, tables.labels.c
    there = connection.execute(select(d.dataset_id, d.name, d.fingerprint)).all()
    by_texts = {row.fingerprint: row.dataset_id for row in there}
    names = {row.name for row in there}
    shared: dict[int, int] = {}
    rows = _read(source, tables.dataset_rows, "dataset_id", "name", "fingerprint")
    for dataset_id, name, fingerprint in rows:
        if fingerprint in by_texts:
            shared[dataset_id] = by_texts[fingerprint]
        elif name in names:
            found.names[dataset_id] = f"{name}-{fingerprint[:8]}"
    text_ids = {
        (row.dataset_id, row.ordinal): row.text_id
        for row in connection.execute(
            select(t.dataset_id, t.ordinal, t.text_id).where(t.dataset_id.in_(shared.values()))
        )
    }
    label_ids = {
        (row.dataset_id, row.label): row.label_id
        for row in connection.execute(select(label.dataset_id, label.label, label.label_id))
    }
    texts = _read(source, tables.texts, "text_id", "dataset_id", "ordinal") if shared else []
    labels = _read(source, tables.labels, "label_id", "dataset_id", "label") if shared else []
    found.shared[_DATASET] = shared
    for space, same, ids in ((_TEXT, texts, text_ids), (_LABEL, labels, label_ids)):
        found.shared[space] = {
            old: ids[place]
            for old, dataset_id, what in same
            if (place := (shared.get(dataset_id, -1), what)) in ids
        }


def _read(source: Source, table: Table, *names: str) -> list[tuple[Any, ...]]:
    """Return some columns of a small table of the source."""
    rows: list[tuple[Any, ...]] = []
    for chunk, _ in source.chunks(table):
        columns = [chunk.columns[name] for name in names]
        rows += zip(*(c if isinstance(c, list) else c.tolist() for c in columns), strict=True)
    return rows
