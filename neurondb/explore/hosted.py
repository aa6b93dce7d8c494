"""Has Datasette open the files that were named, at addresses that are no page's.

Datasette (0.65 and 1.0) puts a path into a URI as it stands, so that `run#2.db` opened `run`; it
names a database after its file, so that `model.db` took the place of the models' pages.
"""

import os
import re
import sqlite3
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, Final
from weakref import finalize

from datasette.version import __version__

from neurondb.asking.limits import BoundedConnection, bound_memory
from neurondb.sqlite_files import open_file, open_finished, open_to_read

_DATASETTES: Final = frozenset({"-", "_internal", "_memory", "static", "favicon"})
"""First parts of addresses, and names, that mean something to Datasette itself."""
_KEPT: Final = ("_all_file_connections", "_all_connections")
"""Where Datasette 0.65 and 1.0 keep the connections that they close."""


def adopted(datasette: Any) -> None:
    """Mend how a Datasette opens, names and addresses its files; once, before it opens any."""
    bound_memory()
    files = [one for one in datasette.databases.values() if one.path and not one.is_memory]
    for database in files:
        if not hasattr(database, "neurondb_file"):
            _adopt(datasette, database)


def _adopt(datasette: Any, database: Any) -> None:
    database.neurondb_file = str(database.path)
    database.connect = partial(_connect, database)
    if not _encodable(database.neurondb_file):
        # What lists databases stores and prints their paths.
        database.path = _linked(database)
    named = database_name(Path(database.neurondb_file))
    if database.name == Path(database.neurondb_file).stem != named:
        _rename(datasette, database, _free(named, datasette.databases))
    if database.route in reserved(datasette):
        routes = {one.route for one in datasette.databases.values()} | reserved(datasette)
        database.route = _free(_beside(database.route), routes)


def database_name(path: Path) -> str:
    """Return what Datasette is to call the database in a file: after it, if that can be."""
    name = os.fsencode(path.stem).decode("utf-8", "replace")
    return _beside(name) if name in _DATASETTES else name


def _beside(name: str) -> str:
    return f"{name.strip('_-') or 'database'}-db"


def _free(name: str, taken: Any) -> str:
    names = (name, *(f"{name}-{number}" for number in range(2, len(taken) + 3)))
    return next(one for one in names if one not in taken)


def _rename(datasette: Any, database: Any, name: str) -> None:
    databases = ((name if one is database else key, one) for key, one in _items(datasette))
    datasette.databases = type(datasette.databases)(databases)
    database.name = database.route = name


def _items(datasette: Any) -> Iterator[tuple[str, Any]]:
    yield from datasette.databases.items()


def reserved(datasette: Any) -> frozenset[str]:
    """Return the first parts of the addresses of pages, ours and Datasette's own."""
    from neurondb.explore.routes import PAGES

    ours = (re.match(r"/\(?(\w+)", pattern) for pattern in PAGES)
    mounted = (str(mount[0]).strip("/").partition("/")[0] for mount in datasette.static_mounts)
    return frozenset((*_DATASETTES, *mounted, *(found[1] for found in ours if found)))


def _encodable(path: str) -> bool:
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True


def _linked(database: Any) -> str:
    """Return a link to a database's file whose own path is text; it goes with the database."""
    place = tempfile.TemporaryDirectory(prefix="neurondb-")
    finalize(database, place.cleanup)
    link = Path(place.name) / "database.db"
    link.symlink_to(Path(database.neurondb_file).absolute())
    return str(link)


def _connect(database: Any, write: bool = False) -> sqlite3.Connection:
    """Do what Datasette's own `connect` does, for this file."""
    file = database.neurondb_file
    if write:
        immediate = {} if __version__.startswith("0.") else {"isolation_level": "IMMEDIATE"}
        connection = open_file(file, "mode=rw", **immediate)
    elif database.is_mutable:
        connection = open_to_read(file, "ro", factory=BoundedConnection)
    else:
        connection = open_finished(file, factory=BoundedConnection)
    for kept in _KEPT:
        if hasattr(database, kept):
            getattr(database, kept).append(connection)
    return connection
