"""Which page is at which address, and how a page becomes an answer of HTTP."""

import asyncio
import importlib
from collections.abc import Awaitable, Callable
from functools import cache, partial
from typing import Any, Final
from urllib.parse import unquote

from datasette import Response
from datasette.version import __version__

from neurondb.errors import NeuronDBError, UsageError
from neurondb.explore.files import file, stamp
from neurondb.explore.page import Answer, Document, Page, Redirect
from neurondb.explore.pages.message import message
from neurondb.explore.security import MARK
from neurondb.explore.site import Request, Site, View, status_of

_MODEL: Final = r"(?P<model>[^/]+?)"
_JSON: Final = r"(?P<format>\.json)?$"

PAGES: Final = {
    r"/(index(?P<format>\.json))?$": "home",
    r"/search" + _JSON: "search",
    r"/find" + _JSON: "found",
    r"/find\.(?P<form>csv|ndjson)$": "found_rows",
    rf"/model/{_MODEL}" + _JSON: "model",
    rf"/layer/{_MODEL}/(?P<layer>[0-9]{{1,9}})" + _JSON: "layer",
    rf"/neuron/{_MODEL}/(?P<layer>[0-9]{{1,19}})\.(?P<neuron>[0-9]{{1,19}})" + _JSON: "neuron",
    rf"/random/{_MODEL}$": "random",
    rf"/token/{_MODEL}/(?P<token_id>[0-9]{{1,9}})" + _JSON: "token",
    r"/text/(?P<text_id>[0-9]{1,12})" + _JSON: "text",
    r"/run/(?P<run_id>[0-9]{1,9})" + _JSON: "run",
    r"/pair" + _JSON: "pair",
    r"/compare/(?P<one>[^/]+)/(?P<other>[^/]+?)" + _JSON: "comparison",
    r"/annotate$": "annotate",
    r"/figure/(?P<name>[a-z-]+)\.(?P<form>json|svg|png|pdf|html)$": "figure",
}
"""Address → module of pages/, whose `answer` takes an Ask."""

CSRF_COOKIE: Final = "ds_csrftoken"
FORMS: Final = frozenset({"annotate"})
"""Modules that answer to a form that was sent (POST); the others only show."""


def routes(site: Site) -> list[tuple[str, Callable[..., Any]]]:
    """Return Datasette's (pattern, view) of every page of a site."""
    pages = [(pattern, _handler(site, module)) for pattern, module in PAGES.items()]
    return [*pages, (r"/-/neurondb/(?P<name>[a-z.-]+)$", file)]


def _handler(site: Site, module: str) -> Callable[..., Awaitable[Any]]:
    async def handle(request: Any) -> Any:
        path = {key: unquote(value) for key, value in request.url_vars.items() if value}
        query = {key: request.args.get(key) for key in request.args}
        answer: Answer
        try:
            form = await _form(module, request)
            asked = Request(path, query, form)
            answer = await _in_thread(site, partial(site.answer, _loaded(module), asked))
        except NeuronDBError as error:
            answer = message(str(error), status_of(error))
        as_json = "format" in path or path.get("form") == "json"
        return await _response(site, request, answer, as_json=as_json)

    return handle


def _loaded(module: str) -> View:
    return lambda ask: _view(module)(ask)


@cache
def _view(module: str) -> View:
    view: View = importlib.import_module(f"neurondb.explore.pages.{module}").answer
    return view


async def _form(module: str, request: Any) -> dict[str, str]:
    if (request.method == "POST") != (module in FORMS):
        raise UsageError(f"this address does not answer to {request.method}")
    if module not in FORMS:
        return {}
    # Datasette 0.65 compares the form's token with this cookie, but only where there is a cookie at
    # all: without it, a page of any other site could send the form. 1.0 has no cookie; it refuses
    # forms of other sites by the headers that browsers send.
    if __version__.startswith("0.") and CSRF_COOKIE not in request.cookies:
        raise UsageError("the form came without the site's cookie; load the page again and resend")
    form: dict[str, str] = await request.post_vars()
    return form


async def _in_thread(site: Site, work: Callable[[], Answer]) -> Answer:
    if site.datasette.executor is None:  # num_sql_threads 0: one thread does everything
        return work()
    return await asyncio.get_running_loop().run_in_executor(site.datasette.executor, work)


async def refused(site: Site, request: Any, said: str, status: int) -> Any:
    """Return the page that says why there is no other."""
    return await _response(site, request, message(said, status), as_json=False)


async def _response(site: Site, request: Any, answer: Answer, *, as_json: bool) -> Any:
    if isinstance(answer, Redirect):
        return Response.redirect(answer.location)
    if isinstance(answer, Document):
        headers = dict(answer.headers) | {MARK.decode(): "1"}
        return Response(answer.body, headers=headers, content_type=answer.content_type)
    if as_json:
        return _json(site, answer)
    html = await site.datasette.render_template(
        f"neurondb/{answer.template}.html", _context(site, request, answer), request=request
    )
    return Response.html(html, status=answer.status, headers={MARK.decode(): "1"})


def _json(site: Site, page: Page) -> Any:
    from neurondb.render.documents import to_json

    headers = {"access-control-allow-origin": "*"} if site.datasette.cors else {}
    return Response(
        to_json(page.content),
        status=page.status,
        headers=headers,
        content_type="application/json; charset=utf-8",
    )


def _context(site: Site, request: Any, page: Page) -> dict[str, Any]:
    """Return what every template sees."""
    return {
        "page": page.content,
        "title": page.title,
        "asked": request.args.get("q") or "",
        "json_address": _json_address(request) if page.status == 200 else None,
        "links": site.links,
        "site": site,
        "asset": lambda name: f"{site.links.static(name)}?{stamp(name)}",
    }


def _json_address(request: Any) -> str | None:
    """Return where a page's content is as JSON, from the page; None where it is nowhere."""
    if "format" not in request.url_vars:
        return None
    last = request.path.rpartition("/")[2] or "index"
    return f"{last}.json" + (f"?{request.query_string}" if request.query_string else "")
