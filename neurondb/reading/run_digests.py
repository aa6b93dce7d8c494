"""Names of stored runs that last: sha256 over what was asked for, not a number of this database.

A run keeps its digest when its model is ingested and the run is made again, and in a copy of the
database, where numbers of runs, models, neurons and sets are others. What was measured, when, by
which version and on which machine is not in it. Of runs that were asked for in the same way, the
last one has the digest.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection, Table, select

from neurondb.errors import UnknownNameError
from neurondb.schema import tables

LENGTH: Final = 16
"""Hexadecimal digits of a digest: 64 bits, and longer than any number of a run."""
_UNASKED: Final = frozenset(
    (
        *("seconds", "created_at", "tool_version", "torch_version", "device", "finished"),
        *("request", "clean_scale", "clean_entropy", "clean_rank", "clean_loss"),
        *("clean_log_probability", "clean_probability"),
    )
)
"""Columns that say when and how something was measured, and what came of it; `request` has the
model's number in it."""


class Part(NamedTuple):
    """A table with more of what was asked for, and its columns that say it."""

    table: Table
    columns: tuple[str, ...]


@dataclass(frozen=True)
class RunKind:
    """Runs of one table."""

    runs: Table
    parts: tuple[Part, ...] = ()


KINDS: Final = {
    "run": RunKind(tables.ablation_runs),
    "concept": RunKind(
        tables.concept_runs, (Part(tables.concept_texts, ("kind", "place", "text")),)
    ),
    "entropy": RunKind(
        tables.entropy_runs,
        (
            Part(tables.entropy_neurons, ("place", "random", "neuron_id")),
            Part(tables.entropy_results, ("step", "value")),
        ),
    ),
    "attributes": RunKind(tables.attribute_runs),
    "generation": RunKind(
        tables.generation_runs,
        (Part(tables.generation_neurons, ("neuron_id", "value", "ablated")),),
    ),
    "series": RunKind(tables.series, (Part(tables.series_models, ("step", "model_id")),)),
}
"""Kinds of runs that have pages, by the first part of their addresses."""


def compute_digests(connection: Connection, kind: str) -> dict[int, str]:
    """Return the digest of every run of a kind, by its number."""
    of_kind, names = KINDS[kind], _read_names(connection)
    (number,) = of_kind.runs.primary_key.columns.keys()
    rows = {row[number]: row for row in _read(connection, of_kind.runs)}
    parts = {part.table.name: _read_part(connection, part, number) for part in of_kind.parts}
    asked = {}
    for run_id, row in rows.items():
        said = {name: names.write(row, name) for name in row if name not in _UNASKED | {number}}
        for table, of_run in parts.items():
            said[table] = [
                {name: names.write(one | {"run_of": row.get("model_id")}, name) for name in one}
                for one in of_run.get(run_id, ())
            ]
        asked[run_id] = said
    for run_id, row in rows.items():
        if row.get("baseline_of") is not None:
            asked[run_id]["baseline_of"] = asked.get(row["baseline_of"])
    return {run_id: _hash(kind, said) for run_id, said in asked.items()}


def find_by_digest(digests: Mapping[int, str], kind: str, digest: str) -> int:
    """Return the number of the last run that has a digest.

    Raises:
        UnknownNameError: when there is none.
    """
    found = [run_id for run_id, one in digests.items() if one == digest]
    if not found:
        raise UnknownNameError(
            f"no run of this database was asked for as {kind} {digest} was: it was made in another "
            "one, or of a model or texts that have changed"
        )
    return max(found)


def _hash(kind: str, said: Mapping[str, Any]) -> str:
    encoded = json.dumps([kind, said], sort_keys=True, ensure_ascii=True)
    return hashlib.sha256(encoded.encode()).hexdigest()[:LENGTH]


def _read(connection: Connection, table: Table) -> list[dict[str, Any]]:
    return [dict(row) for row in connection.execute(select(table)).mappings()]


def _read_part(
    connection: Connection, part: Part, number: str
) -> dict[int, Sequence[dict[str, Any]]]:
    """Return what a table has of each run, in the order of its columns."""
    columns = [part.table.c[name] for name in part.columns]
    query = select(part.table.c[number], *columns).distinct().order_by(*columns)
    found: dict[int, list[dict[str, Any]]] = {}
    for row in connection.execute(query).mappings():
        found.setdefault(row[number], []).append({name: row[name] for name in part.columns})
    return dict(found)


@dataclass(frozen=True)
class _Names:
    """What stands for the numbers of models, their first neurons, datasets and sets."""

    models: dict[int, str]
    first_neurons: dict[int, int]
    datasets: dict[int, str]
    sets: dict[int, str]

    def write(self, row: Mapping[str, Any], name: str) -> Any:
        """Return a column of a row as it is in every database."""
        value = row[name]
        if name == "neuron_id":
            return value - self.first_neurons.get(row["run_of"], 0)
        by_number = {
            "model_id": self.models,
            "dataset_id": self.datasets,
            "means_dataset_id": self.datasets,
            "set_id": self.sets,
        }.get(name)
        return value if by_number is None else by_number.get(value)


def _read_names(connection: Connection) -> _Names:
    m, d, s = tables.models.c, tables.dataset_rows.c, tables.neuron_sets.c
    models = connection.execute(select(m.model_id, m.name, m.first_neuron_id)).all()
    datasets = connection.execute(select(d.dataset_id, d.fingerprint))
    sets = connection.execute(select(s.set_id, s.definition))
    return _Names(
        {row.model_id: row.name for row in models},
        {row.model_id: row.first_neuron_id for row in models},
        {row.dataset_id: row.fingerprint for row in datasets},
        {row.set_id: row.definition for row in sets},
    )
