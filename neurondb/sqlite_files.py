"""Open one SQLite file: the one that was named, whatever its name, and also where none may write.

SQLite reads a WAL database by way of files beside it, which it makes where they are missing. Where
that is not allowed, and no log with changes stands there, the file is all there is to read: it is
opened as one that does not change.
"""

import os
import sqlite3
from pathlib import Path
from typing import Any, Final, TypeAlias

from neurondb.errors import DatabaseError
from neurondb.spelling import by_option

LOGS: Final = ("-wal", "-journal")
"""Suffixes of the files that hold changes not yet written back to a database."""

_UNWRITABLE: Final = frozenset(
    {sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_FULL}
)
_NO_ROOM: Final = frozenset(
    {sqlite3.SQLITE_IOERR_SHMOPEN, sqlite3.SQLITE_IOERR_SHMSIZE, sqlite3.SQLITE_IOERR_SHMMAP}
)
"""The disk is full, so that the files beside cannot be made either."""
_PRIMARY: Final = 0xFF
"""The bits of SQLite's extended result codes that are the code itself."""

Stamp: TypeAlias = tuple[tuple[int, int] | None, ...]


class FileConnection(sqlite3.Connection):
    """A connection to a file.

    Attributes:
        file: which file it is, by `read_identity`; another one may take its place.
        stamp: the `read_stamp` of a file opened as unchanging.
        guarded: whether limits for one statement are on it; the pool hands out no such connection.
    """

    file: tuple[int, int] | None = None
    stamp: Stamp | None = None
    guarded: bool = False

    def explain_change(self, path: Path | str) -> str:
        """Return why the file has to be opened again; '' where it has not.

        Another one has taken its place, or it was opened as unchanging and has changed since. A
        file that is gone is read on: its place is empty for a moment where a folder takes that of
        another one.
        """
        if self.file != (read_identity(path) or self.file):
            return f"{path} is another file"
        if self.stamp is not None and self.stamp != read_stamp(path):
            return f"{path} has changed"
        return ""


def format_uri(path: Path | str, options: str) -> str:
    """Return the URI of a file: `#`, `?`, `%` and any other bytes are part of its name."""
    return f"{Path(os.path.realpath(path)).as_uri()}?{options}"


def open_file(path: Path | str, options: str, **options_of_connect: Any) -> sqlite3.Connection:
    """Open a file by SQLite's options for URIs, such as `mode=ro`.

    `options_of_connect` is for `sqlite3.connect`; any thread may use the connection.
    """
    options_of_connect.setdefault("factory", FileConnection)
    file = read_identity(path)
    connection: sqlite3.Connection = sqlite3.connect(
        format_uri(path, options), uri=True, check_same_thread=False, **options_of_connect
    )
    if isinstance(connection, FileConnection):
        connection.file = file
    return connection


def open_finished(path: Path | str, **options_of_connect: Any) -> sqlite3.Connection:
    """Open a file that nobody writes to: without locks, and without files made beside it."""
    return open_file(path, "immutable=1&mode=ro", **options_of_connect)


def open_to_read(
    path: Path | str, mode: str = "rw", **options_of_connect: Any
) -> sqlite3.Connection:
    """Open a file for reading; neither it nor anything that its owner could not use is created.

    Mode `rw` takes in what a writer that was killed left in the log, if this user may.

    Raises:
        DatabaseError: when changes stand in a log beside it that this user cannot take in.
        sqlite3.Error: when it cannot be opened at all.
    """
    if not os.access(path, os.W_OK) and find_unwritten_log(path) is None:
        return _open_as_finished(path, **options_of_connect)
    connection = open_file(path, f"mode={mode}", **options_of_connect)
    try:
        connection.execute("PRAGMA schema_version").fetchone()
    except sqlite3.OperationalError as error:
        connection.close()
        if not _lacks_files_beside(error.sqlite_errorcode):
            raise
        log = find_unwritten_log(path)
        if log is not None:
            raise DatabaseError(
                f"{path}: there are changes in {log.name} that only somebody who may write there "
                "can take in, as `neurondb check` does; or copy both files to a directory of yours"
            ) from error
        return _open_as_finished(path, **options_of_connect)
    except BaseException:
        connection.close()
        raise
    return connection


def _lacks_files_beside(code: int) -> bool:
    return code in _NO_ROOM or (code & _PRIMARY) in _UNWRITABLE


def _open_as_finished(path: Path | str, **options_of_connect: Any) -> sqlite3.Connection:
    connection = open_finished(path, **options_of_connect)
    if isinstance(connection, FileConnection):
        connection.stamp = read_stamp(path)
    return connection


def find_unwritten_log(path: Path | str) -> Path | None:
    """Return the file beside a database that holds changes not written back to it, if any does."""
    real = os.path.realpath(path)
    for log in (Path(f"{real}{suffix}") for suffix in LOGS):
        try:
            if log.stat().st_size:
                return log
        except OSError:
            continue
    return None


def read_identity(path: Path | str) -> tuple[int, int] | None:
    """Return which file it is that has this name now, whatever is in it; None where there is none.

    SQLite reads on in a file that another one was renamed over.
    """
    try:
        stat = Path(path).stat()
    except OSError:
        return None
    return stat.st_dev, stat.st_ino


def read_stamp(path: Path | str) -> Stamp:
    """Return size and time of the file and its log; every commit changes one of the two files."""
    real = os.path.realpath(path)
    return tuple(_read_time_and_size(Path(f"{real}{suffix}")) for suffix in ("", LOGS[0]))


def _read_time_and_size(path: Path) -> tuple[int, int] | None:
    try:
        stat = path.stat()
    except OSError:
        return None
    return stat.st_mtime_ns, stat.st_size


def check_readable(path: Path) -> None:
    """Make sure that a database's file is there and may be read.

    Raises:
        DatabaseError: when it is missing, no file, or may not be read.
    """
    try:
        if path.is_dir():
            raise DatabaseError(f"{path} is a directory; give the file in it{by_option('db')}")
        if not path.exists():
            raise DatabaseError(
                f"there is no database at {path}; give another path{by_option('db')}, set "
                "$NEURONDB_URL, or fill this one with `neurondb ingest`"
            )
        if not path.is_file():
            raise DatabaseError(f"{path} is no file that a database could be in")
        with path.open("rb"):
            pass
    except OSError as error:
        raise DatabaseError(f"cannot read {path}: {error.strerror or error}") from error
