"""What was said of neurons: of one, the lists that they are on, and who marked how many."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, func, select

from neurondb.contracts.annotations import LIST_KEY, STAR_KEY, Annotation, normalise_list_name
from neurondb.errors import UnknownNameError
from neurondb.name_matching import quote_word, suggest_names
from neurondb.reading.explanations import is_explanation
from neurondb.schema import tables

_A = tables.annotations.c
_ANNOTATION = (_A.source, _A.key, _A.value, _A.note, _A.made_at)


@dataclass(frozen=True)
class ListSummary:
    """A list of neurons.

    Attributes:
        name: how it is called.
        n: how many neurons are on it.
        sources: who put them there.
        models: the models that they are of.
        changed_at: when the latest was put there, in UTC; None where that is not known.
    """

    name: str
    n: int
    sources: tuple[str, ...]
    models: tuple[str, ...]
    changed_at: str | None


@dataclass(frozen=True)
class Stars:
    """How many neurons somebody marked."""

    source: str
    n: int


@dataclass(frozen=True)
class Membership:
    """A neuron's place on a list: who put it there, and why."""

    neuron_id: int
    annotation: Annotation


def read_annotations(connection: Connection, neuron_id: int) -> tuple[Annotation, ...]:
    """Return the annotations of a neuron but for its explanations, sorted by source and key."""
    rows = connection.execute(
        select(*_ANNOTATION)
        .where((_A.neuron_id == neuron_id) & ~is_explanation(tables.annotations))
        .order_by(_A.source, _A.key, _A.annotation_id)
    )
    return tuple(Annotation(*row) for row in rows)


def list_lists(connection: Connection) -> tuple[ListSummary, ...]:
    """Return every list, sorted by name."""
    on_list = _A.key == LIST_KEY
    counts = connection.execute(
        select(_A.value, func.count(_A.neuron_id.distinct()), func.max(_A.made_at))
        .where(on_list, _A.value.is_not(None))
        .group_by(_A.value)
        .order_by(_A.value)
    ).all()
    sources = _collect(connection.execute(select(_A.value, _A.source).where(on_list).distinct()))
    m, n = tables.models.c, tables.neurons.c
    models = _collect(
        connection.execute(
            select(_A.value, m.name)
            .join_from(tables.annotations, tables.neurons, n.neuron_id == _A.neuron_id)
            .join(tables.models, m.model_id == n.model_id)
            .where(on_list)
            .distinct()
        )
    )
    return tuple(
        ListSummary(name, n, sources[name], models[name], changed) for name, n, changed in counts
    )


def _collect(rows: Iterable[Any]) -> dict[str, tuple[str, ...]]:
    """Return the first column → what the second has beside it, sorted."""
    found: dict[str, set[str]] = {}
    for name, value in rows:
        found.setdefault(name, set()).add(value)
    return {name: tuple(sorted(values)) for name, values in found.items()}


def list_stars(connection: Connection) -> tuple[Stars, ...]:
    """Return who marked how many neurons, sorted by name."""
    rows = connection.execute(
        select(_A.source, func.count(_A.neuron_id.distinct()))
        .where(_A.key == STAR_KEY)
        .group_by(_A.source)
        .order_by(_A.source)
    )
    return tuple(Stars(*row) for row in rows)


def list_sources(connection: Connection, key: str) -> tuple[str, ...]:
    """Return who said something about a key."""
    query = select(_A.source).where(_A.key == key).distinct().order_by(_A.source)
    return tuple(connection.scalars(query))


def find_list_name(connection: Connection, name: str) -> str:
    """Return the name of a list, given in any case.

    Raises:
        UnknownNameError: when there is none; the message has similar names.
    """
    query = select(_A.value).where(_A.key == LIST_KEY).distinct()
    names = [str(value) for value in connection.scalars(query)]
    wanted = normalise_list_name(name)
    if wanted in names:
        return wanted
    matches = [one for one in names if one.lower() == wanted.lower()]
    if len(matches) == 1:
        return matches[0]
    if not names:
        raise UnknownNameError(
            f"no list {quote_word(wanted)}: this database has no lists yet; make one on a neuron's "
            "page of `neurondb serve --allow-annotations`, or with `neurondb annotate` and a "
            "column list"
        )
    hint = suggest_names(wanted, names)
    raise UnknownNameError(f"no list {quote_word(wanted)} in this database{hint}")


def read_members(connection: Connection, name: str) -> tuple[Membership, ...]:
    """Return the neurons of a list in the order of their ids, once for each who put them there."""
    rows = connection.execute(
        select(_A.neuron_id, *_ANNOTATION)
        .where(_A.key == LIST_KEY, _A.value == name)
        .order_by(_A.neuron_id, _A.source)
    )
    return tuple(Membership(row[0], Annotation(*row[1:])) for row in rows)
