"""Run one statement that only reads, and hand out its rows as they come."""

import math
import re
import sqlite3
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any, Final, NamedTuple, TypeAlias

from sqlalchemy import Connection, CursorResult, Engine, text
from sqlalchemy.exc import SQLAlchemyError

from neurondb.asking.guard import ReadOnly
from neurondb.asking.limits import BREATH, BoundedBy, meaning
from neurondb.database import driver, explain, open_existing
from neurondb.errors import DatabaseError

Parameters: TypeAlias = Mapping[str, Any]

BATCH: Final = 1_000
"""Rows fetched at a time."""

LIMIT_S: Final = 300.0
"""Seconds that the database may work at a statement, unless the engine's option says otherwise."""
_INTERRUPTED: Final = "interrupted"
_TIMEOUT: Final = "canceling statement due to statement timeout"
_VACUUM: Final = re.compile(r"cannot VACUUM|VACUUM cannot")
_QUERY: Final = re.compile(r"(\s|--.*\n)*(select|with|values)\b", re.IGNORECASE)


class Rows(NamedTuple):
    """A result: `rows` can be read once, and holds the database open until it ends or is dropped.

    Column names are unique: a second `layer` is `layer_2`.
    """

    columns: tuple[str, ...]
    rows: Iterator[tuple[Any, ...]]


@contextmanager
def opened(location: str | None = None) -> Iterator[Engine]:
    """Open the database at a path or URL to ask it, and close it after.

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
    `time_limit_s` of the engine's execution options (0: any time) or else `LIMIT_S`.

    Raises:
        DatabaseError: when it would change something, is malformed, lacks a parameter, or is
            beyond a limit.
    """
    with ExitStack() as opened:
        guard, patience = ReadOnly(), _Patience(engine)
        opened.enter_context(_explained(guard, patience))
        connection = opened.enter_context(engine.connect())
        opened.enter_context(_guarded(connection, guard, patience))
        with patience.working():
            result = _execute(connection, sql, dict(parameters or {}))
        # The statement ran: from here on the rows keep what was opened, and close it, even when
        # they are dropped unread, for which their generator must have been started.
        rows = _drained(result, opened.pop_all(), patience)
        next(rows)
        return Rows(unique(result.keys()), rows)


def _drained(
    result: CursorResult[Any], opened: ExitStack, patience: "_Patience"
) -> Iterator[tuple[Any, ...]]:
    with opened:
        yield ()
        batches = result.partitions(BATCH)
        while True:
            with patience.working():
                batch = next(batches, None)
            if batch is None:
                return
            yield from map(tuple, batch)


class _Patience:
    """Tells SQLite to give up when it has worked too long; whoever takes the rows may be slow."""

    def __init__(self, engine: Engine) -> None:
        given: float | None = engine.get_execution_options().get("time_limit_s")
        self.limit_s = LIMIT_S if given is None else given
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


@contextmanager
def _guarded(connection: Connection, guard: ReadOnly, patience: _Patience) -> Iterator[None]:
    if connection.dialect.name != "sqlite":
        connection.execution_options(postgresql_readonly=True)
        connection.begin()
        limit_ms = min(int(patience.limit_s * 1000), 2**31 - 1)
        connection.exec_driver_sql(f"SET LOCAL statement_timeout = {limit_ms}")
        yield
        return
    connection.begin()  # before the guard, which would not let it
    raw: sqlite3.Connection = driver(connection)
    # Not every build of SQLite has the mathematical functions that PostgreSQL has.
    raw.create_function("sqrt", 1, _sqrt, deterministic=True)
    # Python handles Ctrl-C only between its own instructions: come up for air now and then.
    raw.set_progress_handler(patience.over, BREATH)
    bounds = BoundedBy(raw)
    (before,) = raw.execute("PRAGMA query_only").fetchone()
    raw.execute("PRAGMA query_only = ON")
    raw.set_authorizer(guard)
    try:
        yield
    finally:
        if not connection.invalidated:  # Ctrl-C while rows are fetched closes it
            bounds.lift()
            raw.set_authorizer(None)
            raw.execute(f"PRAGMA query_only = {before}")
            raw.set_progress_handler(None, 0)


def _sqrt(x: float | None) -> float | None:
    return None if x is None or x < 0 else math.sqrt(x)


def _execute(connection: Connection, sql: str, parameters: dict[str, Any]) -> CursorResult[Any]:
    if connection.dialect.name == "sqlite":
        # SQLite itself knows where a `:name` is a parameter and where it is part of a string.
        result = connection.exec_driver_sql(sql, parameters)
    else:
        # PostgreSQL streams through a cursor, and those exist for queries only.
        streams = {"stream_results": _QUERY.match(sql) is not None}
        statement = text(_only_parameters(sql, parameters))
        result = connection.execute(statement, parameters, execution_options=streams)
    if not result.returns_rows:
        raise DatabaseError("the statement returns no rows; write a SELECT")
    return result


def _only_parameters(sql: str, parameters: Parameters) -> str:
    """Escape every `:word` that is not a parameter, such as one within a string."""
    return re.sub(r"(?<!:):(\w+)", lambda m: m[0] if m[1] in parameters else rf"\:{m[1]}", sql)


@contextmanager
def _explained(guard: ReadOnly, patience: _Patience) -> Iterator[None]:
    try:
        yield
    except (
        *(SQLAlchemyError, sqlite3.Error, sqlite3.Warning, ValueError, OverflowError),
        MemoryError,
    ) as error:
        said = _said(error)
        if _VACUUM.search(said):  # which no authorizer is asked about
            guard.refused = "VACUUM"
        if guard.refused is not None:
            raise DatabaseError(
                f"read-only: the statement tried to {guard.refused}; "
                "nothing was changed, ask with SELECT"
            ) from error
        if (said == _INTERRUPTED and patience.over()) or _TIMEOUT in said:
            raise DatabaseError(
                f"gave up after {patience.limit_s:g} s; ask for less: one model, one layer, a limit"
            ) from error
        beyond = meaning(getattr(error, "orig", None) or error)
        if beyond is not None:
            raise DatabaseError(f"the statement costs too much: {beyond}") from error
        if said == _INTERRUPTED:
            raise KeyboardInterrupt from error
        raise DatabaseError(f"the statement cannot be run: {said}") from error


def _said(error: Exception) -> str:
    cause = getattr(error, "orig", None) or error
    said = explain(error) if isinstance(error, SQLAlchemyError) else str(cause)
    missing = re.search(r"binding (?:parameter )?:?(\w+)", str(cause))
    if missing and "did not supply" in str(cause):
        return f"parameter {missing[1]!r} has no value; give it with --param {missing[1]}=VALUE"
    return said.strip().splitlines()[0] if said.strip() else type(cause).__name__


def unique(names: Any) -> tuple[str, ...]:
    """Return the names, a repeated one with its number appended."""
    seen: Counter[str] = Counter()
    taken = set(names)
    given: list[str] = []
    for name in names:
        seen[name] += 1
        fresh = name
        while seen[name] > 1 and fresh in taken:
            fresh = f"{name}_{seen[name]}"
            seen[name] += fresh in taken
        taken.add(fresh)
        given.append(fresh)
    return tuple(given)
