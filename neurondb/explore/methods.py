"""Answers requests by methods that an address does not take: 405, and which it takes."""

import re
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final, TypeAlias

from datasette.utils import tilde_decode
from datasette.version import __version__

from neurondb.explore.routes import FORMS, PAGES

Scope: TypeAlias = MutableMapping[str, Any]
Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
App: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]

SHOWING: Final = ("GET", "HEAD")
SENDING: Final = ("POST",)
_DATASETTES: Final = (*SHOWING, "POST", "OPTIONS")
"""What some page of Datasette's takes; each of them refuses what it does not."""
_OURS: Final = tuple(
    (re.compile(pattern), SENDING if module in FORMS else SHOWING)
    for pattern, module in {**PAGES, r"/-/neurondb/[a-z.-]+$": "file"}.items()
)


def allowed(path: str) -> tuple[str, ...]:
    """Return the methods that the page at a path, below the site's base, answers to."""
    return next((taken for pattern, taken in _OURS if pattern.match(path)), _DATASETTES)


def by_method(app: App, datasette: Any) -> App:
    """Return the application of a Datasette that refuses other methods."""
    base = str(datasette.setting("base_url"))

    async def answered(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await app(scope, receive, send)
            return
        path = "/" + str(scope["path"]).removeprefix(base).lstrip("/")
        taken = allowed(path)
        if scope["method"] == "POST" and not await _takes_forms(datasette, path):
            taken = SHOWING
        if scope["method"] not in taken:
            await _refuse(taken, str(scope["method"]), send)
            return
        await app(scope, receive, _outward(scope, send))

    return answered


async def _takes_forms(datasette: Any, path: str) -> bool:
    """Tell whether an address below a database may take a form; 0.65 fails where it does not."""
    parts = path.strip("/").split("/")
    if parts[0] == "-" or len(parts) < 2 or not __version__.startswith("0."):
        return True
    try:
        database = datasette.get_database(route=tilde_decode(parts[0]))
    except KeyError:
        return True
    name = tilde_decode(parts[1].partition(".")[0])
    query = await datasette.get_canned_query(database.name, name, None)
    return len(parts) == 2 and bool((query or {}).get("write"))


def _outward(scope: Scope, send: Send) -> Send:
    """Return what sends no body to HEAD, and says with each 405 what is allowed."""

    async def outward(message: Message) -> None:
        if message["type"] == "http.response.start" and message["status"] == 405:
            names = {name.lower() for name, _ in message.get("headers", [])}
            if b"allow" not in names:
                listed = (b"allow", ", ".join(SHOWING).encode())
                message = {**message, "headers": [*message.get("headers", []), listed]}
        if message["type"] == "http.response.body" and scope["method"] == "HEAD":
            message = {**message, "body": b""}
        await send(message)

    return outward


async def _refuse(taken: tuple[str, ...], method: str, send: Send) -> None:
    listed = ", ".join(taken)
    body = f"this address does not answer to {method[:20]}, but to {listed}\n".encode()
    headers = [
        (b"allow", listed.encode()),
        (b"content-type", b"text/plain; charset=utf-8"),
        (b"content-length", str(len(body)).encode()),
    ]
    await send({"type": "http.response.start", "status": 405, "headers": headers})
    await send({"type": "http.response.body", "body": body})
