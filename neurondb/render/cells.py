"""One value of a result: as a person reads it, as a program does."""

import math
from collections.abc import Iterable
from decimal import Decimal
from typing import Any, Final

from neurondb.render.numbers import MISSING

SIGNIFICANT_DIGITS: Final = 4


def quoted(text: str) -> str:
    r"""Return text as a person can tell it apart: `' dog'`, `'\n'`, `'\x1b[31m'`; else as it is.

    Reversible: what begins with a quote is a Python string literal. Nothing that a terminal
    would obey comes through.
    """
    plain = text.isprintable() and text == text.strip() and text != "" and text != MISSING
    return text if plain and text[0] not in "'\"" else repr(text)


def displayed(value: Any) -> str:
    """Return a value for a person: 4 significant digits, whitespace visible."""
    if value is None:
        return MISSING
    if isinstance(value, (float, Decimal)):
        return _rounded(float(value))
    return quoted(value) if isinstance(value, str) else str(stored(value))


def _rounded(value: float) -> str:
    if math.isfinite(value) and 10**SIGNIFICANT_DIGITS <= abs(value) < 10**9:
        return f"{value:.0f}"
    return f"{value:#.{SIGNIFICANT_DIGITS}g}".rstrip(".")


def stored(value: Any) -> Any:
    """Return a value for a program, in full: blobs as hexadecimal, NULL as None."""
    if isinstance(value, bytes):
        return value.hex()
    return float(value) if isinstance(value, Decimal) else value


def is_numeric(values: Iterable[Any]) -> bool:
    """Tell whether a column holds numbers and, here and there, nothing."""
    known = [value for value in values if value is not None]
    return bool(known) and all(isinstance(value, (int, float, Decimal)) for value in known)
