"""Statements as anybody can run them: without the header of a named query, with values written out.

Datasette's editor would bind every value as text, and another program knows none of our parameters.
"""

import re
from collections.abc import Callable, Mapping
from typing import Final

from neurondb.sql.query_files import NamedQuery

_PARTS: Final = re.compile(r"'(?:[^']|'')*'|--[^\n]*|(?<![:\w]):(?P<name>[A-Za-z_]\w*)")
"""Matches parameters, and the strings and comments in which nothing is a parameter."""


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
