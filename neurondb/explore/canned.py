"""The named queries as Datasette's own: a form each, with our defaults for what is left empty.

Datasette binds every field of a form as text, and an empty one as ''. So every `:name` of a
statement is wrapped: '' counts as not given, and what is given becomes of its type.
"""

from html import escape
from typing import Any, Final

from neurondb.asking.named import NamedQuery, Parameter, load_all
from neurondb.explore.literals import literal, replaced
from neurondb.explore.named_sql import body

_TYPES: Final = {"integer": "INTEGER", "natural": "INTEGER", "number": "REAL"}

_CLASS: Final = "(SELECT rw.name FROM rw_classes rw WHERE {given} IN (rw.name, rw.io_name))"
"""A class goes by either name."""


def canned_queries() -> dict[str, dict[str, Any]]:
    """Return every named query as Datasette's configuration has it."""
    return {query.name: canned(query) for query in load_all()}


def canned(query: NamedQuery) -> dict[str, Any]:
    """Return one named query as Datasette's configuration has it."""
    return {
        "title": query.title,
        "description_html": _described(query),
        "sql": statement(query),
        "params": [parameter.name for parameter in query.parameters],
        "hide_sql": True,
    }


def statement(query: NamedQuery) -> str:
    """Return a query's SQL, without its header, that takes text for every parameter."""
    known = {parameter.name: parameter for parameter in query.parameters}
    return replaced(body(query), lambda name: _wrapped(known[name]))


def _wrapped(parameter: Parameter) -> str:
    given = f"NULLIF(:{parameter.name}, '')"
    if parameter.kind in _TYPES:
        given = f"CAST({given} AS {_TYPES[parameter.kind]})"
    if parameter.default is not None:
        given = f"COALESCE({given}, {literal(parameter.default)})"
    return _CLASS.format(given=given) if parameter.kind == "class" else given


def _described(query: NamedQuery) -> str:
    """Return the description and what the fields are for, as HTML."""
    rows = "".join(f"<li>{_meaning(parameter)}</li>" for parameter in query.parameters)
    text = f"<p>{escape(query.description)}</p>"
    return f"{text}<ul>{rows}</ul>" if rows else text


def _meaning(parameter: Parameter) -> str:
    said = f"<code>{escape(parameter.name)}</code>: {escape(parameter.meaning)}"
    if parameter.choices:
        said += f" ({escape(', '.join(parameter.choices))})"
    if parameter.required:
        return f"{said}; required"
    default = "all" if parameter.default is None else str(parameter.default)
    return f"{said}; left empty: {escape(default)}"
