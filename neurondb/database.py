"""Open a database: its URL, its pragmas, its transactions, its refusals."""

import os
import re
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, inspect, make_url, text
from sqlalchemy.exc import (
    ArgumentError,
    DBAPIError,
    DisconnectionError,
    OperationalError,
    SQLAlchemyError,
)
from sqlalchemy.exc import DatabaseError as SQLDatabaseError

from neurondb import schema
from neurondb.errors import DatabaseError
from neurondb.paths import find_default_database
from neurondb.spelling import by_option
from neurondb.sqlite_files import (
    FileConnection,
    check_readable,
    open_file,
    open_finished,
    open_to_read,
)

BUSY_TIMEOUT_S = float(os.environ.get("NEURONDB_BUSY_TIMEOUT", "30"))
"""How long a writer waits for another to finish."""
PAGE_CACHE_KIB = 256 * 1024
ORDERED_JOINS = 12
"""How many tables PostgreSQL's planner orders by cost; from its `geqo_threshold` on it guesses."""
UNBOUNDED = -1
"""How many connections may be open beyond those kept: each thread's half-read result has one, and
waiting for another thread's would last as long as nobody reads that one on."""
NUL_SHOWN = "\N{SYMBOL FOR NULL}"
UNFINISHED = "unfinished copy"
"""What a database has for its schema while all of another is copied into it."""
MEMORY = ":memory:"
"""SQLite's name of a database that is no file."""
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+._-]*://")
_SQLITE = re.compile(r"sqlite(\+\w+)?://(/(?P<path>.*))?", re.DOTALL)


def parse_url(location: str | None) -> URL:
    """Return the SQLAlchemy URL of a path, of a URL, or of the default database when None.

    Raises:
        DatabaseError: when it is a URL of something else than SQLite or PostgreSQL.
    """
    location = location or find_default_database()
    if not _SCHEME.match(location):
        return _make_file_url(location)
    if match := _SQLITE.fullmatch(location):
        # All of it is the path: `?` and `#` are characters of names, not parts of an address.
        return _make_file_url(match["path"] or MEMORY)
    if location.startswith("sqlite"):
        raise DatabaseError(f"cannot read the database URL {location!r}: write sqlite:///PATH")
    if location.startswith("postgres://"):
        raise DatabaseError("write postgresql:// instead of postgres://")
    try:
        url = make_url(location)
    except ArgumentError as error:
        raise DatabaseError(f"cannot read the database URL {location!r}: {error}") from error
    if url.get_backend_name() not in ("sqlite", "postgresql"):
        backend = url.get_backend_name()
        raise DatabaseError(f"no support for {backend!r} databases; use SQLite or PostgreSQL")
    return url


def pin_location(location: str | None) -> str:
    """Return a path or URL that goes on to mean the same when the working directory changes.

    Raises:
        DatabaseError: as `parse_url` does.
    """
    location = location or find_default_database()
    path = get_sqlite_path(parse_url(location))
    return location if path is None else str(path.absolute())


def _make_file_url(path: str) -> URL:
    file = path if path == MEMORY else str(Path(path).expanduser())
    if file == MEMORY != path:
        file = str(Path.cwd() / file)  # a file of that name
    return URL.create("sqlite", database=file)


def connect(url: URL, *, writing: bool = False, immutable: bool = False) -> Engine:
    """Return an engine, which cannot change anything unless `writing`; SQLite is in WAL mode.

    `immutable` says that nobody writes to the SQLite file: no locks are taken.
    """
    if url.get_backend_name() != "sqlite":
        return _connect_server(url)
    path = get_sqlite_path(url)
    if path is None:
        engine = create_engine(url)
    else:
        opener = _make_opener(path, writing=writing, immutable=immutable)
        engine = create_engine(url, creator=opener, max_overflow=UNBOUNDED)
        event.listen(engine, "checkout", _make_change_check(path))
    event.listen(engine, "connect", _set_pragmas)
    if writing:
        event.listen(engine, "connect", _prepare_writing)
        event.listen(engine, "begin", _begin_immediate)
    else:
        event.listen(engine, "connect", _forbid_writing)
        event.listen(engine, "begin", _begin_deferred)
    return engine


def _make_opener(path: Path, *, writing: bool, immutable: bool) -> Callable[[], sqlite3.Connection]:
    if writing:
        return lambda: open_file(path, "mode=rwc", timeout=BUSY_TIMEOUT_S)
    if immutable:
        return lambda: open_finished(path, timeout=BUSY_TIMEOUT_S)
    return lambda: open_to_read(path, timeout=BUSY_TIMEOUT_S)


def _make_change_check(path: Path) -> Callable[[Any, Any, Any], None]:
    """Return a listener that opens a file again where it has to be.

    So it is with a connection on which Ctrl-C has left the limits of a statement.
    """

    def check(connection: Any, _record: object, _proxy: object) -> None:
        if not isinstance(connection, FileConnection):
            return
        if connection.guarded:
            raise DisconnectionError("the limits of a statement were not lifted")
        if change := connection.explain_change(path):
            raise DisconnectionError(change)

    return check


def _connect_server(url: URL) -> Engine:
    try:
        engine = create_engine(url, max_overflow=UNBOUNDED)
    except ModuleNotFoundError as error:
        raise DatabaseError(
            f"PostgreSQL needs {error.name}: pip install 'neurondb[postgres]'"
        ) from error
    event.listen(engine, "connect", _show_nul)
    event.listen(engine, "connect", _order_joins)
    return engine


def _show_nul(connection: Any, _record: object) -> None:
    """Store U+2400 in place of U+0000, which many vocabularies have and PostgreSQL cannot hold."""
    from psycopg.types.string import StrDumper

    class Dumper(StrDumper):
        def dump(self, obj: str) -> Any:
            return super().dump(obj.replace("\0", NUL_SHOWN))

    connection.adapters.register_dumper(str, Dumper)


def _order_joins(connection: Any, _record: object) -> None:
    """Let the planner order all joins of a view and of what is asked of it, not the first eight.

    A neuron's view joins seven tables: with a condition from elsewhere it would be read whole
    before that is looked at (`find "token=' dog'"` at 8B size: 250 ms instead of 20).
    """
    for setting in ("join_collapse_limit", "from_collapse_limit"):
        connection.execute(f"SET {setting} = {ORDERED_JOINS}")
    connection.commit()


def _set_pragmas(connection: sqlite3.Connection, _record: object) -> None:
    # The driver's own implicit BEGIN would leave DDL outside transactions: SQLAlchemy's "begin"
    # event starts them instead.
    connection.isolation_level = None
    connection.execute(f"PRAGMA cache_size = -{PAGE_CACHE_KIB}")


def _prepare_writing(connection: sqlite3.Connection, _record: object) -> None:
    # WAL with synchronous NORMAL survives a kill at any moment. Foreign keys are not enforced on
    # each of millions of bulk-loaded rows; the loaders are the only writers of those tables.
    for pragma in ("journal_mode = WAL", "synchronous = NORMAL", "foreign_keys = OFF"):
        connection.execute(f"PRAGMA {pragma}")


def _forbid_writing(connection: sqlite3.Connection, _record: object) -> None:
    for pragma in ("query_only = ON", "temp_store = MEMORY"):
        connection.execute(f"PRAGMA {pragma}")


def _begin_immediate(connection: Connection) -> None:
    # A writer that starts as a reader can fail half way; taking the lock first waits instead.
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def _begin_deferred(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN")


def get_sqlite_path(url: URL) -> Path | None:
    """Return the file behind a SQLite URL; None for PostgreSQL and in-memory databases."""
    if url.get_backend_name() != "sqlite" or url.database in (None, "", MEMORY):
        return None
    return Path(str(url.database))


def format_url(url: URL) -> str:
    """Return what a message calls a database: as SQLAlchemy writes its URL, without a password."""
    try:
        return url.render_as_string()
    except UnicodeEncodeError:  # a path that is no text
        return f"sqlite:///{url.database}"


def check_revision(engine: Engine) -> None:
    """Refuse a database that is not NeuronDB's, or whose schema is older or newer than this code.

    Raises:
        DatabaseError: says which, and what to do.
    """
    location = format_url(engine.url)
    with translate_errors(location), engine.connect() as connection:
        if not inspect(connection).has_table("alembic_version"):
            raise DatabaseError(
                f"{location} is not a NeuronDB database; give another{by_option('db')}"
            )
        revision = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    refuse_unreleased(location, revision)
    if revision is None or str(revision) < schema.REVISION:
        raise DatabaseError(
            f"{location} has schema {revision}, this version needs {schema.REVISION}; "
            "run `neurondb upgrade --db` with the same path or URL"
        )
    if str(revision) > schema.REVISION:
        raise DatabaseError(
            f"{location} has schema {revision}, newer than {schema.REVISION} of this version; "
            "install a newer neurondb"
        )


def refuse_unreleased(location: str, revision: str | None) -> None:
    """Refuse a database that is half a copy, or older than any that `neurondb upgrade` starts from.

    Raises:
        DatabaseError: says so, and what to do.
    """
    if revision == UNFINISHED:
        raise DatabaseError(
            f"{location} is half of a copy that was not finished; give the command that began it "
            "again, which goes on where it was"
        )
    if revision is not None and revision < schema.FIRST:
        raise DatabaseError(
            f"{location} has schema {revision}, from before the first release ({schema.FIRST}): "
            f"upgrade it with an earlier version that has schema {schema.FIRST}, "
            "or ingest its models anew into another file"
        )


def open_existing(location: str | None = None) -> Engine:
    """Open a database to ask it, nothing else.

    Raises:
        DatabaseError: when there is none, or it is older, newer or something else.
    """
    url = parse_url(location)
    path = get_sqlite_path(url)
    if path is not None:
        check_readable(path)
    return _check_opened(connect(url))


def open_immutable(location: str) -> Engine:
    """Open a SQLite file that nobody writes to: no locks, no WAL beside it.

    Raises:
        DatabaseError: as `open_existing` does.
    """
    path = Path(location)
    check_readable(path)
    return _check_opened(connect(parse_url(str(path.absolute())), immutable=True))


def _check_opened(engine: Engine) -> Engine:
    """Return an engine whose database has this schema; one that is refused is closed."""
    try:
        check_revision(engine)
    except BaseException:
        engine.dispose()
        raise
    return engine


@contextmanager
def translate_errors(location: str) -> Iterator[None]:
    """Turn errors of the driver into one line about the database at `location`."""
    try:
        yield
    except (SQLAlchemyError, sqlite3.Error) as error:
        raise DatabaseError(f"{location}: {explain_database_error(error)}") from error


def explain_database_error(error: Exception) -> str:
    """Return what a driver's error means to a user, and what to do about it."""
    message = str(error.orig) if isinstance(error, DBAPIError) else str(error)
    for sign, meaning in _MEANINGS.items():
        if sign in message:
            return meaning
    if isinstance(error, (OperationalError, SQLDatabaseError)):
        return message
    return f"{type(error).__name__}: {message}"


_MEANINGS = {
    "no such table: texts_fts": "its index of texts is missing; make it with "
    "`neurondb check --repair`",
    "no such table: annotations_fts": "its index of annotations is missing; make it with "
    "`neurondb check --repair`",
    "no such table: descriptions_fts": "its index of descriptions is missing; make it with "
    "`neurondb check --repair`",
    "database is locked": "locked by another process for "
    f"{BUSY_TIMEOUT_S:g} s; wait for it to finish and try again",
    "file is not a database": "not an SQLite database; give another",
    "database or disk is full": "the disk is full; free some space and run the command again",
    "disk I/O error": "the disk reported an error; check its space and health, then run again",
    "attempt to write a readonly database": "read-only: this user may not write to it, or not in "
    "its directory; check the permissions, or work on a copy",
    "unable to open database file": "cannot be opened; check the directory and its permissions",
    "database disk image is malformed": "damaged; restore a copy or ingest again into a new file",
}


def get_driver_connection(connection: Connection) -> Any:
    """Return the driver's own connection, for bulk loads and read-only authorizers."""
    return connection.connection.driver_connection
