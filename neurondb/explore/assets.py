"""Scripts and stylesheets of the pages; a browser keeps each until its address changes.

Two of them are made rather than read: Vega's script, and the colours of the read-write classes.
"""

import asyncio
import hashlib
import mimetypes
import re
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from datasette import Response

if TYPE_CHECKING:
    from neurondb.figures.palette import Theme

_STATIC: Final = Path(__file__).with_name("static")
_CACHED_FOR_A_YEAR: Final = "public, max-age=31536000, immutable"
_DARK: Final = "@media (prefers-color-scheme: dark) {{\n{}\n}}\n"


def make_vega_script() -> str:
    """Return the script that draws the figures."""
    from neurondb.figures import bundle_javascript

    return bundle_javascript()


@cache
def make_class_stylesheet() -> str:
    """Return a rule for each class that sets `--class`, in light and in dark."""
    return f"{_class_rules('light')}\n{_DARK.format(_class_rules('dark'))}"


def _class_rules(theme: "Theme") -> str:
    from neurondb.figures.palette import choose_class_colours

    rules = (
        f".{format_class_selector(name)} {{ --class: {colour}; }}"
        for name, colour in choose_class_colours(theme).items()
    )
    return "\n".join(rules)


def format_class_selector(class_name: str | None) -> str:
    """Return the CSS class of a read-write class: `class-conditional-weakening`."""
    return f"class-{(class_name or 'none').replace(' ', '-')}"


_GENERATED: Final[dict[str, Callable[[], str]]] = {
    "vega.js": make_vega_script,
    "classes.css": make_class_stylesheet,
}
"""File → function that makes it; the others are read from static/."""


def read_asset(name: str) -> bytes:
    """Return the content of a file of static/, or of one that a function makes."""
    return _GENERATED[name]().encode() if name in _GENERATED else (_STATIC / name).read_bytes()


async def answer_asset(request: Any) -> Any:
    """Answer with a file of static/, or with one of those that functions make."""
    name = request.url_vars["name"]
    if name in _GENERATED:
        loop = asyncio.get_running_loop()
        body = (await loop.run_in_executor(None, _GENERATED[name])).encode()
    elif re.fullmatch(r"[a-z-]+\.(css|js|svg)", name) and (_STATIC / name).is_file():
        body = (_STATIC / name).read_bytes()
    else:
        return Response.text("no such file", status=404)
    kind = mimetypes.guess_type(name)[0] or "application/octet-stream"
    headers = {"cache-control": _CACHED_FOR_A_YEAR} if request.query_string else {}
    return Response(body, headers=headers, content_type=f"{kind}; charset=utf-8")


def format_asset_address(name: str) -> str:
    """Return a file's address below Datasette's base_url; it changes whenever the file does."""
    return f"/-/neurondb/{name}?{compute_asset_version(name)}"


@cache
def compute_asset_version(name: str) -> str:
    """Return a file's version for its address: another one for every other content."""
    if name == "vega.js":  # a second of work, which no page waits for
        from importlib.metadata import version

        from neurondb import __version__
        from neurondb.figures.browser import EMBED

        embedding_digest = hashlib.sha256(EMBED.encode()).hexdigest()[:12]
        return f"{__version__}-{version('vl-convert-python')}-{embedding_digest}"
    return hashlib.sha256(read_asset(name)).hexdigest()[:12]
