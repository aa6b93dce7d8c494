"""What requests and answers pass through: security headers, methods, no counts of large tables."""

import re
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final, TypeAlias

from datasette.utils import tilde_decode
from datasette.version import __version__

from neurondb.explore.databases import UNCOUNTED
from neurondb.explore.pages import FORMS, PAGES

Scope: TypeAlias = MutableMapping[str, Any]
Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
App: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]

_COMMON_POLICY: Final = (
    "default-src 'none'; connect-src 'self'; font-src 'self'; img-src 'self' data: blob:; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'; "
)
_PAGE_POLICY: Final = _COMMON_POLICY + "script-src 'self'; style-src 'self' 'unsafe-inline'"
"""Vega sets style attributes; no page of ours has a script or an event handler in it."""

_DATASETTE_POLICY: Final = (
    _COMMON_POLICY + "script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'"
)
"""Datasette's own pages have scripts in the page."""

_FRAMED_POLICY: Final = (
    "default-src 'none'; style-src 'self' 'unsafe-inline'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors *"
)
"""A card that other sites show: it has no scripts, no forms and nothing to be tricked into."""

MARK: Final = b"x-neurondb-page"
"""Header that marks an answer as a page of the site; it is removed before the answer is sent."""

_POLICY_HEADER: Final = b"content-security-policy"
_OTHER_HEADERS: Final = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
)


def set_security_headers(app: App) -> App:
    """Return the application with security headers added to every answer."""

    async def with_headers(scope: Scope, receive: Receive, send: Send) -> None:
        async def send_changed(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = _secure(list(message.get("headers", [])))
            await send(message)

        await app(scope, receive, send_changed if scope["type"] == "http" else send)

    return with_headers


def _secure(headers: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    names = {name.lower(): value for name, value in headers}
    page_policy = _FRAMED_POLICY if names.get(MARK) == b"framed" else _PAGE_POLICY
    policy = page_policy if MARK in names else _DATASETTE_POLICY
    return [
        *((name, value) for name, value in headers if name.lower() not in (MARK, _POLICY_HEADER)),
        (_POLICY_HEADER, policy.encode()),
        *((name, value) for name, value in _OTHER_HEADERS if name not in names),
    ]


_READING_METHODS: Final = ("GET", "HEAD")
_FORM_METHODS: Final = ("POST",)
_DATASETTE_METHODS: Final = (*_READING_METHODS, "POST", "OPTIONS")
"""Some page of Datasette's takes each of these; a page that does not refuses it itself."""
_PAGE_METHODS: Final = tuple(
    (re.compile(pattern), _FORM_METHODS if module in FORMS else _READING_METHODS)
    for pattern, module in {**PAGES, r"/-/neurondb/[a-z.-]+$": "file"}.items()
)


def find_allowed_methods(path: str) -> tuple[str, ...]:
    """Return the HTTP methods that the page at a path (below base_url) answers to."""
    return next(
        (methods for pattern, methods in _PAGE_METHODS if pattern.match(path)), _DATASETTE_METHODS
    )


def refuse_methods(app: App, datasette: Any) -> App:
    """Return the application with every request refused whose method its page does not take."""
    base = str(datasette.setting("base_url"))

    async def with_methods(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await app(scope, receive, send)
            return
        path = "/" + str(scope["path"]).removeprefix(base).lstrip("/")
        methods = find_allowed_methods(path)
        if scope["method"] == "POST" and not await _takes_forms(datasette, path):
            methods = _READING_METHODS
        if scope["method"] not in methods:
            await _refuse(methods, str(scope["method"]), send)
            return
        await app(scope, receive, _head_and_allow(scope, send))

    return with_methods


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


def _head_and_allow(scope: Scope, send: Send) -> Send:
    """Return a `send` that drops the body for HEAD and adds `Allow` to each 405."""

    async def send_changed(message: Message) -> None:
        if message["type"] == "http.response.start" and message["status"] == 405:
            names = {name.lower() for name, _ in message.get("headers", [])}
            if b"allow" not in names:
                allow_header = (b"allow", ", ".join(_READING_METHODS).encode())
                message = {**message, "headers": [*message.get("headers", []), allow_header]}
        if message["type"] == "http.response.body" and scope["method"] == "HEAD":
            message = {**message, "body": b""}
        await send(message)

    return send_changed


async def _refuse(methods: tuple[str, ...], method: str, send: Send) -> None:
    methods_text = ", ".join(methods)
    body = f"this address does not answer to {method[:20]}, but to {methods_text}\n".encode()
    headers = [
        (b"allow", methods_text.encode()),
        (b"content-type", b"text/plain; charset=utf-8"),
        (b"content-length", str(len(body)).encode()),
    ]
    await send({"type": "http.response.start", "status": 405, "headers": headers})
    await send({"type": "http.response.body", "body": body})


_NO_COUNT: Final = b"_nocount=1"
_TABLE: Final = re.compile(r"/[^/]+/(?P<name>\w+)(?:\.\w+)?$")


def skip_counts(app: App) -> App:
    """Return the application with `_nocount` added to every request for a large relation."""

    async def without_count(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and _is_large(str(scope["path"])):
            query = scope.get("query_string", b"")
            if _NO_COUNT not in query:
                scope = {**scope, "query_string": b"&".join(filter(None, (query, _NO_COUNT)))}
        await app(scope, receive, send)

    return without_count


def _is_large(path: str) -> bool:
    table = _TABLE.search(path)
    return table is not None and table["name"] in UNCOUNTED
