"""Run one SQL statement that only reads, and hand out its rows as they come.

SQLite asks `ReadOnlyAuthorizer` about every action of a statement before it starts. PostgreSQL
prepares one query, which a second statement cannot hide behind, and runs it in a read-only
transaction that is never committed; what functions may do beyond tables (read files, end sessions)
is up to the role of the URL: `neurondb upgrade --read-role` makes one that may nothing of it. A
statement that works longer than `TIME_LIMIT_S` is stopped.
"""

import re
import sqlite3
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, NamedTuple, TypeAlias

from sqlalchemy import Connection, CursorResult, Engine, text
from sqlalchemy.exc import SQLAlchemyError

from neurondb.database import explain_database_error, get_driver_connection, open_existing
from neurondb.errors import DatabaseError
from neurondb.spelling import binding
from neurondb.sql.limits import MOST_VALUES, STEPS_PER_CHECK, ConnectionLimits, explain_limit
from neurondb.sql.near_names import suggest_near_names
from neurondb.sql.translation import translate_aggregates
from neurondb.sqlite_files import FileConnection

Value: TypeAlias = str | int | float
"""The types of a statement's parameters, besides NULL."""
Parameters: TypeAlias = Mapping[str, Any]

ROWS_PER_FETCH: Final = 1_000
"""Rows that are fetched from the database at a time."""

TIME_LIMIT_S: Final = 300.0
"""Seconds that the database may work at a statement, unless the engine's option says otherwise."""
_INTERRUPTED: Final = "interrupted"
_DENIED: Final = "not authorized"
_OF_AGGREGATE: Final = "user-defined aggregate"
_TIMEOUT: Final = "canceling statement due to statement timeout"
_IS_VACUUM: Final = re.compile(r"cannot VACUUM|VACUUM cannot")
_COMMENTS: Final = r"(?:\s|--.*(?:\n|\Z)|/\*(?:[^*]|\*(?!/))*\*/)*"
_STARTS_QUERY: Final = re.compile(
    rf"{_COMMENTS}(?:\({_COMMENTS})*(?:select|with|values|table)\b", re.IGNORECASE
)
_STARTS_REPORT: Final = re.compile(rf"{_COMMENTS}(?:explain|show)\b", re.IGNORECASE)
"""Statements that return rows, as PostgreSQL has them; COPY, which runs programs, is none."""


class Rows(NamedTuple):
    """A result: `rows` can be read once, and holds the database open until it ends or is dropped.

    Column names are unique: a second `layer` is `layer_2`.
    """

    columns: tuple[str, ...]
    rows: Iterator[tuple[Any, ...]]


@contextmanager
def open_engine(location: str | None = None) -> Iterator[Engine]:
    """Open the database at a path or URL for questions, and close it afterwards.

    Raises:
        DatabaseError: when there is none, or it is older, newer or something else.
    """
    engine = open_existing(location)
    try:
        yield engine
    finally:
        engine.dispose()


def run_sql(engine: Engine, sql: str, parameters: Parameters | None = None) -> Rows:
    """Run one SQL statement that reads; `:name` in it stands for `parameters[name]`.

    What it may cost is bounded: the size of a value, and the time that the database works at it,
    `time_limit_s` of the engine's execution options (0: any time) or else `TIME_LIMIT_S`.

    Raises:
        DatabaseError: when it would change something, is malformed, lacks a parameter, or is
            beyond a limit.
    """
    with ExitStack() as stack:
        stopwatch = _Stopwatch(engine)
        guard = _Guard(ReadOnlyAuthorizer(), stopwatch)
        stack.enter_context(_translate_errors(guard, partial(suggest_near_names, engine, sql)))
        connection = stack.enter_context(engine.connect())
        stack.enter_context(_forbid_writing(connection, guard))
        with stopwatch.working():
            result = _execute(connection, sql, dict(parameters or {}))
        # The statement ran: from here on the rows keep what was opened, and close it, even when
        # they are dropped unread, for which their generator must have been started.
        rows = _read_rows(result, stack.pop_all(), stopwatch)
        next(rows)
        return Rows(make_unique(result.keys()), rows)


def _read_rows(
    result: CursorResult[Any], stack: ExitStack, stopwatch: "_Stopwatch"
) -> Iterator[tuple[Any, ...]]:
    # The statement ends before the connection is another thread's: one that is half read would
    # forbid to define functions on it, and keep its next reader at an old state of the database.
    stack.callback(_close, result)
    with stack:
        yield ()
        batches = result.partitions(ROWS_PER_FETCH)
        while True:
            with stopwatch.working():
                batch = next(batches, None)
            if batch is None:
                return
            yield from map(tuple, batch)


def _close(result: CursorResult[Any]) -> None:
    if not result.connection.invalidated:  # Ctrl-C while rows are fetched closes all of it
        result.close()


class _Stopwatch:
    """Times how long the database works at a statement, without the time that its reader takes.

    `over` is SQLite's progress handler: once it is true, SQLite gives up.
    """

    def __init__(self, engine: Engine) -> None:
        limit_s: float | None = engine.get_execution_options().get("time_limit_s")
        self.limit_s = TIME_LIMIT_S if limit_s is None else limit_s
        self._spent = 0.0
        self._since: float | None = None

    @contextmanager
    def working(self) -> Iterator[None]:
        self._since = time.monotonic()
        try:
            yield
        finally:
            self._spent += time.monotonic() - self._since
            self._since = None

    def over(self) -> bool:
        now = 0.0 if self._since is None else time.monotonic() - self._since
        return 0 < self.limit_s < self._spent + now


_ALLOWED_ACTIONS: Final = frozenset(
    {sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_FUNCTION, sqlite3.SQLITE_RECURSIVE}
)
_HARMLESS_PRAGMAS: Final = frozenset(
    {
        *("table_info", "table_xinfo", "table_list", "foreign_key_list", "function_list"),
        *("index_list", "index_info", "index_xinfo", "database_list", "compile_options"),
        "data_version",  # full-text search asks it
    }
)
"""Pragmas that only read."""

_FORBIDDEN_FUNCTIONS: Final = frozenset({"load_extension", "fts3_tokenizer"})

_DESCRIPTIONS: Final = {
    sqlite3.SQLITE_DELETE: "DELETE from {0}",
    sqlite3.SQLITE_INSERT: "INSERT into {0}",
    sqlite3.SQLITE_UPDATE: "UPDATE {0}",
    sqlite3.SQLITE_ATTACH: "ATTACH {0}",
    sqlite3.SQLITE_DETACH: "DETACH {0}",
    sqlite3.SQLITE_PRAGMA: "set or run PRAGMA {0}",
    sqlite3.SQLITE_TRANSACTION: "{0} a transaction",
    sqlite3.SQLITE_SAVEPOINT: "{0} a savepoint",
    sqlite3.SQLITE_ANALYZE: "ANALYZE {0}",
    sqlite3.SQLITE_REINDEX: "REINDEX {0}",
    sqlite3.SQLITE_FUNCTION: "call {1}",
}
_SCHEMA: Final = "change the schema"
_SCHEMA_TABLES: Final = frozenset(
    {"sqlite_master", "sqlite_schema", "sqlite_temp_master", "sqlite_temp_schema"}
)


class ReadOnlyAuthorizer:
    """SQLite's authorizer that allows reading only; `refused` is what the last statement tried."""

    def __init__(self) -> None:
        self.refused: str | None = None

    def __call__(
        self,
        action: int,
        first: str | None,
        second: str | None,
        _database: str | None,
        _trigger: str | None,
    ) -> int:
        """Return SQLite's verdict on one action of a statement that is being prepared."""
        if self._allows(action, first, second):
            return sqlite3.SQLITE_OK
        description = _SCHEMA if first in _SCHEMA_TABLES else _DESCRIPTIONS.get(action, _SCHEMA)
        self.refused = description.format(first or "a file", second).strip()
        return sqlite3.SQLITE_DENY

    @staticmethod
    def _allows(action: int, first: str | None, second: str | None) -> bool:
        if action == sqlite3.SQLITE_UPDATE:
            # Asked when a table-valued function is declared; `query_only` stops a real update.
            return first == "sqlite_master"
        if action == sqlite3.SQLITE_FUNCTION:
            return (second or "").lower() not in _FORBIDDEN_FUNCTIONS
        if action == sqlite3.SQLITE_PRAGMA:
            return (first or "").lower() in _HARMLESS_PRAGMAS
        return action in _ALLOWED_ACTIONS


@dataclass
class _Guard:
    """What watches over a statement, and knows why it was stopped; limits are SQLite's alone."""

    authorizer: ReadOnlyAuthorizer
    stopwatch: _Stopwatch
    limits: ConnectionLimits | None = None


@contextmanager
def _forbid_writing(connection: Connection, guard: _Guard) -> Iterator[None]:
    stopwatch = guard.stopwatch
    if connection.dialect.name != "sqlite":
        with _forbid_writing_on_server(connection, stopwatch.limit_s):
            yield
        return
    connection.begin()  # before the authorizer, which would refuse it
    raw: sqlite3.Connection = get_driver_connection(connection)
    try:
        _mark(raw, guarded=True)
        # Python handles Ctrl-C only between its own instructions: return to it now and then.
        raw.set_progress_handler(stopwatch.over, STEPS_PER_CHECK)
        guard.limits = ConnectionLimits(raw, MOST_VALUES, stopwatch.over)
        (previous,) = raw.execute("PRAGMA query_only").fetchone()
        raw.execute("PRAGMA query_only = ON")
        raw.set_authorizer(guard.authorizer)
        try:
            yield
        finally:
            if not connection.invalidated:  # Ctrl-C while rows are fetched closes it
                _lift(raw, guard.limits, previous)
    finally:
        # Ctrl-C may fall into what is above, and leave a connection that nobody can use.
        if isinstance(raw, FileConnection) and raw.guarded and not connection.invalidated:
            connection.invalidate()


def _lift(raw: sqlite3.Connection, limits: ConnectionLimits, query_only: int) -> None:
    # The handler first: SQLite counts a cached statement's instructions over all its runs, so that
    # a clock that has run out would stop the pragma below now and then.
    raw.set_progress_handler(None, 0)
    limits.lift()
    raw.set_authorizer(None)
    raw.execute(f"PRAGMA query_only = {query_only}")
    _mark(raw, guarded=False)


def _mark(raw: sqlite3.Connection, *, guarded: bool) -> None:
    """Say whether a guard is on a connection, which then nobody else gets."""
    if isinstance(raw, FileConnection):
        raw.guarded = guarded


@contextmanager
def _forbid_writing_on_server(connection: Connection, limit_s: float) -> Iterator[None]:
    connection.execution_options(postgresql_readonly=True)
    connection.begin()
    limit_ms = min(int(limit_s * 1000), 2**31 - 1)
    connection.exec_driver_sql(f"SET LOCAL statement_timeout = {limit_ms}")
    # What is prepared is one statement; `COMMIT; DROP TABLE …` would leave the transaction.
    raw = get_driver_connection(connection)
    previous, raw.prepare_threshold = raw.prepare_threshold, 0
    try:
        yield
    finally:
        raw.prepare_threshold = previous


def _execute(connection: Connection, sql: str, parameters: dict[str, Any]) -> CursorResult[Any]:
    if connection.dialect.name == "sqlite":
        # SQLite itself knows where a `:name` is a parameter and where it is part of a string.
        result = connection.exec_driver_sql(sql, parameters)
    else:
        # PostgreSQL streams through a cursor, and those exist for queries only.
        streams = {"stream_results": _STARTS_QUERY.match(sql) is not None}
        if not (streams["stream_results"] or _STARTS_REPORT.match(sql)):
            raise DatabaseError("read-only: the statement is no query; ask with SELECT")
        statement = text(_escape_colons(translate_aggregates(sql), parameters))
        result = connection.execute(statement, parameters, execution_options=streams)
    if not result.returns_rows:
        raise DatabaseError("the statement returns no rows; write a SELECT")
    return result


def _escape_colons(sql: str, parameters: Parameters) -> str:
    """Escape every `:word` that is not a parameter, such as one within a string."""
    return re.sub(r"(?<!:):(\w+)", lambda m: m[0] if m[1] in parameters else rf"\:{m[1]}", sql)


@contextmanager
def _translate_errors(guard: _Guard, suggest: Callable[[str], str]) -> Iterator[None]:
    authorizer, stopwatch = guard.authorizer, guard.stopwatch
    try:
        yield
    except (
        *(SQLAlchemyError, sqlite3.Error, sqlite3.Warning, ValueError, OverflowError),
        MemoryError,
    ) as error:
        refusal = guard.limits.explain(error) if guard.limits else None
        message = refusal or _describe_cause(error)
        if _IS_VACUUM.search(message):  # which no authorizer is asked about
            authorizer.refused = "VACUUM"
        if authorizer.refused is not None:
            raise DatabaseError(
                f"read-only: the statement tried to {authorizer.refused}; "
                "nothing was changed, ask with SELECT"
            ) from error
        if (message == _INTERRUPTED and stopwatch.over()) or _TIMEOUT in message:
            raise DatabaseError(
                f"gave up after {stopwatch.limit_s:g} s; "
                "ask for less: one model, one layer, a limit"
            ) from error
        if _is_lost_interrupt(error, refusal):
            raise KeyboardInterrupt from error
        limit_exceeded = explain_limit(getattr(error, "orig", None) or error)
        if limit_exceeded is not None:
            raise DatabaseError(f"the statement costs too much: {limit_exceeded}") from error
        if message == _INTERRUPTED:
            raise KeyboardInterrupt from error
        raise DatabaseError(f"the statement cannot be run: {message}{suggest(message)}") from error


def _is_lost_interrupt(error: Exception, refusal: str | None) -> bool:
    """Tell whether an error is Ctrl-C in what SQLite calls: the authorizer, or an aggregate.

    Whatever these refuse, they say why; SQLite has only that they failed.
    """
    cause = getattr(error, "orig", None) or error
    code = getattr(cause, "sqlite_errorcode", None)
    denied = code == sqlite3.SQLITE_AUTH or str(cause).startswith(_DENIED)  # a function, otherwise
    return denied or (refusal is None and _OF_AGGREGATE in str(cause))


def _describe_cause(error: Exception) -> str:
    cause = getattr(error, "orig", None) or error
    message = explain_database_error(error) if isinstance(error, SQLAlchemyError) else str(cause)
    missing = re.search(r"binding (?:parameter )?:?(\w+)", str(cause))
    if missing and "did not supply" in str(cause):
        return f"parameter {missing[1]!r} has no value; give {binding(missing[1], 'VALUE')}"
    return message.strip().splitlines()[0] if message.strip() else type(cause).__name__


def make_unique(names: Any) -> tuple[str, ...]:
    """Return the column names made unique: the second `layer` becomes `layer_2`."""
    seen: Counter[str] = Counter()
    used = set(names)
    unique: list[str] = []
    for name in names:
        seen[name] += 1
        candidate = name
        while seen[name] > 1 and candidate in used:
            candidate = f"{name}_{seen[name]}"
            seen[name] += candidate in used
        used.add(candidate)
        unique.append(candidate)
    return tuple(unique)
