"""Named queries: the files of queries/ (`query_files` has their form), run on a database."""

from collections.abc import Callable, Mapping
from typing import Final

from sqlalchemy import Connection, Engine

from neurondb.asking import absences
from neurondb.asking.names import model_called, property_called
from neurondb.asking.query_files import (
    Bindings,
    NamedQuery,
    Parameter,
    loose_value,
    read,
    read_file,
    write,
)
from neurondb.asking.spelling import did_you_mean
from neurondb.asking.statements import Rows, run_sql
from neurondb.asking.terms import And, Expression, HasEffect, Missing, OneOf, Value
from neurondb.asking.token_names import require_token
from neurondb.database import called, translated
from neurondb.errors import UnknownNameError
from neurondb.paths import folder

__all__ = [
    "NamedQuery",
    "Parameter",
    "load",
    "load_all",
    "loose_value",
    "query_names",
    "read",
    "read_file",
    "run",
    "why_empty",
    "write",
]

PLACE: Final = ("layer", "neuron")
"""Names of the parameters that say which neuron, as its columns are called."""


def query_names() -> list[str]:
    """Return the names of all queries."""
    return sorted(path.stem for path in folder("queries").glob("*.sql"))


def load(name: str) -> NamedQuery:
    """Return a query.

    Raises:
        UnknownNameError: when there is none of that name.
    """
    known = query_names()
    if name not in known:
        hint = did_you_mean(name, known) or "; `neurondb query --list` shows them"
        raise UnknownNameError(f"no query {name!r}{hint}")
    return read((folder("queries") / f"{name}.sql").read_text(encoding="utf-8"), name)


def load_all() -> list[NamedQuery]:
    """Return every query, by name."""
    return [load(name) for name in query_names()]


def run(engine: Engine, name: str, given: Mapping[str, str]) -> Rows:
    """Run a named query with the parameters given as text.

    Raises:
        UnknownNameError: when there is no such query, or no such model, token or property in the
            database.
        UsageError: when a parameter is missing, unknown or cannot be read.
    """
    query = load(name)
    bindings = query.bindings(given)
    with translated(called(engine.url)), engine.connect() as connection:
        looked_up = _looked_up(connection, query, bindings)
    return run_sql(engine, query.sql, looked_up)


def why_empty(engine: Engine, name: str, given: Mapping[str, str]) -> list[str]:
    """Return what may have kept a named query from having rows; raises as `run` does."""
    query = load(name)
    bindings = query.bindings(given)
    with translated(called(engine.url)), engine.connect() as connection:
        bindings = _looked_up(connection, query, bindings)
        chosen = [str(bindings[p.name]) for p in query.parameters if p.kind == "choice"]
        expression = _asked_about(query, bindings)
        lines = absences.reasons(connection, expression, query.needs, chosen)
        if absences.COMPARISON in query.needs:
            before, after = (_text_or_none(bindings[side]) for side in ("before", "after"))
            lines += absences.uncompared(connection, before, after)
    return lines


def _asked_about(query: NamedQuery, bindings: Bindings) -> Expression:
    """Return the models, the place and the properties that parameters name, as `find` has them."""
    given = {p.name: p.kind for p in query.parameters if bindings[p.name] is not None}
    of_kind = {
        kind: tuple(str(bindings[name]) for name, one in given.items() if one == kind)
        for kind in ("model", "property")
    }
    models = [OneOf("model", of_kind["model"])] if of_kind["model"] else []
    places = [OneOf(name, (int(str(bindings[name])),)) for name in PLACE if name in given]
    effects = [HasEffect(name, Missing("effect")) for name in of_kind["property"]]
    return And((*models, *places, *effects))


def _text_or_none(value: Value | None) -> str | None:
    return None if value is None else str(value)


def _looked_up(connection: Connection, query: NamedQuery, bindings: Bindings) -> Bindings:
    """Return the bindings with all that they name as this database has it."""
    given = {p.name: p.kind for p in query.parameters if bindings[p.name] is not None}

    def look_up_kind(kind: str, look_up: Callable[[str], str | int]) -> dict[str, str | int]:
        return {name: look_up(str(bindings[name])) for name, one in given.items() if one == kind}

    models = look_up_kind("model", lambda name: model_called(connection, name))
    among = [str(name) for name in models.values()]
    tokens = look_up_kind("token", lambda text: require_token(connection, text, among))
    properties = look_up_kind("property", lambda name: property_called(connection, name))
    return {**bindings, **models, **tokens, **properties}
