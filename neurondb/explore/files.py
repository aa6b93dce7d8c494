"""Scripts and stylesheets of the pages; a browser keeps each until its address changes."""

import asyncio
import hashlib
import mimetypes
import re
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, Final

from datasette import Response

_STATIC: Final = Path(__file__).with_name("static")
_FOREVER: Final = "public, max-age=31536000, immutable"


def _vega() -> str:
    from neurondb.figures import javascript

    return javascript()


def _classes() -> str:
    from neurondb.explore.colours import stylesheet

    return stylesheet()


_MADE: Final[dict[str, Callable[[], str]]] = {"vega.js": _vega, "classes.css": _classes}
"""Files that are made rather than read."""


async def file(request: Any) -> Any:
    """Answer with a file of static/ or one that is made."""
    name = request.url_vars["name"]
    if name in _MADE:
        loop = asyncio.get_running_loop()
        body = (await loop.run_in_executor(None, _MADE[name])).encode()
    elif re.fullmatch(r"[a-z-]+\.(css|js|svg)", name) and (_STATIC / name).is_file():
        body = (_STATIC / name).read_bytes()
    else:
        return Response.text("no such file", status=404)
    kind = mimetypes.guess_type(name)[0] or "application/octet-stream"
    headers = {"cache-control": _FOREVER} if request.query_string else {}
    return Response(body, headers=headers, content_type=f"{kind}; charset=utf-8")


def addressed(name: str) -> str:
    """Return the address of a file below Datasette's base_url, which changes with the file."""
    return f"/-/neurondb/{name}?{stamp(name)}"


@cache
def stamp(name: str) -> str:
    """Return what changes with a file."""
    if name == "vega.js":  # a second of work, which no page waits for
        from importlib.metadata import version

        from neurondb import __version__
        from neurondb.figures.browser import EMBED

        ours = hashlib.sha256(EMBED.encode()).hexdigest()[:12]
        return f"{__version__}-{version('vl-convert-python')}-{ours}"
    body = _MADE[name]().encode() if name in _MADE else (_STATIC / name).read_bytes()
    return hashlib.sha256(body).hexdigest()[:12]
