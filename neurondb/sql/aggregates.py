"""Aggregates that SQLite lacks, under PostgreSQL's names and with its meaning.

`corr`, `covar_pop`, `covar_samp`, `stddev`, `stddev_pop`, `stddev_samp`, `variance`, `var_pop`,
`var_samp`, and `median` and `quantile`, for which PostgreSQL has another form (`translation.py`).
Rows with a NULL are left out; of too few rows, or where a value is infinite and has no mean, the
result is NULL. The values of a group are kept, eight bytes each, until all are there: sums are of
deviations from the mean, exact but for one rounding, so that they depend on no order.
"""

import math
import sqlite3
from abc import ABC, abstractmethod
from array import array
from collections.abc import Callable, Sequence
from functools import partial
from operator import mul
from typing import Any, Final, TypeAlias

from neurondb.sql.functions import SqlValue

_FIRST_ROOM: Final = 1 << 10
_MOST_ROOM: Final = 1 << 16
"""Values for which room is taken at first, and at most at a time."""
_LARGE: Final = 10_000
"""Values from which on numpy finds an order statistic faster, and in less memory."""
_LONG: Final = 1_000
"""Values before whose sums the clock is looked at."""

Finish: TypeAlias = Callable[[int, float], float | None]
"""From the number of values and a sum to the result."""


class AggregateLimits:
    """What the aggregates of a connection may take together; `refusal` says why one gave up.

    Args:
        most_values: How many values they may keep at once.
        is_over: Tells whether the time of the statement is over.
    """

    def __init__(self, most_values: int, is_over: Callable[[], object]) -> None:
        self.refusal: str | None = None
        self._most_values = self._free = most_values
        self._is_over = is_over

    def take(self, n_values: int) -> None:
        """Take room for values.

        Raises:
            ValueError: when there is no more.
        """
        if n_values > self._free:
            millions = self._most_values // 1_000_000
            self.refuse(
                f"corr, stddev, median and their like keep at most {millions} million values at "
                "once; ask for fewer rows, or group them"
            )
        self._free -= n_values

    def give_back(self, n_values: int) -> None:
        """Give room back."""
        self._free += n_values

    def refuse(self, message: str) -> None:
        """Keep the reason why an aggregate gives up: SQLite has a message of its own.

        Raises:
            ValueError: always.
        """
        self.refusal = message
        raise ValueError(message)

    def check_clock(self) -> None:
        """Give up when the time is over.

        Raises:
            ValueError: when it is; the reason is SQLite's own for a statement that is stopped.
        """
        if self._is_over():
            self.refuse("interrupted")


class _Aggregate(ABC):
    """The values of a group or of a window; SQLite calls what has no underscore.

    Windows move forwards only, so that the row that leaves is the one that came first.
    """

    per_row = 1
    _room = 0

    def __init__(self, limits: AggregateLimits, name: str) -> None:
        self._limits = limits
        self._name = name
        self._values = array("d")
        self._start = 0
        self._result: float | None = None
        self._is_known = False

    def __del__(self) -> None:
        if self._room:  # Ctrl-C may come before there are limits
            self._limits.give_back(self._room)

    def step(self, *row: SqlValue) -> None:
        """Take a row in."""
        if None not in row:
            for value in row:
                self._append(value)

    def inverse(self, *row: SqlValue) -> None:
        """Leave out the row that came first."""
        if None not in row:
            self._start += self.per_row
            self._is_known = False

    def _append(self, value: SqlValue) -> None:
        if len(self._values) >= self._room:
            self._make_room()
        try:
            self._values.append(value)  # type: ignore[arg-type]
        except TypeError:
            self._limits.refuse(f"{self._name} takes numbers, not {_shorten(value)}")
        self._is_known = False

    def _make_room(self) -> None:
        if self._start > len(self._values) // 2:  # what has left the window
            del self._values[: self._start]
            self._start = 0
            return
        more = min(max(self._room, _FIRST_ROOM), _MOST_ROOM)
        self._limits.take(more)
        self._room += more

    def value(self) -> float | None:
        """Return the result of the rows that are in the window now."""
        if not self._is_known:
            values = self._values[self._start :] if self._start else self._values
            if len(values) >= _LONG:
                self._limits.check_clock()
            self._result = self._compute(values) if values else None
            self._is_known = True
        return self._result

    def finalize(self) -> float | None:
        """Return the result of all rows."""
        return self.value()

    @abstractmethod
    def _compute(self, values: Sequence[float]) -> float | None:
        """Return the result of these values, one at least."""


def _shorten(value: SqlValue) -> str:
    shown = repr(value)
    return shown if len(shown) <= 40 else f"{shown[:39]}…"


def _center(values: Sequence[float]) -> Sequence[float]:
    """Return deviations from the mean; all are exactly 0 where the values are equal.

    They are taken from the first value before their mean is, so that what the mean loses to
    rounding is small beside the deviations, however far from 0 the values lie.

    Raises:
        ValueError: when a value is infinite.
        OverflowError: when a sum is.
    """
    first = values[0]
    shifted = array("d", (value - first for value in values))
    mean = math.fsum(shifted) / len(shifted)
    if not math.isfinite(mean):
        raise ValueError("an infinite value has no deviation")
    return array("d", (value - mean for value in shifted))


class _Spread(_Aggregate):
    """A variance, or its root."""

    def __init__(self, limits: AggregateLimits, name: str, finish: Finish) -> None:
        super().__init__(limits, name)
        self._finish = finish

    def _compute(self, values: Sequence[float]) -> float | None:
        try:
            deviations = _center(values)
            return self._finish(len(values), math.fsum(map(mul, deviations, deviations)))
        except (ValueError, OverflowError):
            return None


class _Joint(_Spread):
    """A covariance."""

    per_row = 2

    def _compute(self, values: Sequence[float]) -> float | None:
        try:
            ys, xs = _center(values[::2]), _center(values[1::2])
            return self._finish(len(xs), math.fsum(map(mul, ys, xs)))
        except (ValueError, OverflowError):
            return None


class _Correlation(_Aggregate):
    """Pearson's r; NULL where a side has no spread."""

    per_row = 2

    def _compute(self, values: Sequence[float]) -> float | None:
        try:
            ys, xs = _center(values[::2]), _center(values[1::2])
            yx, yy, xx = (math.fsum(map(mul, a, b)) for a, b in ((ys, xs), (ys, ys), (xs, xs)))
        except (ValueError, OverflowError):
            return None
        spread = math.sqrt(yy) * math.sqrt(xx)
        return max(-1.0, min(1.0, yx / spread)) if spread else None


class _Median(_Aggregate):
    """The median; of an even number of values, halfway between the two in the middle."""

    share: float | None = 0.5

    def _compute(self, values: Sequence[float]) -> float | None:
        if self.share is None:
            return None
        place = self.share * (len(values) - 1)
        low, part = int(place), place - int(place)
        lower, upper = _find_order_statistics(values, low, min(low + 1, len(values) - 1))
        between = lower + (upper - lower) * part if lower != upper and part else lower
        return between if math.isfinite(between) else lower * (1 - part) + upper * part


def _find_order_statistics(values: Sequence[float], *places: int) -> Sequence[float]:
    """Return what stands at these places, from 0, of the values in ascending order."""
    if len(values) < _LARGE:
        ordered = sorted(values)
        return [ordered[place] for place in places]
    import numpy as np

    found: list[float] = np.partition(np.asarray(values), places)[list(places)].tolist()
    return found


class _Quantile(_Median):
    """A quantile, linear between two values, as numpy's; the share is the same in every row."""

    share = None

    def step(self, *row: SqlValue) -> None:
        """Take a value and the share in."""
        value, share = row
        if share is not None and share != self.share:
            self._set_share(share)
        if value is not None:
            self._append(value)

    def inverse(self, *row: SqlValue) -> None:
        """Leave out the value that came first."""
        super().inverse(row[0])

    def _set_share(self, share: SqlValue) -> None:
        if not isinstance(share, int | float) or not 0 <= share <= 1:
            self._limits.refuse(f"quantile takes a share from 0 to 1, not {_shorten(share)}")
        elif self.share is not None:
            self._limits.refuse(f"quantile takes one share, not both {self.share} and {share}")
        else:
            self.share = float(share)


def _divide_by_all(n: int, total: float) -> float:
    return total / n


def _divide_by_all_but_one(n: int, total: float) -> float | None:
    return total / (n - 1) if n > 1 else None


def _take_root(variance: Finish) -> Finish:
    def finish(n: int, total: float) -> float | None:
        value = variance(n, total)
        return None if value is None else math.sqrt(value)

    return finish


_FINISHES: Final = {"pop": _divide_by_all, "samp": _divide_by_all_but_one}
_MADE: Final[dict[str, tuple[int, Callable[[AggregateLimits, str], _Aggregate]]]] = {
    "corr": (2, _Correlation),
    "median": (1, _Median),
    "quantile": (2, _Quantile),
    "stddev": (1, partial(_Spread, finish=_take_root(_divide_by_all_but_one))),
    "variance": (1, partial(_Spread, finish=_divide_by_all_but_one)),
    **{f"covar_{of}": (2, partial(_Joint, finish=one)) for of, one in _FINISHES.items()},
    **{f"var_{of}": (1, partial(_Spread, finish=one)) for of, one in _FINISHES.items()},
    **{f"stddev_{of}": (1, partial(_Spread, finish=_take_root(f))) for of, f in _FINISHES.items()},
}
"""Name → the number of its arguments, and what makes one."""
AGGREGATES: Final = tuple(sorted(_MADE))
"""The names of the aggregates."""
GAVE_UP: Final = "user-defined"
"""What SQLite's message has where one of them gave up."""


def add_aggregates(
    connection: sqlite3.Connection,
    most_values: int,
    is_over: Callable[[], object] | None = None,
) -> AggregateLimits:
    """Define the aggregates on a connection.

    Args:
        connection: The connection.
        most_values: How many values they may keep at once.
        is_over: Tells whether the time of a statement is over. Without a clock there are none over
            windows, for which all values of a window may be gone through once a row.
    """
    limits = AggregateLimits(most_values, is_over or (lambda: False))
    for name, (n_arguments, make) in _MADE.items():
        made: Any = partial(make, limits, name)  # typeshed knows aggregates of whole numbers only
        if is_over is None:
            connection.create_aggregate(name, n_arguments, made)
        else:
            connection.create_window_function(name, n_arguments, made)
    return limits
