"""One value of a result, as a person reads it in a table and as a program reads it in a file."""

import math
from collections.abc import Iterable
from decimal import Decimal
from typing import Any, Final

from neurondb.formatting.numbers import MISSING

SIGNIFICANT_DIGITS: Final = 4


def quote_text(text: str) -> str:
    r"""Return text as it is, or in quotes where it would mislead: `' dog'`, `'\n'`, `'\x1b[31m'`.

    Reversible: what begins with a quote is a Python string literal. Nothing that a terminal
    would obey comes through.
    """
    plain = text.isprintable() and text == text.strip() and text != "" and text != MISSING
    return text if plain and text[0] not in "'\"" else repr(text)


def format_cell(value: Any) -> str:
    """Return a value for a person: numbers with four significant digits, whitespace visible."""
    if value is None:
        return MISSING
    if isinstance(value, (float, Decimal)):
        return _round_for_person(float(value))
    return quote_text(value) if isinstance(value, str) else str(export_value(value))


def _round_for_person(value: float) -> str:
    if math.isfinite(value) and 10**SIGNIFICANT_DIGITS <= abs(value) < 10**9:
        return f"{value:.0f}"
    return f"{value:#.{SIGNIFICANT_DIGITS}g}".rstrip(".")


def export_value(value: Any) -> Any:
    """Return a value for a program, in full: a blob as hexadecimal, a Decimal as a float."""
    if isinstance(value, bytes):
        return value.hex()
    return float(value) if isinstance(value, Decimal) else value


def is_numeric(values: Iterable[Any]) -> bool:
    """Tell whether the values of a column are numbers; some may be missing, not all."""
    present = [value for value in values if value is not None]
    return bool(present) and all(isinstance(value, (int, float, Decimal)) for value in present)
