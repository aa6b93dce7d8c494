"""How other sites show a neuron of this one: a provider of oEmbed 1.0 (https://oembed.com).

A site that is given the address of a neuron's page asks here what to put in its place, and is told
a frame with the neuron's card. Of the formats of the specification there is JSON; XML is answered
with 501, as it wants, and addresses that are no neuron's of this site with 404.
"""

import json
import re
from html import escape
from typing import Any, Final
from urllib.parse import parse_qs, unquote, urlsplit

from neurondb.errors import NeuronDBError, UnknownNameError, UsageError
from neurondb.explore.pages.embed import HEIGHT, WIDTH
from neurondb.explore.site import Document, Request, choose_error_status
from neurondb.formatting.text import make_visible
from neurondb.neurons import match_number, parse_neuron
from neurondb.reading.models import Model, find_model, find_neuron_id

_PAGE: Final = re.compile(
    r"(?:neuron|embed)/(?P<model>[^/]+)/(?P<neuron>[0-9]+\.[0-9]+(?:\.[0-9]+)?)"
)
_CACHE_S: Final = 86_400
"""Seconds for which other sites may keep an answer."""


def answer(request: Request) -> Document:
    """Return what another site shows in place of an address; what is wrong is said in JSON too."""
    form = request.query.get("format") or "json"
    if form != "json":
        return _respond({"error": f"no format {form[:80]!r}; there is: json"}, 501)
    try:
        return _respond(_describe(request), 200)
    except NeuronDBError as error:
        return _respond({"error": str(error)}, choose_error_status(error))


def _respond(content: dict[str, Any], status: int) -> Document:
    # Any site may ask by a script of its own, too: what it is told is in the card anyway.
    headers = {"access-control-allow-origin": "*"}
    body = json.dumps(content, ensure_ascii=False).encode()
    return Document(body, "application/json; charset=utf-8", headers, status)


def _describe(request: Request) -> dict[str, Any]:
    model, name, options = _find_neuron(request)
    width, height = (
        min(own, most)
        for own, most in (
            (WIDTH, _read_most(request, "maxwidth")),
            (HEIGHT, _read_most(request, "maxheight")),
        )
    )
    origin, links = request.visitor.origin, request.site.links
    title = f"{make_visible(model.name)} {name}"
    address = escape(origin + links.embed(model.name, name, **options), quote=True)
    frame = (
        f'<iframe src="{address}" width="{width}" height="{height}" '
        f'title="{escape(title, quote=True)}" loading="lazy" style="border: 0"></iframe>'
    )
    return {
        "version": "1.0",
        "type": "rich",
        "title": title,
        "provider_name": request.site.options.title,
        "provider_url": origin + links.home(),
        "cache_age": _CACHE_S,
        "html": frame,
        "width": width,
        "height": height,
    }


def _find_neuron(request: Request) -> tuple[Model, str, dict[str, str | None]]:
    """Return the neuron that the address asked about is of, and what its card keeps of it.

    Raises:
        UsageError: when none is asked about.
        UnknownNameError: when it is no neuron's page of this site.
    """
    asked = request.query.get("url")
    if not asked:
        raise UsageError("oembed needs ?url=, the address of a neuron's page of this site")
    base = request.site.links.home()
    try:
        address, here = urlsplit(asked), urlsplit(request.visitor.origin)
    except ValueError as error:
        raise UnknownNameError(f"{asked[:80]!r} is no address") from error
    page = None
    if address.scheme in ("http", "https") and address.netloc.lower() == here.netloc.lower():
        page = _PAGE.fullmatch(address.path.removeprefix(base))
    if page is None:
        raise UnknownNameError(f"{asked[:80]!r} is no neuron's page of this site")
    model = find_model(request.connection, unquote(page["model"]))
    place = parse_neuron(page["neuron"])
    number = find_neuron_id(model, *place)
    query = parse_qs(address.query)
    options: dict[str, str | None] = {
        key: query[key][0] for key in ("dataset", "theme") if key in query
    }
    return model, model.name_neuron(number), options


def _read_most(request: Request, name: str) -> int:
    """Return how wide or high a frame may be at most.

    Raises:
        UsageError: when that is no number of pixels.
    """
    text = request.query.get(name)
    if not text:
        return max(WIDTH, HEIGHT)
    number = match_number(text)
    if not number:
        raise UsageError(f"{name} is {text[:80]!r}, not a number of pixels from 1")
    return number
