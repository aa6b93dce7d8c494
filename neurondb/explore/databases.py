"""How Datasette opens, names, addresses and counts the databases that it was given.

It has them open the files that were named, at addresses that are no page's. It counts no large
table: a count is one instruction of SQLite's, which looks at the clock between instructions, so
that Datasette's time limit does not bound it.

Datasette (0.65 and 1.0) puts a path into a URI as it stands, so that `run#2.db` opened `run`; it
names a database after its file, so that `model.db` took the place of the models' pages.
"""

import os
import re
import sqlite3
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar
from weakref import finalize

from datasette.database import QueryInterrupted
from datasette.version import __version__

from neurondb.explore.pages import PAGES
from neurondb.schema import VIEWS, metadata
from neurondb.sql.limits import LimitedConnection, limit_memory
from neurondb.sqlite_files import open_file, open_finished, open_to_read

T = TypeVar("T")

_DATASETTES: Final = frozenset({"-", "_internal", "_memory", "static", "favicon"})
"""These first parts of addresses, and these names, mean something to Datasette itself."""
_CONNECTION_LISTS: Final = ("_all_file_connections", "_all_connections")
"""Datasette 0.65 and 1.0 keep the connections that they close in these attributes."""
_EXECUTES: Final = ("_execute_fn", "execute_fn")
"""What runs a function on a thread's connection, in Datasette 1.0 and 0.65."""
_SMALL: Final = frozenset({"datasets", "random_regions", "dataset_rows"})
_LARGE: Final = frozenset({"activation_histograms", "label_stats", "property_effects"})
"""These tables have some rows a neuron, though their names do not end in `_rows`."""
UNCOUNTED: Final = (
    frozenset(
        {view.name for view in VIEWS}
        | {name for name in metadata.tables if name.endswith("_rows") or name in _LARGE}
    )
    - _SMALL
)
"""Tables and views of which an 8B model has millions of rows, or whose rows are joins."""


def prepare_databases(datasette: Any) -> None:
    """Correct how a Datasette opens, names and addresses its files, once, before it opens any."""
    limit_memory()
    files = [db for db in datasette.databases.values() if db.path and not db.is_memory]
    for database in files:
        if not hasattr(database, "neurondb_file"):
            _adopt(datasette, database)


def _adopt(datasette: Any, database: Any) -> None:
    database.neurondb_file = str(database.path)
    database.connect = partial(_connect, database)
    method = next(one for one in _EXECUTES if hasattr(database, one))
    execute = getattr(database, method)
    setattr(database, method, partial(_execute_on_current, datasette, database, execute))
    if not _is_text(database.neurondb_file):
        # Code that lists databases stores and prints their paths.
        database.path = _link_to_file(database)
    name = choose_database_name(Path(database.neurondb_file))
    if database.name == Path(database.neurondb_file).stem != name:
        _rename(datasette, database, _choose_free(name, datasette.databases))
    if database.route in list_reserved_names(datasette):
        routes = {
            database.route for database in datasette.databases.values()
        } | list_reserved_names(datasette)
        database.route = _choose_free(_add_suffix(database.route), routes)


def choose_database_name(path: Path) -> str:
    """Return the name that Datasette gives the database in a file: the file's own if possible."""
    name = os.fsencode(path.stem).decode("utf-8", "replace")
    return _add_suffix(name) if name in _DATASETTES else name


def _add_suffix(name: str) -> str:
    return f"{name.strip('_-') or 'database'}-db"


def _choose_free(name: str, databases: Any) -> str:
    names = (name, *(f"{name}-{number}" for number in range(2, len(databases) + 3)))
    return next(candidate for candidate in names if candidate not in databases)


def _rename(datasette: Any, database: Any, name: str) -> None:
    databases = ((name if db is database else key, db) for key, db in _iterate_databases(datasette))
    datasette.databases = type(datasette.databases)(databases)
    database.name = database.route = name


def _iterate_databases(datasette: Any) -> Iterator[tuple[str, Any]]:
    yield from datasette.databases.items()


def list_reserved_names(datasette: Any) -> frozenset[str]:
    """Return the first parts of the addresses that the site's and Datasette's own pages have."""
    page_matches = (re.match(r"/\(?(\w+)", pattern) for pattern in PAGES)
    mounted = (str(mount[0]).strip("/").partition("/")[0] for mount in datasette.static_mounts)
    return frozenset((*_DATASETTES, *mounted, *(match[1] for match in page_matches if match)))


def _is_text(path: str) -> bool:
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True


def _link_to_file(database: Any) -> str:
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
        connection = open_to_read(file, "ro", factory=LimitedConnection)
    else:
        connection = open_finished(file, factory=LimitedConnection)
    for name in _CONNECTION_LISTS:
        if hasattr(database, name):
            getattr(database, name).append(connection)
    return connection


async def _execute_on_current(
    datasette: Any,
    database: Any,
    execute: Callable[[Callable[[Any], T]], Awaitable[T]],
    function: Callable[[Any], T],
) -> T:
    """Do what Datasette's own method does, on the file that has this name now.

    Each of its threads keeps its connection for good, also to a file that another one replaced.
    """
    return await execute(lambda first: function(_find_current(datasette, database, first)))


def _find_current(datasette: Any, database: Any, first: Any) -> Any:
    """Return the connection that stands for a thread's first one, opened again where need be."""
    if not isinstance(first, LimitedConnection):
        return first
    connection = first.successor or first
    if connection.explain_change(database.neurondb_file):
        opened = database.connect()
        datasette._prepare_connection(opened, database.name)
        first.successor = opened
        if connection is not first:
            connection.close()
        connection = opened
    return connection


def count_small_tables(database: Any) -> None:
    """Count a database's small tables only; its large relations are shown as `many rows`.

    Datasette asks for the counts of all tables at each view of their list.
    """

    async def table_counts(limit: int = 10) -> dict[str, int | None]:
        counts: dict[str, int | None] = {}
        for name in await database.table_names():
            counts[name] = None
            if name not in UNCOUNTED:
                query = f'SELECT count(*) FROM "{name}"'  # noqa: S608 a table of the schema
                with suppress(QueryInterrupted, sqlite3.DatabaseError):
                    result = await database.execute(query, custom_time_limit=limit)
                    counts[name] = result.rows[0][0]
        return counts

    if database.is_mutable:
        database.table_counts = table_counts
