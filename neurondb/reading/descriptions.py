"""The one-line descriptions of neurons: read, found by words, and compared with what is stored.

`neurondb.describing` composes them. They are stale where what they were composed of has changed
since: `compute_basis` sums that up, and a run of `neurondb describe` stores it.
"""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, select, text

from neurondb.full_text import write_condition
from neurondb.reading.description_words import Alternatives
from neurondb.reading.models import Model, match_neurons
from neurondb.schema import tables

VERSION: Final = 1
"""Of the rules by which descriptions are composed: others make stored ones stale."""
_STAGES: Final = ("weights", "vocab", "properties", "texts", "activations", "peaks")
_SETTINGS: Final = ("model_id", "threshold", "dataset_id", "first_neuron_id", "n_unused_rows")
_IDS: Final = ("model_id", "dataset_id", "first_neuron_id")

_FOUND: Final = """
    SELECT m.name AS model, n.name,
       d.neuron_id, d.text
    FROM descriptions d
    JOIN named_neurons n ON n.neuron_id = d.neuron_id
    JOIN models m ON m.model_id = n.model_id
    WHERE {contains}
    ORDER BY d.neuron_id
    LIMIT {limit}"""
_COUNT: Final = "SELECT COUNT(*) FROM descriptions d WHERE {contains}"


@dataclass(frozen=True)
class FoundDescription:
    """A neuron whose description has the words that were looked for."""

    model: str
    name: str
    neuron_id: int
    text: str


def read_description(connection: Connection, neuron_id: int) -> str | None:
    """Return the description of a neuron; None where none is stored."""
    d = tables.descriptions.c
    found = connection.execute(select(d.text).where(d.neuron_id == neuron_id)).scalar()
    return None if found is None else str(found)


def read_descriptions(connection: Connection, neuron_ids: Sequence[int]) -> dict[int, str]:
    """Return the descriptions of some neurons by their ids; those without one are left out."""
    d = tables.descriptions.c
    rows = connection.execute(
        select(d.neuron_id, d.text).where(d.neuron_id.in_(dict.fromkeys(neuron_ids)))
    )
    return {neuron_id: str(found) for neuron_id, found in rows}


def has_descriptions(connection: Connection, model: Model) -> bool:
    """Tell whether descriptions of any neuron of a model are stored."""
    neuron_id = tables.descriptions.c.neuron_id
    rows = select(neuron_id).where(match_neurons(neuron_id, model)).limit(1)
    return connection.execute(rows).first() is not None


def has_stale_descriptions(connection: Connection, model: Model) -> bool:
    """Tell whether a model has descriptions, and of something else than what is stored now."""
    stored = read_basis(connection, model)
    return stored is not None and stored != compute_basis(connection, model)


def read_basis(connection: Connection, model: Model) -> str | None:
    """Return what the stored descriptions were composed of; None where there are none."""
    r = tables.description_runs.c
    query = select(r.basis).where(r.model_id == model.model_id)
    found = connection.execute(query).scalar()
    return None if found is None else str(found)


def _keep_id(_name: str, one: int) -> int:
    return one


def compute_basis(
    connection: Connection, model: Model, find_former: Callable[[str, int], int] = _keep_id
) -> str:
    """Return a digest of all that descriptions of a model follow from, as it is stored now.

    It is of the steps of its stages, of the runs of families and heads, and of what is shown of it:
    the threshold of the classes and the dataset. Times are no part of it: what is computed again
    with the same settings is the same, but for `--force`, after which lines are composed anew.

    Args:
        connection: to the database.
        model: the model.
        find_former: takes `model_id`, `dataset_id` or `first_neuron_id` and an id of it, and
            returns the one that stands in the digest: that of the database that the model was
            copied from.
    """
    step, family, head = tables.ingest_steps.c, tables.family_runs.c, tables.head_runs.c
    m = tables.models.c
    steps = connection.execute(
        select(step.stage, step.layer, step.dataset_id, step.settings, step.n_rows)
        .where(step.model_id == model.model_id)
        .order_by(step.stage, step.layer, step.dataset_id)
    )
    kept = [list(row) for row in steps if str(row.stage).split()[0] in (*_STAGES, "classes")]
    kept = _turn_datasets(kept, find_former)
    runs = [
        [list(row) for row in connection.execute(query)]
        for query in (
            select(family.request, family.n_tokens)
            .where(family.model_id == model.model_id)
            .order_by(family.request),
            select(head.request, head.n_pairs)
            .where(head.model_id == model.model_id)
            .order_by(head.request),
        )
    ]
    columns = [m[name] for name in _SETTINGS]
    shown = connection.execute(select(*columns).where(m.model_id == model.model_id)).one()
    former = [
        find_former(name, value) if name in _IDS and value is not None else value
        for name, value in zip(_SETTINGS, shown, strict=True)
    ]
    everything = [VERSION, former, kept, runs]
    return hashlib.sha256(json.dumps(everything).encode()).hexdigest()


def _turn_datasets(
    steps: list[list[Any]], find_former: Callable[[str, int], int]
) -> list[list[Any]]:
    """Return (stage, layer, dataset, …) of steps with former datasets, in the order of these."""
    turned = [
        [stage, layer, None if dataset is None else find_former("dataset_id", dataset), *others]
        for stage, layer, dataset, *others in steps
    ]
    places = {(step[0], step[1]): place for place, step in enumerate(turned)}
    return sorted(turned, key=lambda step: (places[step[0], step[1]], step[2] or 0))


def write_description_condition(
    wanted: Sequence[Alternatives], bind: Callable[[Any], str], *, server: bool
) -> str:
    """Return the SQL condition that a row `d` of descriptions has something of each that is wanted.

    Args:
        wanted: what to look for, at least one.
        bind: takes a value, and returns the parameter that stands for it.
        server: whether it is for PostgreSQL, not for SQLite.
    """
    conditions = (
        " OR ".join(
            write_condition("descriptions", "d", [one], bind, server=server) for one in any_of
        )
        for any_of in wanted
    )
    return " AND ".join(f"({condition})" for condition in conditions)


def search_descriptions(
    connection: Connection, wanted: Sequence[Alternatives], limit: int
) -> tuple[list[FoundDescription], int]:
    """Return the first neurons whose descriptions have all that is wanted, and how many there are.

    What is wanted is as `read_description_search` returns it.
    """
    values: dict[str, Any] = {}

    def bind(value: Any) -> str:
        values[f"v{len(values)}"] = value
        return f":v{len(values) - 1}"

    server = connection.dialect.name != "sqlite"
    contains = write_description_condition(wanted, bind, server=server)
    n = int(connection.execute(text(_COUNT.format(contains=contains)), values).scalar_one())
    statement = _FOUND.format(contains=contains, limit=bind(limit))
    rows = connection.execute(text(statement), values) if n else ()
    return [FoundDescription(*row) for row in rows], n
