"""How templates write numbers, tokens and searches: the notation of the terminal pages."""

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from neurondb.explore.assets import format_class_selector
from neurondb.formatting import numbers
from neurondb.formatting.text import ELLIPSIS, format_side, make_visible
from neurondb.reading.layers import ClassShare

FIRST_CHARACTERS: Final = 200
"""How many characters of a token a page shows at most: some tokens have thousands."""
_PLAIN: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_./+-]*")
_ESCAPES: Final = {"\\": "\\\\", "'": "\\'", "\n": "\\n", "\t": "\\t", "\r": "\\r"}


def format_thousands(value: int | None) -> str:
    """Write a whole number with separators between its thousands."""
    return numbers.MISSING if value is None else f"{value:,}"


def format_token(token: str | None) -> str:
    """Write a token with its whitespace and unprintables visible."""
    if token is None:
        return "?"
    visible = make_visible(token[:FIRST_CHARACTERS], spaces=True)
    return visible + ELLIPSIS if len(token) > FIRST_CHARACTERS else visible


def format_percent(value: float | None) -> str:
    """Write a share in per cent, in few digits: `0.03%`, `4.2%`, `37%`, `99.6%`; never a false 100.

    What is less than the last digit is `<0.01%`.
    """
    if value is None:
        return numbers.MISSING
    if 0 < value < 0.0001:
        return "<0.01%"
    if 0.99 < value < 1:
        return f"{min(value, 0.9999):.2%}" if value > 0.999 else f"{value:.1%}"
    digits = 0 if value >= 0.1 or value == 0 else 1 if value >= 0.01 else 2
    return f"{value:.{digits}%}"


def format_time(timestamp: str | None) -> str:
    """Write a time, of ISO 8601 in UTC, to the minute."""
    return numbers.MISSING if not timestamp else f"{timestamp[:16].replace('T', ' ')} UTC"


def list_class_counts(shares: Iterable[ClassShare]) -> list[tuple[str, int]]:
    """Return (class, number of neurons) pairs, as the template macro `stack` takes them."""
    return [(share.class_name, share.n) for share in shares]


FILTERS: Final[Mapping[str, Callable[..., Any]]] = {
    "class_selector": format_class_selector,
    "compact": numbers.format_compact,
    "moment": format_time,
    "percent": format_percent,
    "signed": numbers.format_signed,
    "share": numbers.format_share,
    "side_name": format_side,
    "bytes": numbers.format_size,
    "thousands": format_thousands,
    "token": format_token,
    "visible": make_visible,
}
"""Filter → function; each writes what is missing as a dash, or as `?` for a token."""


def quote_text(text: str) -> str:
    """Return a text as a literal: `' dog'`."""
    return "'{}'".format("".join(_ESCAPES.get(character, character) for character in text))


def quote_name(text: str) -> str:
    """Return a name as it may stand behind a `=`."""
    return text if _PLAIN.fullmatch(text) else quote_text(text)


def narrow_expression(expression: str, terms: str) -> str:
    """Return an expression narrowed by further terms: `(weakening or dead) layer=3`."""
    return f"({expression}) {terms}" if expression.strip() else terms


def format_described_expression(words: str) -> str:
    """Return the expression of the neurons whose descriptions have these words."""
    return f"description~{quote_text(words)}"


def format_class_expression(class_name: str, model: str | None = None, terms: str = "") -> str:
    """Return the expression of a class's neurons: `class=conditional-weakening layer=3 model=x`."""
    class_term = "class={}".format(class_name.replace(" ", "-"))
    model_term = "" if model is None else f"model={quote_name(model)}"
    return " ".join(part for part in (class_term, terms, model_term) if part)
