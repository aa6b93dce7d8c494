"""Keeps Datasette from counting what takes seconds to count.

Its time limit does not: a count is one instruction of SQLite's, which looks at the clock between
instructions.
"""

import re
import sqlite3
from collections.abc import Awaitable, Callable, MutableMapping
from contextlib import suppress
from typing import Any, Final, TypeAlias

from datasette.database import QueryInterrupted

from neurondb.schema import VIEWS, metadata

Scope: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send: TypeAlias = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]

_SMALL: Final = frozenset({"datasets", "random_regions", "dataset_rows"})
_LARGE: Final = frozenset({"activation_histograms", "label_stats", "property_effects"})
"""Tables of some rows a neuron whose names do not say so."""
UNCOUNTED: Final = (
    frozenset(
        {view.name for view in VIEWS}
        | {name for name in metadata.tables if name.endswith("_rows") or name in _LARGE}
    )
    - _SMALL
)
"""Relations of which an 8B model has millions of rows, or rows that are joins."""

_NOT: Final = b"_nocount=1"
_TABLE: Final = re.compile(r"/[^/]+/(?P<name>\w+)(?:\.\w+)?$")


def uncounted(app: App) -> App:
    """Return the application with `_nocount` said in every request for a large relation."""

    async def without_count(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and _is_large(str(scope["path"])):
            query = scope.get("query_string", b"")
            if _NOT not in query:
                scope = {**scope, "query_string": b"&".join(filter(None, (query, _NOT)))}
        await app(scope, receive, send)

    return without_count


def _is_large(path: str) -> bool:
    found = _TABLE.search(path)
    return found is not None and found["name"] in UNCOUNTED


def count_small(database: Any) -> None:
    """Make a database that is written to say `many rows` of its large relations.

    Datasette asks for the counts of all tables at each view of their list.
    """

    async def table_counts(limit: int = 10) -> dict[str, int | None]:
        counts: dict[str, int | None] = {}
        for name in await database.table_names():
            counts[name] = None
            if name not in UNCOUNTED:
                query = f'SELECT count(*) FROM "{name}"'  # noqa: S608 a table of the schema
                with suppress(QueryInterrupted, sqlite3.DatabaseError):
                    found = await database.execute(query, custom_time_limit=limit)
                    counts[name] = found.rows[0][0]
        return counts

    if database.is_mutable:
        database.table_counts = table_counts
