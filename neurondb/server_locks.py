"""Advisory locks of PostgreSQL: who may write what, among several processes and machines.

SQLite has one writer at a time, for the whole of a transaction. PostgreSQL has many, so what one
looks up and then inserts, another may insert meanwhile. Two kinds of lock prevent that. A turn
lasts as long as a transaction, in which something that all models share is looked up and written:
the ranges of neuron ids, datasets, indexes. A model is held by whoever ingests it, for hours: the
server lets go of it when that process ends, however it does. On SQLite both do nothing.
"""

import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Final

from sqlalchemy import Connection, Engine, text

from neurondb.database import format_url, translate_errors
from neurondb.errors import DatabaseError

NAMESPACE: Final = int.from_bytes(b"neur", "big")
"""The first of a lock's two numbers, so that other programs' advisory locks are none of ours."""
RETRY_SECONDS: Final = 0.5

_HOLDER: Final = text("""
    SELECT a.pid, a.client_addr, to_char(a.backend_start, 'YYYY-MM-DD HH24:MI') AS since
    FROM pg_locks l
    JOIN pg_stat_activity a ON a.pid = l.pid
    WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 2
      AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
      AND l.classid::bigint = :namespace AND l.objid::bigint = :key
    LIMIT 1
""")


def take_turn(connection: Connection, what: str) -> None:
    """Wait until no other transaction has its turn at something, and have it until this one ends.

    Args:
        connection: in a transaction.
        what: a name for what is looked up and written.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(
            text("SELECT pg_advisory_xact_lock(:namespace, :key)"),
            {"namespace": NAMESPACE, "key": _make_key(f"turn {what}")},
        )


class ModelLock:
    """One process's hold on a model: while it lasts, no other one ingests the model.

    Args:
        engine: the database.
        name: the model's, whether it is stored or not.
    """

    def __init__(self, engine: Engine, name: str) -> None:
        self._engine = engine
        self._name = name
        self._parameters = {"namespace": NAMESPACE, "key": _make_key(f"model {name}")}
        self._connection: Connection | None = None

    def acquire(self, tell: Callable[[str], None] | None = None) -> None:
        """Hold the model.

        Args:
            tell: is told that another process has it; then this one waits. None does not wait.

        Raises:
            DatabaseError: when another process holds it, and waiting is not wanted.
        """
        if self._engine.dialect.name != "postgresql" or self._connection is not None:
            return
        with translate_errors(format_url(self._engine.url)):
            # Of the connection, not of a transaction: none stays open for hours.
            connection = self._engine.connect().execution_options(isolation_level="AUTOCOMMIT")
            try:
                self._wait(connection, tell)
            except BaseException:
                connection.close()
                raise
            self._connection = connection

    def _wait(self, connection: Connection, tell: Callable[[str], None] | None) -> None:
        attempt = text("SELECT pg_try_advisory_lock(:namespace, :key)")
        told = False
        while not connection.scalar(attempt, self._parameters):
            holder = self._describe_holder(connection)
            if tell is None:
                raise DatabaseError(
                    f"{self._name} is being ingested by another process ({holder}); wait until it "
                    "has finished, and run the command again"
                )
            if not told:
                tell(f"{self._name} is being ingested by another process ({holder}); waiting")
                told = True
            time.sleep(RETRY_SECONDS)

    def _describe_holder(self, connection: Connection) -> str:
        row = connection.execute(_HOLDER, self._parameters).first()
        if row is None:  # it has just let go, or this user may not see it
            return "unknown to the server"
        where = "" if row.client_addr is None else f" from {row.client_addr}"
        return f"server process {row.pid}{where}, since {row.since}"

    def release(self) -> None:
        """Let go of the model; nothing where it is not held."""
        connection, self._connection = self._connection, None
        if connection is None:
            return
        with suppress(Exception):  # without the server there is no lock
            connection.execute(
                text("SELECT pg_advisory_unlock(:namespace, :key)"), self._parameters
            )
        connection.close()

    @contextmanager
    def released(self, tell: Callable[[str], None]) -> Iterator[None]:
        """While open, let others have the model; at the end, wait until they have finished."""
        held = self._connection is not None
        self.release()
        try:
            yield
        finally:
            if held:
                self.acquire(tell)


def is_model_held(connection: Connection, name: str) -> bool:
    """Tell whether any process holds a model, in the database of this very connection."""
    parameters = {"namespace": NAMESPACE, "key": _make_key(f"model {name}")}
    return connection.execute(_HOLDER, parameters).first() is not None


@contextmanager
def hold_model(
    engine: Engine, name: str, tell: Callable[[str], None] | None = None
) -> Iterator[None]:
    """Hold a model while open; `tell`, and errors, are as `ModelLock.acquire` has them."""
    lock = ModelLock(engine, name)
    lock.acquire(tell)
    try:
        yield
    finally:
        lock.release()


def _make_key(name: str) -> int:
    """Return the second of a lock's two numbers: 31 bits of a name's checksum."""
    return zlib.crc32(name.encode()) & 0x7FFFFFFF
