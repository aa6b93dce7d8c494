"""How templates write numbers and tokens: the notation of the terminal pages."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from neurondb.explore.colours import selector
from neurondb.reading.layer_table import ClassShare
from neurondb.render import numbers, text

FIRST_CHARACTERS: Final = 200
"""What a page shows of a token at most: some vocabularies have tokens of thousands."""


def thousands(value: int | None) -> str:
    """Write a whole number with its thousands apart."""
    return numbers.MISSING if value is None else f"{value:,}"


def token(found: str | None) -> str:
    """Write a token with its whitespace and unprintables visible."""
    if found is None:
        return "?"
    shown = text.visible(found[:FIRST_CHARACTERS], spaces=True)
    return shown + text.ELLIPSIS if len(found) > FIRST_CHARACTERS else shown


def percent(value: float | None) -> str:
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


def moment(found: str | None) -> str:
    """Write a time, of ISO 8601 in UTC, to the minute."""
    return numbers.MISSING if not found else f"{found[:16].replace('T', ' ')} UTC"


def pairs(shares: Iterable[ClassShare]) -> list[tuple[str, int]]:
    """Return counts of classes as the macro `stack` takes them."""
    return [(share.class_name, share.n) for share in shares]


FILTERS: Final[Mapping[str, Callable[..., Any]]] = {
    "class_selector": selector,
    "compact": numbers.compact,
    "moment": moment,
    "percent": percent,
    "signed": numbers.signed,
    "share": numbers.share,
    "side_name": text.side_name,
    "bytes": numbers.size,
    "thousands": thousands,
    "token": token,
    "visible": text.visible,
}
"""Filter → function; each writes what is missing as a dash, or as `?` for a token."""
