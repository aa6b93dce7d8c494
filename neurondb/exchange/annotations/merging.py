"""A file of annotations → a database that may have others: a merge that loses nothing.

What either side says is kept, both of two that contradict each other: neither is worth more than
the other, and people settle it. What was removed on one side goes on the other too, unless it was
said again later. So the order in which databases are merged does not matter, and merging twice
changes nothing.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, insert, select, update

from neurondb.contracts.annotations import Annotation, compute_digest
from neurondb.errors import TextError, UnknownNameError, UsageError
from neurondb.exchange.annotations.format import Entry, NeuronKey, Removal, is_header, read_entry
from neurondb.formatting.text import make_visible
from neurondb.reading.models import MODEL_COLUMNS, Model, find_neuron_id
from neurondb.schema import tables
from neurondb.text_decoding import format_path
from neurondb.writing.removed_annotations import (
    delete_said,
    find_said,
    forget_removals,
    record_removal,
)

_LINES_AT_ONCE: Final = 500
"""Lines whose neurons one statement looks up."""
_UNKNOWN_TIME: Final = ""
"""Before all times: of what was said before it was recorded when."""


@dataclass
class Merged:
    """What a merge did.

    Attributes:
        n_new: annotations that were not there.
        n_same: annotations that were there, word for word.
        n_removed: annotations that were there, and are removed as the file says.
        n_gone: annotations of the file that were removed here, later than they were said.
        other_models: models that are not here → how many lines of the file are of them.
        n_without_weights: lines of neurons whose weights are not ingested here.
    """

    n_new: int = 0
    n_same: int = 0
    n_removed: int = 0
    n_gone: int = 0
    other_models: Counter[str] = field(default_factory=Counter)
    n_without_weights: int = 0

    def describe(self) -> str:
        """Return the counts in a line."""
        parts = [f"{self.n_new:,} new, {self.n_same:,} as before, {self.n_removed:,} removed"]
        if self.n_gone:
            parts.append(f"{self.n_gone:,} left out, as they were removed here later")
        if self.n_without_weights:
            parts.append(f"{self.n_without_weights:,} of neurons whose weights are not ingested")
        parts += [
            f"{n:,} of {make_visible(name)}, whose weights no model here has"
            for name, n in sorted(self.other_models.items())
        ]
        return "; ".join(parts)


def merge_annotations(connection: Connection, file: Path) -> Merged:
    """Merge a file of annotations into a database, in the transaction that is open.

    Models are told by the fingerprint of their weights, whatever they are called; of several with
    the same weights the one of the file's name is meant, else the first by name.

    Raises:
        TextError: when the file cannot be read, or a line says nothing that can be stored.
        UnknownNameError: when a model of the file has no such neuron, or none of them is here.
    """
    merged = Merged()
    models = _load_models(connection)
    lines = _read_lines(file)
    n_lines = 0
    while batch := list(islice(lines, _LINES_AT_ONCE)):
        n_lines += len(batch)
        _merge_batch(connection, batch, models, merged)
    if n_lines and sum(merged.other_models.values()) == n_lines:
        names = ", ".join(sorted(merged.other_models))
        raise UnknownNameError(
            f"{format_path(file)} is about {names}, and no model here has the same weights; "
            "ingest them first, or give another database"
        )
    return merged


def _read_lines(file: Path) -> Iterator[tuple[str, NeuronKey, Entry]]:
    """Yield the lines of a file: where each stands, the neuron that it is of, what it says."""
    path_text = format_path(file)
    try:
        with file.open(encoding="utf-8-sig") as stream:
            first = stream.readline()
            if not _is_header(first, path_text):
                raise TextError(
                    f"{path_text} is none that `neurondb export annotations` wrote; labels from "
                    "elsewhere go in with `neurondb annotate`"
                )
            for number, line in enumerate(stream, start=2):
                if line.strip():
                    place = f"{path_text}, line {number}"
                    try:
                        yield place, *read_entry(line)
                    except UsageError as error:
                        raise TextError(f"{place}: {error}") from error
    except OSError as error:
        raise TextError(f"{path_text}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise TextError(f"{path_text} is not UTF-8 (byte {error.start})") from error


def _is_header(line: str, path_text: str) -> bool:
    try:
        return is_header(line)
    except UsageError as error:
        raise TextError(f"{path_text}: {error}") from error


def _load_models(connection: Connection) -> dict[str, list[Model]]:
    """Return fingerprint → the models that have it, by name."""
    m = tables.models.c
    models: dict[str, list[Model]] = {}
    for fingerprint, *columns in connection.execute(
        select(m.fingerprint, *MODEL_COLUMNS).order_by(m.name)
    ):
        models.setdefault(fingerprint, []).append(Model(*columns))
    return models


def _merge_batch(
    connection: Connection,
    batch: list[tuple[str, NeuronKey, Entry]],
    models: dict[str, list[Model]],
    merged: Merged,
) -> None:
    found: list[tuple[int, Entry]] = []
    for place, key, entry in batch:
        candidates = models.get(key.fingerprint, [])
        if not candidates:
            merged.other_models[key.model] += 1
            continue
        named = (model for model in candidates if model.name == key.model)
        model = next(named, candidates[0])
        try:
            found.append((find_neuron_id(model, *key.place), entry))
        except UnknownNameError as error:
            raise UnknownNameError(f"{place}: {error}") from error
    stored = _Stored(connection, {neuron_id for neuron_id, _ in found})
    for neuron_id, entry in found:
        if neuron_id not in stored.neurons:
            merged.n_without_weights += 1
        elif isinstance(entry, Removal):
            merged.n_removed += stored.remove(neuron_id, entry)
        else:
            _count(merged, stored.add(neuron_id, entry))


def _count(merged: Merged, outcome: str) -> None:
    setattr(merged, outcome, getattr(merged, outcome) + 1)


class _Stored:
    """What a database has of some neurons, kept in step with what is written."""

    def __init__(self, connection: Connection, neuron_ids: set[int]) -> None:
        a, r = tables.annotations.c, tables.removed_annotations.c
        n, ids = tables.neurons.c.neuron_id, sorted(neuron_ids)
        self._connection = connection
        self.neurons = set(connection.scalars(select(n).where(n.in_(ids))))
        self._made_at: dict[tuple[int, str], str] = {}
        query = select(a.neuron_id, a.source, a.key, a.value, a.note, a.made_at)
        for row in connection.execute(query.where(a.neuron_id.in_(ids))):
            known = (row[0], compute_digest(*row[1:5]))
            self._made_at[known] = max(
                self._made_at.get(known, _UNKNOWN_TIME), row.made_at or _UNKNOWN_TIME
            )
        removals = connection.execute(
            select(r.neuron_id, r.digest, r.removed_at).where(r.neuron_id.in_(ids))
        )
        self._removed_at = {(row[0], row[1]): row[2] for row in removals}

    def add(self, neuron_id: int, said: Annotation) -> str:
        """Store something that is said; return which count of `Merged` it belongs to."""
        known, made_at = (neuron_id, said.digest), said.made_at or _UNKNOWN_TIME
        if known in self._made_at:
            if made_at > self._made_at[known]:
                self._set_time(neuron_id, said)
                self._made_at[known] = made_at
            return "n_same"
        if known in self._removed_at and made_at <= self._removed_at[known]:
            return "n_gone"
        if self._removed_at.pop(known, None) is not None:
            forget_removals(self._connection, [known])
        self._connection.execute(
            insert(tables.annotations),
            {
                "neuron_id": neuron_id,
                **{name: getattr(said, name) for name in ("source", "key", "value")},
                "note": said.note or None,
                "made_at": said.made_at,
            },
        )
        self._made_at[known] = made_at
        return "n_new"

    def _set_time(self, neuron_id: int, said: Annotation) -> None:
        a = tables.annotations
        self._connection.execute(
            update(a).where(_has_words(neuron_id, said)).values(made_at=said.made_at)
        )

    def remove(self, neuron_id: int, removal: Removal) -> bool:
        """Remove what a digest tells, unless it was said later; tell whether it was there."""
        known = (neuron_id, removal.digest)
        made_at = self._made_at.get(known)
        if made_at is not None and made_at > removal.removed_at:
            return False
        if removal.removed_at > self._removed_at.get(known, _UNKNOWN_TIME):
            record_removal(self._connection, neuron_id, removal.digest, removal.removed_at)
            self._removed_at[known] = removal.removed_at
        if made_at is None:
            return False
        found = find_said(self._connection, neuron_id, removal.digest)
        delete_said(self._connection, (annotation_id for annotation_id, _ in found))
        del self._made_at[known]
        return True


def _has_words(neuron_id: int, said: Annotation) -> Any:
    a = tables.annotations.c
    return (
        (a.neuron_id == neuron_id)
        & (a.source == said.source)
        & (a.key == said.key)
        & a.value.is_not_distinct_from(said.value)
        & a.note.is_not_distinct_from(said.note or None)
    )
