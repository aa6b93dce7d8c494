"""Replacements of SQLite functions that a single call could make run for minutes.

SQLite looks at the clock only between its instructions, and a call is one: `instr` and `replace`
compare every place with all that is looked for, `printf` writes 10⁹ characters to find them too
many, and `randomblob` takes 25 ns a byte. These functions give the same answers, in time that grows
no faster than their arguments.
"""

import math
import os
import re
import sqlite3
from typing import Final, TypeAlias

SqlValue: TypeAlias = str | bytes | int | float | None

LONGEST_RANDOM: Final = 1_000_000
"""Bytes that `randomblob` gives at most."""
_WIDEST: Final = 100_000
"""Characters that a placeholder of a format may be wide."""
_PLACEHOLDER: Final = re.compile(r"%[-+ 0#,!]*(\*|\d+)?(?:\.(\*|\d+)?)?l*([A-Za-z%])")


def replace_slow_functions(connection: sqlite3.Connection, longest: int) -> None:
    """Define these functions on a connection; `longest` is how many bytes a value may have."""
    # Ours refuse by raising, which is no fault to report; importing Datasette turns reports on.
    sqlite3.enable_callback_tracebacks(False)
    formats = _BoundedFormat()
    functions = (
        ("instr", 2, instr),
        ("replace", 3, lambda text, old, new: replace(text, old, new, longest)),
        ("printf", -1, formats),
        ("format", -1, formats),
    )
    for name, n_arguments, function in functions:
        connection.create_function(name, n_arguments, function, deterministic=True)
    connection.create_function("randomblob", 1, make_random_blob)


def add_square_root(connection: sqlite3.Connection) -> None:
    """Define `sqrt`: not every build of SQLite has the mathematical functions of PostgreSQL."""
    connection.create_function("sqrt", 1, _compute_sqrt, deterministic=True)


def _compute_sqrt(x: float | None) -> float | None:
    return None if x is None or x < 0 else math.sqrt(x)


def instr(text: SqlValue, part: SqlValue) -> int | None:
    """Return the place, from 1, of the first `part` in a text or blob; 0 where there is none."""
    if text is None or part is None:
        return None
    if isinstance(text, bytes) and isinstance(part, bytes):
        return text.find(part) + 1
    return _cast_to_text(text).find(_cast_to_text(part)) + 1


def replace(text: SqlValue, old: SqlValue, new: SqlValue, longest: int) -> SqlValue:
    """Return a text with every `old` replaced by `new`.

    Raises:
        OverflowError: which SQLite reports as a value that is too big.
    """
    if text is None or old is None:
        return None
    before, part = _cast_to_text(text), _cast_to_text(old)
    if not part:
        return before if isinstance(text, bytes) else text
    if new is None:
        return None
    after = _cast_to_text(new)
    if len(before) + before.count(part) * (len(after) - len(part)) > longest:
        raise OverflowError
    return before.replace(part, after)


def make_random_blob(n_bytes: SqlValue) -> bytes:
    """Return random bytes, at least one.

    Raises:
        OverflowError: which SQLite reports as a value that is too big.
    """
    try:
        n = int(n_bytes or 0)
    except (ValueError, OverflowError):
        n = 0
    if n > LONGEST_RANDOM:
        raise OverflowError
    return os.urandom(max(n, 1))


class _BoundedFormat:
    """SQLite's own `printf`, run in an empty database; refuses placeholders that are too wide."""

    def __init__(self) -> None:
        self._connection = sqlite3.connect(":memory:", check_same_thread=False)

    def __call__(self, *arguments: SqlValue) -> SqlValue:
        """Return a format with values put into it.

        Raises:
            OverflowError: when a placeholder is more than 100,000 characters wide.
        """
        if not arguments:
            return None
        if (
            _find_widest(
                _cast_to_text(arguments[0]) if arguments[0] is not None else "", arguments[1:]
            )
            > _WIDEST
        ):
            raise OverflowError
        places = ", ".join("?" * len(arguments))
        formatted: SqlValue = self._connection.execute(
            f"SELECT printf({places})", arguments
        ).fetchone()[0]
        return formatted


def _find_widest(template: str, values: tuple[SqlValue, ...]) -> int:
    """Return the width of the widest placeholder of a format."""
    widest, number = 0, 0
    for width, precision, kind in _PLACEHOLDER.findall(template):
        for size in (width, precision):
            if size == "*":
                widest = max(
                    widest, _read_whole_number(values[number] if number < len(values) else None)
                )
                number += 1
            elif size:
                widest = max(widest, int(size[:12]))
        number += kind not in "%n"
    return widest


def _read_whole_number(value: SqlValue) -> int:
    """Return the magnitude of the whole number as which SQLite reads a value."""
    match = re.match(r"\s*[-+]?([0-9]{1,12})", _cast_to_text(value or 0))
    return int(match[1]) if match else 0


def _cast_to_text(value: SqlValue) -> str:
    """Return a value as SQLite casts it to text."""
    if isinstance(value, str):
        return value
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, float):
        digits, e, exponent = f"{value:.15g}".partition("e")
        mantissa = digits if "." in digits or "n" in digits else f"{digits}.0"
        return {"inf": "Inf", "-inf": "-Inf"}.get(mantissa, f"{mantissa}{e}{exponent}")
    return str(value)
