"""The SQL that pages show beside their panels, and how values are written into it.

Datasette's editor would bind every value as text, so that what it is given has its values written
out.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Final

from neurondb.named_queries import load
from neurondb.sql.query_files import NamedQuery
from neurondb.sql.running import Parameters

LAYER_COSINES: Final = """SELECT n.layer || '.' || n.neuron AS name, c.gate_out, c.in_out, c.gate_in
FROM neurons n
JOIN cosines c ON c.neuron_id = n.neuron_id
WHERE n.model_id = :model_id AND n.layer = :layer"""
"""The statement behind the scatter of a layer, which three pages draw."""

_PARTS: Final = re.compile(r"'(?:[^']|'')*'|--[^\n]*|(?<![:\w]):(?P<name>[A-Za-z_]\w*)")
"""Matches parameters, and the strings and comments in which nothing is a parameter."""


@dataclass(frozen=True)
class Sql:
    """The statement behind a panel, for Datasette's editor.

    Attributes:
        title: what the statement returns, as a title.
        statement: SQL over the relations that users can rely on.
        parameters: the values of its `:name` parameters.
    """

    title: str
    statement: str
    parameters: Parameters = field(default_factory=dict)

    @property
    def shown(self) -> str:
        """The statement with its values written out: it runs as it stands."""
        return fill_parameters(self.statement.strip(), self.parameters)


def make_layer_sql(model_id: int, layer: int) -> Sql:
    """Return the statement of a layer's cosines."""
    bindings = {"model_id": model_id, "layer": layer}
    return Sql(f"the cosines of layer {layer}", LAYER_COSINES, bindings)


def make_named_sql(name: str, **given: str) -> Sql:
    """Return a named query with these parameters, the others at their defaults."""
    query = _load(name)
    return Sql(query.title, strip_header(query), query.bindings(given))


@cache
def _load(name: str) -> NamedQuery:
    return load(name)


def strip_header(query: NamedQuery) -> str:
    """Return a query's SQL without its header."""
    lines = query.sql.splitlines()
    while lines and lines[0].startswith("--"):
        lines.pop(0)
    return "\n".join(lines)


def fill_parameters(statement: str, parameters: Mapping[str, object]) -> str:
    """Return a statement in which every `:name` that has a value is replaced by it."""
    names = parameters.keys()
    return replace_parameters(
        statement, lambda name: format_literal(parameters[name]) if name in names else f":{name}"
    )


def replace_parameters(statement: str, by: Callable[[str], str]) -> str:
    """Return a statement with each parameter replaced by what a function makes of its name."""
    return _PARTS.sub(lambda part: by(part["name"]) if part["name"] else part[0], statement)


def format_literal(value: object) -> str:
    """Return a value as SQL writes it.

    A text with control characters, which a browser's form would change, is put together from its
    code points.
    """
    if value is None:
        return "NULL"
    if isinstance(value, bool):
        return str(int(value))
    if isinstance(value, int | float):
        return repr(value)
    text = str(value)
    if any(ord(character) < 32 for character in text):
        return f"char({', '.join(str(ord(character)) for character in text)})"
    return "'{}'".format(text.replace("'", "''"))
