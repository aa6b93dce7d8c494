"""Keeps Datasette from counting what takes seconds to count."""

import re
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final, TypeAlias

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
