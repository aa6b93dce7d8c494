"""Annotations by the thousand: new ones are stored, changed ones replaced, batch by batch.

One annotation is known by its neuron, its source and its key. What a source says of a neuron again
under the same key takes the place of what it said before, but on lists, of which a neuron can be on
many; the same words change nothing. Memory is
that of a batch, and a bit for each annotation that was there before.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, TypeAlias

from sqlalchemy import Connection, bindparam, func, select, update

from neurondb.contracts.annotations import LIST_KEY, compute_digest
from neurondb.errors import TextError, UnknownNameError
from neurondb.schema import tables
from neurondb.text_decoding import replace_surrogates
from neurondb.writing.removed_annotations import (
    forget_removals,
    format_utc_moment,
    record_removal,
)
from neurondb.writing.rows import insert_columns

BATCH: Final = 4096
_NEURONS_A_STATEMENT: Final = 500
_NUL: Final = "\N{SYMBOL FOR NULL}"


class Said(NamedTuple):
    """One annotation; `place` is where it stands, for messages."""

    neuron_id: int
    source: str
    key: str
    value: str
    note: str | None
    place: str = ""

    @property
    def digest(self) -> str:
        """What tells it from all others of its neuron."""
        return compute_digest(self.source, self.key, self.value, self.note)


_Identity: TypeAlias = tuple[int, str, str, str | None]


def _identify(said: Any, key: str) -> _Identity:
    """Return what an annotation replaces under a key; a neuron can be on several lists."""
    return said.neuron_id, said.source, key, said.value if key == LIST_KEY else None


@dataclass
class Counts:
    """How many annotations were new, replaced another one, and were there word for word."""

    n_new: int = 0
    n_changed: int = 0
    n_same: int = 0

    @property
    def n_all(self) -> int:
        """All of them."""
        return self.n_new + self.n_changed + self.n_same


class AnnotationStore:
    """Stores annotations within a transaction; `finish` stores the last of them.

    Args:
        connection: the transaction.
        numbered: whether a second annotation of one neuron, source and key is kept under the key
            with a number, as `explanation 2`; else it is refused.
    """

    def __init__(self, connection: Connection, *, numbered: bool = False) -> None:
        self.counts = Counts()
        self._connection = connection
        self._numbered = numbered
        self._waiting: list[Said] = []
        largest = select(func.max(tables.annotations.c.annotation_id))
        self._last_before = int(connection.execute(largest).scalar() or 0)
        self._taken = bytearray(self._last_before // 8 + 1)

    def add(self, said: Said) -> None:
        """Take one annotation; an empty value says nothing.

        Raises:
            TextError: when it was said before in this import, and annotations are not numbered.
        """
        value = _clean(said.value)
        if value:
            note = _clean(said.note or "") or None
            self._waiting.append(said._replace(value=value, note=note))
        if len(self._waiting) >= BATCH:
            self.finish()

    def finish(self) -> Counts:
        """Store what is waiting; return the counts of all so far."""
        waiting, self._waiting = self._waiting, []
        if waiting:
            self._store(waiting)
        return self.counts

    def _store(self, waiting: list[Said]) -> None:
        neurons = sorted({said.neuron_id for said in waiting})
        refuse_unknown(self._connection, neurons)
        stored = self._load({said.source for said in waiting}, neurons)
        new: dict[_Identity, Said] = {}
        changed: list[dict[str, Any]] = []
        now = format_utc_moment()
        for said in waiting:
            key = self._choose_key(said, new, stored)
            identity = _identify(said, key)
            row = stored.get(identity)
            if row is None:
                new[identity] = said._replace(key=key)
                continue
            self._take(row.annotation_id)
            if (row.value, row.note) == (said.value, said.note):
                self.counts.n_same += 1
            else:
                words = {"v": said.value, "n": said.note, "t": now}
                changed.append({"id": row.annotation_id} | words)
                digest = compute_digest(row.source, row.key, row.value, row.note)
                record_removal(self._connection, row.neuron_id, digest, now)
        forget_removals(self._connection, ((one.neuron_id, one.digest) for one in waiting))
        self._write(list(new.values()), changed, now)

    def _choose_key(
        self, said: Said, new: dict[_Identity, Said], stored: dict[_Identity, Any]
    ) -> str:
        """Return the key under which an annotation is stored: its own, or with a number."""

        def is_said(key: str) -> bool:
            identity = _identify(said, key)
            row = stored.get(identity)
            return identity in new or (row is not None and self._is_taken(row.annotation_id))

        if not is_said(said.key):
            return said.key
        if not self._numbered:
            raise TextError(f"{said.place}: the {said.key} of this neuron is said already")
        return find_free(said.key, is_said)

    def _write(self, new: list[Said], changed: list[dict[str, Any]], now: str) -> None:
        a = tables.annotations
        columns = ("neuron_id", "source", "key", "value", "note")
        if new:
            values = {name: [getattr(said, name) for said in new] for name in columns}
            insert_columns(self._connection, a, values | {"made_at": [now] * len(new)})
        if changed:
            one = update(a).where(a.c.annotation_id == bindparam("id"))
            words: dict[str, Any] = {
                "value": bindparam("v"),
                "note": bindparam("n"),
                "made_at": bindparam("t"),
            }
            self._connection.execute(one.values(words), changed)
        self.counts.n_new += len(new)
        self.counts.n_changed += len(changed)

    def _load(self, sources: set[str], neurons: list[int]) -> dict[_Identity, Any]:
        a = tables.annotations.c
        query = select(a.annotation_id, a.neuron_id, a.source, a.key, a.value, a.note)
        stored = {}
        for start in range(0, len(neurons), _NEURONS_A_STATEMENT):
            batch = neurons[start : start + _NEURONS_A_STATEMENT]
            rows = query.where(a.neuron_id.in_(batch)).order_by(a.annotation_id)
            for row in self._connection.execute(rows):
                if row.source in sources:
                    stored[_identify(row, row.key)] = row
        return stored

    def _take(self, annotation_id: int) -> None:
        if annotation_id <= self._last_before:
            self._taken[annotation_id >> 3] |= 1 << (annotation_id & 7)

    def _is_taken(self, annotation_id: int) -> bool:
        if annotation_id > self._last_before:
            return True
        return bool(self._taken[annotation_id >> 3] & 1 << (annotation_id & 7))


def find_free(key: str, is_said: Callable[[str], bool]) -> str:
    """Return a key with the first number that is free: `explanation 2`."""
    n = 2
    while is_said(f"{key} {n}"):
        n += 1
    return f"{key} {n}"


def refuse_unknown(connection: Connection, neurons: list[int]) -> None:
    """Refuse neurons that have no row: those of a model whose weights are not ingested.

    Raises:
        UnknownNameError: says how many, and one of them.
    """
    column = tables.neurons.c.neuron_id
    stored: set[int] = set()
    for start in range(0, len(neurons), _NEURONS_A_STATEMENT):
        batch = neurons[start : start + _NEURONS_A_STATEMENT]
        stored.update(connection.scalars(select(column).where(column.in_(batch))))
    if missing := set(neurons) - stored:
        raise UnknownNameError(
            f"the weights of {len(missing):,} of these {len(neurons):,} neurons are not ingested, "
            f"such as neuron_id {min(missing)}"
        )


def _clean(text: str) -> str:
    return str(replace_surrogates(text)).replace("\0", _NUL).strip()
