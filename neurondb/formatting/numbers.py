"""Numbers as text: counts, shares, sizes, times, in few digits; a dash for what is missing."""

import math
import struct

from neurondb.formatting.text import make_visible

MISSING = "–"
"""What stands for a number that is not there."""
SINGLE, HALF = struct.Struct("<f"), struct.Struct("<e")
"""float32 and float16, little-endian."""
_MOST_DIGITS = {SINGLE: 9, HALF: 5}
"""Significant digits that tell any two numbers of a precision apart."""


def format_signed(value: float | None, digits: int = 4) -> str:
    """Return a number, a cosine say, with its sign and this many decimals; never −0."""
    return MISSING if value is None else f"{value:+z.{digits}f}"


def format_compact(value: float | None) -> str:
    """Return a number with three significant digits, in the shortest form."""
    if value is None:
        return MISSING
    if value == 0:
        return "0"
    if not math.isfinite(value):
        return f"{value:g}"
    magnitude = math.floor(math.log10(abs(value)))
    if not -3 <= magnitude < 5:
        return f"{value:.2e}"
    return f"{value:.{max(0, 2 - magnitude)}f}"


def shorten_float(value: float, precision: struct.Struct = SINGLE) -> float:
    """Return the number of fewest digits that is the same float32, where a value is a float32.

    Any other value is returned as it is: it was not rounded to 24 bits.

    Args:
        value: a number, of which Python knows a float64.
        precision: the precision it was computed or kept in, SINGLE or HALF.
    """
    try:
        packed = precision.pack(value)
    except OverflowError:
        return value
    if precision.unpack(packed)[0] != value:
        return value
    best, digits = value, _MOST_DIGITS[precision]
    while digits and (shorter := _with_digits(value, digits, packed, precision)) is not None:
        best, digits = shorter, digits - 1
    return best


def _with_digits(
    value: float, digits: int, packed: bytes, precision: struct.Struct
) -> float | None:
    """Return a number of so many digits that is the same, if there is one."""
    # Below a power of two numbers lie closer than above it: there may be room above only.
    candidates = (value, value * (1 + 2**-25)) if abs(math.frexp(value)[0]) == 0.5 else (value,)
    for candidate in candidates:
        shorter = float(f"{candidate:.{digits}g}")
        try:
            if precision.pack(shorter) == packed:
                return shorter
        except OverflowError:  # rounded up beyond the largest
            continue
    return None


def format_whole(n: int | None) -> str:
    """Return a whole number with separators between its thousands."""
    return MISSING if n is None else f"{n:,}"


def format_count(n: int | None, noun: str) -> str:
    """Return a count with its noun: `1 neuron`, `1,204 neurons`; None is one that nobody says."""
    if n is None:
        return f"{noun}s whose number is not known"
    return f"{n:,} {noun}{'' if n == 1 else 's'}"


def format_share(value: float | None) -> str:
    """Return a share, from 0 to 1, in per cent with two decimals."""
    return MISSING if value is None else f"{value:.2%}"


def format_size(n_bytes: int) -> str:
    """Return a number of bytes in the largest decimal unit that leaves it at least 1."""
    amount = float(n_bytes)
    for unit in ("B", "kB", "MB", "GB"):
        if amount < 1000:
            return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1000
    return f"{amount:.1f} TB"


def format_duration(seconds: float) -> str:
    """Return a duration as people say it: `0.8 s`, `42 s`, `3 min 05 s`, `2 h 10 min`."""
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes, remainder = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {remainder:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def format_time(stamp: str) -> str:
    """Return a stored time, ISO 8601, to the minute: `2026-11-28 09:41`."""
    return make_visible(stamp[:16]).replace("T", " ")
