"""What a browser may do with our pages: nothing from elsewhere, no script in the page itself."""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final, TypeAlias

Scope: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send: TypeAlias = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]

_EVERYWHERE: Final = (
    "default-src 'none'; connect-src 'self'; font-src 'self'; img-src 'self' data: blob:; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'; "
)
OURS: Final = _EVERYWHERE + "script-src 'self'; style-src 'self' 'unsafe-inline'"
"""Vega sets style attributes; no page of ours has a script or an event handler in it."""

DATASETTES: Final = (
    _EVERYWHERE + "script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'"
)
"""Datasette's own pages have scripts in the page."""

MARK: Final = b"x-neurondb-page"
"""Header by which a page of ours is known on its way out; it goes no further."""

_POLICY: Final = b"content-security-policy"
_FURTHER: Final = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
)


def secured(app: App) -> App:
    """Return the application with the headers of every answer set."""

    async def with_headers(scope: Scope, receive: Receive, send: Send) -> None:
        async def outward(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = _headers(list(message.get("headers", [])))
            await send(message)

        await app(scope, receive, outward if scope["type"] == "http" else send)

    return with_headers


def _headers(found: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    names = {name.lower() for name, _ in found}
    policy = OURS if MARK in names else DATASETTES
    return [
        *((name, value) for name, value in found if name.lower() not in (MARK, _POLICY)),
        (_POLICY, policy.encode()),
        *((name, value) for name, value in _FURTHER if name not in names),
    ]
