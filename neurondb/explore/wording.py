"""What goes into the search field, written as the `find` language reads it."""

import re
from typing import Final

_PLAIN: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_./+-]*")
_ESCAPES: Final = {"\\": "\\\\", "'": "\\'", "\n": "\\n", "\t": "\\t", "\r": "\\r"}


def quoted(text: str) -> str:
    """Return a text as a literal: `' dog'`."""
    return "'{}'".format("".join(_ESCAPES.get(character, character) for character in text))


def value(text: str) -> str:
    """Return a name as it may stand behind a `=`."""
    return text if _PLAIN.fullmatch(text) else quoted(text)


def within(expression: str, terms: str) -> str:
    """Return an expression narrowed by further terms: `(weakening or dead) layer=3`."""
    return f"({expression}) {terms}" if expression.strip() else terms


def class_terms(class_name: str, model: str | None = None, terms: str = "") -> str:
    """Return the expression of a class's neurons: `class=conditional-weakening layer=3 model=x`."""
    named = "class={}".format(class_name.replace(" ", "-"))
    whose = "" if model is None else f"model={value(model)}"
    return " ".join(part for part in (named, terms, whose) if part)
