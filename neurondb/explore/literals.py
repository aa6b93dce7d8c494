"""Statements with their values written out: Datasette's editor would bind each of them as text."""

import re
from collections.abc import Callable, Mapping
from typing import Final

PARTS: Final = re.compile(r"'(?:[^']|'')*'|--[^\n]*|(?<![:\w]):(?P<name>[A-Za-z_]\w*)")
"""Strings and comments, in which nothing is a parameter, and parameters."""


def with_values(statement: str, parameters: Mapping[str, object]) -> str:
    """Return a statement in which every `:name` that has a value is that value."""
    known = parameters.keys()
    return replaced(
        statement, lambda name: literal(parameters[name]) if name in known else f":{name}"
    )


def replaced(statement: str, by: Callable[[str], str]) -> str:
    """Return a statement with something else for each parameter."""
    return PARTS.sub(lambda part: by(part["name"]) if part["name"] else part[0], statement)


def literal(value: object) -> str:
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
