"""Limits on what a user's statement may cost: the size of a value, a statement, an answer.

SQLite looks at the clock, and at Ctrl-C, between its instructions; a value's size bounds what one
of them takes.
"""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import islice
from typing import Any, Final, TypeVar

from neurondb.sql.aggregates import GAVE_UP, AggregateLimits, add_aggregates
from neurondb.sql.functions import add_square_root, replace_slow_functions
from neurondb.sqlite_files import FileConnection

T = TypeVar("T")

LONGEST_VALUE: Final = 10_000_000
"""Bytes of a text or blob that a statement may read or make."""
MOST_FETCHED: Final = 50_000_000
"""Bytes of texts and blobs that the site takes in for one statement."""
MOST_VALUES: Final = 125_000_000
"""Values that aggregates of ours may keep at once, eight bytes each; in a terminal."""
MOST_VALUES_OF_VISITORS: Final = 5_000_000
"""The same on a connection of the site."""
MOST_MEMORY: Final = 2 * 2**30
"""Bytes that SQLite may have at once: what it sorts and groups, and its caches."""
MOST_CACHED: Final = MOST_MEMORY // 2
"""Bytes of all from which its caches grow no more: those of many connections, each of which may
have `PAGE_CACHE_KIB`, would leave no room for what a statement needs."""
LONGEST_STATEMENT: Final = 100_000
"""Characters of a visitor's statement: what stands in it once runs without a look at the clock."""
MOST_COLUMNS: Final = 200
"""Values that a row of a visitor's may have: all of them are in memory at once."""
STEPS_PER_CHECK: Final = 100
"""Instructions of SQLite between two looks at the clock.

One of them may take milliseconds on a value of the size allowed; so small a number makes statements
a tenth slower.
"""

TOO_BIG: Final = (
    f"it reads or makes a value of more than {LONGEST_VALUE // 1_000_000} MB; "
    "ask for its length or a part of it"
)
TOO_MUCH: Final = "the answer takes too much memory; ask for fewer rows or shorter values"

_LIMITS: Final = {
    sqlite3.SQLITE_LIMIT_LENGTH: LONGEST_VALUE,
    sqlite3.SQLITE_LIMIT_SQL_LENGTH: 1_000_000,
    sqlite3.SQLITE_LIMIT_EXPR_DEPTH: 1_000,
    sqlite3.SQLITE_LIMIT_COMPOUND_SELECT: 500,
    sqlite3.SQLITE_LIMIT_VDBE_OP: 1_000_000,
    sqlite3.SQLITE_LIMIT_LIKE_PATTERN_LENGTH: 200,
    sqlite3.SQLITE_LIMIT_ATTACHED: 0,
}


def limit_connection(connection: sqlite3.Connection) -> None:
    """Limit what a statement on a connection may cost; loads and the site's pages have none."""
    ConnectionLimits(connection, MOST_VALUES_OF_VISITORS)


class ConnectionLimits:
    """Limits on what statements on a connection may cost, until they are lifted.

    With them come the functions and aggregates that SQLite lacks, which know of the limits.

    Args:
        connection: The connection.
        most_values: How many values aggregates may keep at once.
        is_over: Tells whether the time of a statement is over; without it, aggregates have no
            windows.
    """

    def __init__(
        self,
        connection: sqlite3.Connection,
        most_values: int = MOST_VALUES,
        is_over: Callable[[], object] | None = None,
    ) -> None:
        replace_slow_functions(connection, LONGEST_VALUE)
        add_square_root(connection)
        self.aggregates: AggregateLimits = add_aggregates(connection, most_values, is_over)
        self._connection = connection
        self._before = {
            limit: connection.setlimit(limit, value) for limit, value in _LIMITS.items()
        }

    def explain(self, error: BaseException) -> str | None:
        """Return why an aggregate made a statement fail; None where it did not, or was stopped."""
        return self.aggregates.refusal if GAVE_UP in str(error) else None

    def lift(self) -> None:
        """Restore the limits that the connection had before."""
        for limit, value in self._before.items():
            self._connection.setlimit(limit, value)


def limit_memory() -> None:
    """Limit the memory that SQLite takes for all statements of this process, until it ends."""
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.execute(f"PRAGMA hard_heap_limit = {MOST_MEMORY}")
        connection.execute(f"PRAGMA soft_heap_limit = {MOST_CACHED}")


def explain_limit(error: BaseException) -> str | None:
    """Return what to tell a user about the limit behind an error; None for other errors."""
    if isinstance(error, MemoryError):
        return TOO_MUCH
    if isinstance(error, sqlite3.Error) and "too big" in str(error):
        return TOO_BIG
    return None


class LimitedCursor(sqlite3.Cursor):
    """A cursor that refuses rows once together they are larger than `MOST_FETCHED` bytes."""

    def execute(self, *args: Any) -> "LimitedCursor":
        """Run a statement.

        Raises:
            sqlite3.OperationalError: when it is beyond a limit.
        """
        self._translate(lambda: super(LimitedCursor, self).execute(*args))
        return self

    def fetchall(self) -> list[Any]:
        """Return all rows, as long as they fit."""
        return self._translate(lambda: list(_yield_fitting(iter(self.fetchone, None))))

    def fetchmany(self, size: int | None = None) -> list[Any]:
        """Return the next rows, as long as they fit."""
        n = self.arraysize if size is None else size
        return self._translate(lambda: list(_yield_fitting(islice(iter(self.fetchone, None), n))))

    def _translate(self, fetch: Callable[[], T]) -> T:
        """Return what a call returns; an error that means a limit becomes an operational error."""
        found = getattr(self.connection, "limits", None)
        limits = found if isinstance(found, ConnectionLimits) else None
        if limits is not None:
            limits.aggregates.refusal = None  # of a statement before
        try:
            return fetch()
        except (sqlite3.DataError, sqlite3.OperationalError, MemoryError) as error:
            refusal = limits.explain(error) if limits else None
            message = refusal or explain_limit(error)
            if message is None:
                raise
            raise sqlite3.OperationalError(message) from error


def _yield_fitting(rows: Iterator[Any]) -> Iterator[Any]:
    """Yield rows as long as their texts and blobs are at most `MOST_FETCHED` bytes together."""
    n_bytes = 0
    for row in rows:
        n_bytes += sum(len(value) for value in row if isinstance(value, str | bytes))
        if n_bytes > MOST_FETCHED:
            raise sqlite3.OperationalError(TOO_MUCH)
        yield row


class _Clock:
    """The progress handler of a connection, to be called between its calls too."""

    def __init__(self) -> None:
        self.handler: Callable[[], object] | None = None

    def __call__(self) -> bool:
        """Tell whether the handler would stop the statement; without one, nothing does."""
        return self.handler is not None and bool(self.handler())


class LimitedConnection(FileConnection):
    """A connection for statements of strangers: everything that they may cost is limited.

    Attributes:
        successor: what is used in place of it since its file was replaced.
    """

    successor: "LimitedConnection | None" = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._clock = _Clock()  # no part of the connection, which would keep itself open
        self.limits = ConnectionLimits(self, MOST_VALUES_OF_VISITORS, self._clock)
        self.setlimit(sqlite3.SQLITE_LIMIT_SQL_LENGTH, LONGEST_STATEMENT)
        self.setlimit(sqlite3.SQLITE_LIMIT_COLUMN, MOST_COLUMNS)

    def cursor(self, factory: Any = LimitedCursor) -> Any:
        """Return a cursor whose rows fit into memory."""
        return super().cursor(factory)

    def execute(self, *args: Any) -> Any:
        """Run a statement with a cursor of `cursor`; sqlite3 itself would use a plain one."""
        return self.cursor().execute(*args)

    def set_progress_handler(self, progress_handler: Any, n: int) -> None:
        """Set a handler that is called every `n` instructions, at most `STEPS_PER_CHECK`."""
        self._clock.handler = progress_handler
        super().set_progress_handler(progress_handler, min(n, STEPS_PER_CHECK))
