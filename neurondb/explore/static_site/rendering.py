"""The site that a folder is written of: its views asked one after another, its templates filled."""

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any, Final
from urllib.parse import quote, urlencode

from sqlalchemy import select

from neurondb.explore.routes import render_page
from neurondb.explore.server import Service, create_application
from neurondb.explore.site import Document, Options, Page, Site, find_site
from neurondb.schema import tables
from neurondb.writing.copying import strip_directory

_SETTINGS: Final = {"default_allow_sql": False}


@dataclass
class WrittenSite:
    """A site whose pages become files.

    Attributes:
        site: the site, which tells templates that nothing answers behind its pages.
        directories: directories of this machine that pages would tell → what they tell instead.
    """

    site: Site
    directories: dict[str, str]

    def ask(self, module: str, path: dict[str, str], query: dict[str, str] | None = None) -> Page:
        """Return the page of a module of `explore/pages`, as a visitor would get it."""
        view = importlib.import_module(f"neurondb.explore.pages.{module}").answer
        answer = self.site.answer(view, path, query or {})
        assert isinstance(answer, Page)
        return answer

    def draw(self, name: str, query: dict[str, str]) -> bytes:
        """Return a figure's specification as JSON."""
        view = importlib.import_module("neurondb.explore.pages.figure").answer
        answer = self.site.answer(view, {"name": name, "form": "json"}, query)
        assert isinstance(answer, Document)
        return answer.body

    async def render(
        self, page: Page, address: str = "/", query: dict[str, str] | None = None
    ) -> str:
        """Return a page as HTML, without directories of this machine."""
        from datasette.utils.asgi import Request

        asked = f"?{urlencode(query, quote_via=quote)}" if query else ""
        request: Any = Request.fake(address + asked)
        request.scope["csrftoken"] = lambda: ""
        html = await render_page(self.site, request, page)
        for directory, told in self.directories.items():
            html = html.replace(directory, told)
        return html


@contextmanager
def open_written_site(location: str | None, title: str) -> Iterator[WrittenSite]:
    """Open the site of a database to write its pages, and close it afterwards.

    Raises:
        DatabaseError: when there is no such database, or it is no SQLite file.
    """
    datasette = create_application(location, Service(settings=_SETTINGS))
    site = find_site(datasette)
    assert site is not None, "create_application opened the database"
    site.options = Options(public=True, title=title, written=True)
    try:
        yield WrittenSite(site, _list_directories(site))
    finally:
        site.engine.dispose()
        for database in datasette.databases.values():
            database.close()
        if datasette.executor is not None:
            datasette.executor.shutdown()


def _list_directories(site: Site) -> dict[str, str]:
    """Return the paths that models and texts were read from → their last parts, as HTML."""
    from markupsafe import escape

    found = {}
    with site.engine.connect() as connection:
        for table in (tables.models, tables.dataset_rows):
            for (source,) in connection.execute(select(table.c.source)):
                if source and strip_directory(source) != source:
                    found[str(escape(source))] = str(escape(strip_directory(source)))
    return dict(sorted(found.items(), key=lambda item: -len(item[0])))


def change(page: Page, **values: Any) -> Page:
    """Return a page whose content has other values."""
    return replace(page, content=replace(page.content, **values))


def iterate_tokens(content: object) -> Iterator[tuple[int, str]]:
    """Yield id and text of every token that a part of a page names, wherever it stands in it."""
    waiting = [content]
    while waiting:
        one = waiting.pop()
        token_id, token = getattr(one, "token_id", None), getattr(one, "token", None)
        if isinstance(token_id, int) and isinstance(token, str):
            yield token_id, token
        if is_dataclass(one):
            waiting += [getattr(one, each.name) for each in fields(one)]
        elif isinstance(one, tuple | list):
            waiting += one
