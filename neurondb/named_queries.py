"""Named queries: the files of queries/, run on a database with parameters given as text.

`neurondb.sql.query_files` reads the form of the files.
"""

from collections.abc import Callable, Mapping
from typing import Final

from sqlalchemy import Connection, Engine

from neurondb.database import format_url, translate_errors
from neurondb.errors import UsageError
from neurondb.find import empty_answers
from neurondb.find.moves import explain_missing_series
from neurondb.find.names import find_model_name, find_property_name
from neurondb.find.terms import And, Expression, HasEffect, Missing, OneOf
from neurondb.find.token_names import require_token
from neurondb.name_matching import suggest_names
from neurondb.neurons import is_expert_number, parse_neuron
from neurondb.paths import find_folder
from neurondb.reading.models import find_model, locate_place
from neurondb.sql import Rows, run_sql
from neurondb.sql.query_files import (
    Bindings,
    NamedQuery,
    parse_query,
)
from neurondb.sql.running import Value

PLACE_PARAMETERS: Final = ("layer", "neuron")
"""Names of the parameters that say which neuron; they are those of its columns."""


def list_names() -> list[str]:
    """Return the names of all queries."""
    return sorted(path.stem for path in find_folder("queries").glob("*.sql"))


def load(name: str) -> NamedQuery:
    """Return the query of a name, read from its file.

    Raises:
        UsageError: when there is none of that name.
    """
    names = list_names()
    if name not in names:
        hint = suggest_names(name, names) or "; `neurondb query --list` shows them"
        raise UsageError(f"no query {name!r}{hint}")
    return parse_query((find_folder("queries") / f"{name}.sql").read_text(encoding="utf-8"), name)


def load_all() -> list[NamedQuery]:
    """Return every query, by name."""
    return [load(name) for name in list_names()]


def run(engine: Engine, name: str, parameters: Mapping[str, str]) -> Rows:
    """Run a named query with the parameters given as text.

    Raises:
        UnknownNameError: when there is no such query, or no such model, token or property in the
            database.
        UsageError: when a parameter is missing, unknown or cannot be read.
    """
    query = load(name)
    bindings = query.bindings(parameters)
    with translate_errors(format_url(engine.url)), engine.connect() as connection:
        bindings = _look_up(connection, query, bindings)
    return run_sql(engine, query.sql, bindings)


def explain_empty(engine: Engine, name: str, parameters: Mapping[str, str]) -> list[str]:
    """Return a line for each reason why a named query may have no rows; raises as `run` does."""
    query = load(name)
    bindings = query.bindings(parameters)
    with translate_errors(format_url(engine.url)), engine.connect() as connection:
        bindings = _look_up(connection, query, bindings)
        choices = [str(bindings[p.name]) for p in query.parameters if p.kind == "choice"]
        expression = _describe_subject(query, bindings)
        lines = empty_answers.explain_empty(connection, expression, query.needs, choices)
        if empty_answers.COMPARISON in query.needs:
            before, after = (_to_text(bindings[side]) for side in ("before", "after"))
            lines += empty_answers.explain_missing_comparison(connection, before, after)
        if empty_answers.SERIES in query.needs:
            lines += explain_missing_series(connection, bindings["series"])
    return lines


def _describe_subject(query: NamedQuery, bindings: Bindings) -> Expression:
    """Return the models, the place and the properties that parameters name, as an expression."""
    kinds = {p.name: p.kind for p in query.parameters if bindings[p.name] is not None}
    of_kind = {
        kind: tuple(str(bindings[name]) for name, its_kind in kinds.items() if its_kind == kind)
        for kind in ("model", "property")
    }
    models = [OneOf("model", of_kind["model"])] if of_kind["model"] else []
    places = [
        OneOf(name, (int(str(bindings[name])),)) for name in PLACE_PARAMETERS if name in kinds
    ]
    effects = [HasEffect(name, Missing("effect")) for name in of_kind["property"]]
    return And((*models, *places, *effects))


def _to_text(value: Value | None) -> str | None:
    return None if value is None else str(value)


def _look_up(connection: Connection, query: NamedQuery, bindings: Bindings) -> Bindings:
    """Return the bindings with models, tokens and properties by their names in this database."""
    kinds = {p.name: p.kind for p in query.parameters if bindings[p.name] is not None}

    def find_names(kind: str, look_up: Callable[[str], str | int]) -> dict[str, str | int]:
        return {
            name: look_up(str(bindings[name]))
            for name, its_kind in kinds.items()
            if its_kind == kind
        }

    models = find_names("model", lambda name: find_model_name(connection, name))
    model_names = [str(name) for name in models.values()]
    numbers = find_names("neuron", lambda text: _find_number(connection, text, models, bindings))
    tokens = find_names("token", lambda text: require_token(connection, text, model_names))
    properties = find_names("property", lambda name: find_property_name(connection, name))
    return {**bindings, **models, **numbers, **tokens, **properties}


def _find_number(
    connection: Connection, neuron: str, models: Mapping[str, str | int], bindings: Bindings
) -> int:
    """Return the number in its layer of a neuron that is given so, or as EXPERT.NUMBER."""
    if not is_expert_number(neuron):
        return int(neuron)
    layer = bindings.get("layer")
    if layer is None or not models:
        raise UsageError(f"neuron={neuron} is a number in an expert: say model and layer too")
    (name,) = models.values()
    model = find_model(connection, str(name))
    return locate_place(model, parse_neuron(f"{layer}.{neuron}")).neuron
