"""How requests reach pages, and how what a page returns becomes an answer of HTTP."""

import asyncio
import importlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import cache, partial
from typing import Any, Final
from urllib.parse import unquote

from datasette import Response
from datasette.version import __version__

from neurondb.errors import NeuronDBError, UsageError
from neurondb.explore.assets import answer_asset, compute_asset_version
from neurondb.explore.live_answers import ask_live_model
from neurondb.explore.middleware import MARK
from neurondb.explore.pages import FORMS, PAGES
from neurondb.explore.site import (
    Answer,
    Document,
    Page,
    Question,
    Redirect,
    Site,
    View,
    Visitor,
    choose_error_status,
)

CSRF_COOKIE: Final = "ds_csrftoken"
_TITLES: Final = {
    400: "That cannot be asked",
    404: "Not found",
    503: "The model gave no answer",
}
"""HTTP status → title of the page that says what was wrong."""
_RETRY_SECONDS: Final = 5
"""A visitor who could not be answered is told to come back after so long."""


@dataclass(frozen=True)
class Message:
    """The content of an error page: what was wrong and what to do."""

    error: str
    status: int


def make_error_page(error: str, status: int) -> Page:
    """Return the page that shows an error."""
    title = _TITLES.get(status, "That cannot be shown")
    headers = {"retry-after": str(_RETRY_SECONDS)} if status == 503 else {}
    return Page("message", title, Message(error, status), status, headers)


def list_routes(site: Site) -> list[tuple[str, Callable[..., Any]]]:
    """Return Datasette's (pattern, view) of every page of a site."""
    pages = [(pattern, _build_handler(site, module)) for pattern, module in PAGES.items()]
    return [*pages, (r"/-/neurondb/(?P<name>[a-z.-]+)$", answer_asset)]


def _build_handler(site: Site, module: str) -> Callable[..., Awaitable[Any]]:
    async def handle(request: Any) -> Any:
        path = {key: unquote(value) for key, value in request.url_vars.items() if value}
        query = {key: request.args.get(key) for key in request.args}
        answer: Answer
        try:
            form = await _read_form(module, request)
            asked = (path, query, form, _read_visitor(site, request))
            answer_request = partial(site.answer, _make_lazy_view(module), *asked)
            answer = await _run_in_thread(site, answer_request)
            while isinstance(answer, Question):
                then = partial(answer.then, reply=await ask_live_model(site, request, answer))
                answer_request = partial(site.answer, then, *asked)
                answer = await _run_in_thread(site, answer_request)
        except NeuronDBError as error:
            answer = make_error_page(str(error), choose_error_status(error))
        as_json = "format" in path or path.get("form") == "json"
        return await _respond(site, request, answer, as_json=as_json)

    return handle


def _make_lazy_view(module: str) -> View:
    return lambda request: _load_view(module)(request)


@cache
def _load_view(module: str) -> View:
    view: View = importlib.import_module(f"neurondb.explore.pages.{module}").answer
    return view


def _read_visitor(site: Site, request: Any) -> Visitor:
    """Return who asks: by the name that signs in where there is one, else by Datasette's id."""
    actor = request.actor or {}
    name = next((actor[key] for key in ("login", "username", "id") if actor.get(key)), None)
    origin = str(site.datasette.absolute_url(request, "/")).rstrip("/")
    return Visitor(None if name is None else str(name), origin)


async def _read_form(module: str, request: Any) -> dict[str, str]:
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


async def _run_in_thread(site: Site, work: Callable[[], Answer]) -> Answer:
    if site.datasette.executor is None:  # num_sql_threads 0: one thread does everything
        return work()
    return await asyncio.get_running_loop().run_in_executor(site.datasette.executor, work)


async def answer_refusal(site: Site, request: Any, error: str, status: int) -> Any:
    """Return the page that says why the requested one cannot be shown."""
    return await _respond(site, request, make_error_page(error, status), as_json=False)


async def _respond(site: Site, request: Any, answer: Answer, *, as_json: bool) -> Any:
    if isinstance(answer, Redirect):
        return Response.redirect(answer.location)
    if isinstance(answer, Document):
        headers = dict(answer.headers) | {MARK.decode(): "1"}
        return Response(
            answer.body, answer.status, headers=headers, content_type=answer.content_type
        )
    assert isinstance(answer, Page)
    if as_json:
        return _respond_json(site, answer)
    html = await render_page(site, request, answer)
    headers = {**answer.headers, MARK.decode(): "framed" if answer.framed else "1"}
    return Response.html(html, status=answer.status, headers=headers)


async def render_page(site: Site, request: Any, page: Page) -> str:
    """Return a page as HTML; `request` is Datasette's."""
    html: str = await site.datasette.render_template(
        f"neurondb/{page.template}.html", _build_context(site, request, page), request=request
    )
    return html


def _respond_json(site: Site, page: Page) -> Any:
    from neurondb.formatting.documents import format_json

    cors = {"access-control-allow-origin": "*"} if site.datasette.cors else {}
    headers = {**page.headers, **cors}
    return Response(
        format_json(page.content),
        status=page.status,
        headers=headers,
        content_type="application/json; charset=utf-8",
    )


def _build_context(site: Site, request: Any, page: Page) -> dict[str, Any]:
    """Return the variables that every template has."""
    visitor = _read_visitor(site, request)
    return {
        "page": page.content,
        "visitor": visitor,
        "title": page.title,
        "permalink": page.permalink,
        "asked": request.args.get("q") or "",
        "json_address": _format_json_address(request) if page.status == 200 else None,
        "links": site.links,
        "site": site,
        "asset": lambda name: f"{site.links.static(name)}?{compute_asset_version(name)}",
    }


def _format_json_address(request: Any) -> str | None:
    """Return the address of a page's JSON, relative to the page; None where it has none."""
    if "format" not in request.url_vars:
        return None
    last = request.path.rpartition("/")[2] or "index"
    return f"{last}.json" + (f"?{request.query_string}" if request.query_string else "")
