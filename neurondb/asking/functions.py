"""SQLite's functions whose time grows faster than what they are given, in time that does not.

SQLite looks at the clock only between its instructions, and a call is one: `instr` and `replace`
compare every place with all that is looked for, `printf` writes 10⁹ characters to find them too
many, and `randomblob` takes 25 ns a byte. These give the same answers.
"""

import os
import re
import sqlite3
from typing import Final, TypeAlias

Value: TypeAlias = str | bytes | int | float | None

LONGEST_RANDOM: Final = 1_000_000
"""Bytes that `randomblob` gives at most."""
_WIDEST: Final = 100_000
"""Characters that a place of a format may be wide."""
_PLACE: Final = re.compile(r"%[-+ 0#,!]*(\*|\d+)?(?:\.(\*|\d+)?)?l*([A-Za-z%])")


def replace_costly(connection: sqlite3.Connection, longest: int) -> None:
    """Give a connection these functions; `longest` is how many bytes a value may have."""
    # Ours refuse by raising, which is no fault to report; importing Datasette turns reports on.
    sqlite3.enable_callback_tracebacks(False)
    formats = _Formats()
    functions = (
        ("instr", 2, instr),
        ("replace", 3, lambda text, old, new: replace(text, old, new, longest)),
        ("printf", -1, formats),
        ("format", -1, formats),
    )
    for name, n_arguments, function in functions:
        connection.create_function(name, n_arguments, function, deterministic=True)
    connection.create_function("randomblob", 1, random_blob)


def instr(text: Value, part: Value) -> int | None:
    """Return the place, from 1, of the first `part` in a text or blob; 0 where there is none."""
    if text is None or part is None:
        return None
    if isinstance(text, bytes) and isinstance(part, bytes):
        return text.find(part) + 1
    return _as_text(text).find(_as_text(part)) + 1


def replace(text: Value, old: Value, new: Value, longest: int) -> Value:
    """Return a text with every `old` replaced by `new`.

    Raises:
        OverflowError: which SQLite tells as a value that is too big.
    """
    if text is None or old is None:
        return None
    before, part = _as_text(text), _as_text(old)
    if not part:
        return before if isinstance(text, bytes) else text
    if new is None:
        return None
    after = _as_text(new)
    if len(before) + before.count(part) * (len(after) - len(part)) > longest:
        raise OverflowError
    return before.replace(part, after)


def random_blob(n_bytes: Value) -> bytes:
    """Return random bytes, at least one.

    Raises:
        OverflowError: which SQLite tells as a value that is too big.
    """
    try:
        n = int(n_bytes or 0)
    except (ValueError, OverflowError):
        n = 0
    if n > LONGEST_RANDOM:
        raise OverflowError
    return os.urandom(max(n, 1))


class _Formats:
    """SQLite's own `printf`, asked of a database that has nothing else in it."""

    def __init__(self) -> None:
        self._asked = sqlite3.connect(":memory:", check_same_thread=False)

    def __call__(self, *given: Value) -> Value:
        """Return a text with values put into it; refuses places that are millions wide."""
        if not given:
            return None
        if _widest(_as_text(given[0]) if given[0] is not None else "", given[1:]) > _WIDEST:
            raise OverflowError
        places = ", ".join("?" * len(given))
        found: Value = self._asked.execute(f"SELECT printf({places})", given).fetchone()[0]
        return found


def _widest(written: str, values: tuple[Value, ...]) -> int:
    """Return the widest that a place of a format is to be."""
    widest, number = 0, 0
    for width, precision, kind in _PLACE.findall(written):
        for asked in (width, precision):
            if asked == "*":
                widest = max(widest, _whole(values[number] if number < len(values) else None))
                number += 1
            elif asked:
                widest = max(widest, int(asked[:12]))
        number += kind not in "%n"
    return widest


def _whole(value: Value) -> int:
    """Return the size of the whole number that SQLite reads a value as."""
    found = re.match(r"\s*[-+]?([0-9]{1,12})", _as_text(value or 0))
    return int(found[1]) if found else 0


def _as_text(value: Value) -> str:
    """Return a value as SQLite casts it to text."""
    if isinstance(value, str):
        return value
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, float):
        digits, e, exponent = f"{value:.15g}".partition("e")
        plain = digits if "." in digits or "n" in digits else f"{digits}.0"
        return {"inf": "Inf", "-inf": "-Inf"}.get(plain, f"{plain}{e}{exponent}")
    return str(value)
