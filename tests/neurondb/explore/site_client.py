"""The site of a database, asked within this process: no port, no browser.

The fixture `site` is that of the sample database.
"""

import asyncio
import itertools
import json
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, Final

from neurondb.explore.server import Service, create_application
from neurondb.explore.site import find_site

PAGE_LIMIT: Final = 200_000
"""Bytes of HTML that a page may have."""
_VOID: Final = frozenset(
    ("area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "wbr")
)
_OPTIONAL: Final = frozenset(("p", "li", "dt", "dd", "option", "tr", "td", "th", "thead", "tbody"))


class Answer:
    """What the site answered."""

    def __init__(self, response: Any) -> None:
        self.status: int = response.status_code
        self.headers: dict[str, str] = {k.lower(): v for k, v in response.headers.items()}
        self.body: bytes = response.content
        self.text: str = response.text

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)

    @property
    def page(self) -> "Parsed":
        """The body as HTML, checked to be well formed."""
        return Parsed(self.text)


class Site:
    """Asks the pages of one database."""

    def __init__(self, path: Path | str, service: Service = Service()) -> None:  # noqa: B008
        self.datasette = create_application(str(path), service)

    def get(self, address: str, **options: Any) -> Answer:
        """GET an address; redirects are answers, not followed."""
        return Answer(asyncio.run(self.datasette.client.get(address, **options)))

    async def get_from_app(self, address: str) -> Answer:
        """GET an address of the application itself: Datasette's client adds a base_url."""
        import httpx

        transport = httpx.ASGITransport(app=self.datasette.app())
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            return Answer(await client.get(address))

    def rows_of(self, sql: dict[str, Any]) -> list[dict[str, Any]]:
        """Return the rows of a statement that a page shows, as Datasette's editor returns them."""
        inside = find_site(self.datasette)
        assert inside is not None
        address = inside.links.sql(sql["statement"], sql["parameters"])
        answer = self.get(address.replace("?sql=", ".json?sql=")).json
        assert answer["error"] is None
        assert not answer["truncated"]
        return [dict(zip(answer["columns"], row, strict=True)) for row in answer["rows"]]

    def post(self, address: str, form: dict[str, str], *, token: bool = True) -> Answer:
        """POST a form as a browser does: with the token against forgery, unless told otherwise."""
        secret = {"ds_csrftoken": self._token()} if token else {}
        data = form | ({"csrftoken": secret["ds_csrftoken"]} if token else {})
        return Answer(asyncio.run(self.datasette.client.post(address, data=data, cookies=secret)))

    def _token(self) -> str:
        # What asgi-csrf puts into the cookie of whoever gets a form.
        from itsdangerous import URLSafeSerializer

        signer = URLSafeSerializer(self.datasette._secret)
        return str(signer.dumps("x" * 16, salt="csrftoken"))

    def close(self) -> None:
        """Close what was opened."""
        for database in self.datasette.databases.values():
            database.close()
        if self.datasette.executor is not None:
            self.datasette.executor.shutdown()


class Parsed(HTMLParser):
    """A page as a browser without JavaScript has it; raises on elements that are not closed.

    Attributes:
        text: all text, blanks squeezed.
        links: every href of an `a`.
        ids: every id, which must be unique.
        tags: every element: its name and attributes.
    """

    def __init__(self, html: str) -> None:
        super().__init__()
        self.text, self.links, self.ids = "", [], []  # type: tuple[str, list[str], list[str]]
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self._open: list[str] = []
        self._hidden = 0
        self.feed(html)
        self.close()
        assert not [tag for tag in self._open if tag not in _OPTIONAL], self._open
        assert len(set(self.ids)) == len(self.ids), self.ids
        self.text = " ".join(self.text.split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        assert len(given) == len(attrs), f"an attribute twice in <{tag}>"
        assert not [name for name in given if name.startswith("on")], f"a handler in <{tag}>"
        assert not str(given.get("href") or "").lower().startswith("javascript:")
        self.tags.append((tag, given))
        if given.get("id"):
            self.ids.append(str(given["id"]))
        if tag == "a" and given.get("href") is not None:
            self.links.append(str(given["href"]))
        if tag == "script":
            assert given.get("src"), "a script in the page"
        if tag not in _VOID:
            self._open.append(tag)
            self._hidden += tag in ("script", "style")

    def handle_endtag(self, tag: str) -> None:
        assert tag in self._open, f"</{tag}> closes nothing"
        while (closed := self._open.pop()) != tag:
            assert closed in _OPTIONAL, f"<{closed}> is open at </{tag}>"
        self._hidden -= tag in ("script", "style")

    def handle_data(self, data: str) -> None:
        if not self._hidden:
            self.text += data


def looks_right(answer: Answer, status: int = 200) -> Parsed:
    """Return a page after what holds for all of them: whole, lean, safe, legible to a reader."""
    assert answer.status == status, answer.text[:2000]
    assert answer.headers["content-type"].startswith("text/html")
    assert len(answer.body) <= PAGE_LIMIT
    policy = answer.headers["content-security-policy"]
    assert "script-src 'self';" in policy
    assert "x-neurondb-page" not in answer.headers
    page = answer.page
    names = [tag for tag, _ in page.tags]
    assert names.count("h1") == 1
    assert names.count("main") == 1
    levels = [int(tag[1]) for tag in names if len(tag) == 2 and tag[0] == "h" and tag[1].isdigit()]
    assert all(b - a <= 1 for a, b in itertools.pairwise(levels)), levels
    assert names.count("table") == names.count("caption")
    boxes = [given for _, given in page.tags if "scroll" in (given.get("class") or "").split()]
    assert all(one.get("tabindex") == "0" and one.get("aria-label") for one in boxes), boxes
    (root,) = [given for tag, given in page.tags if tag == "html"]
    assert root["lang"] == "en"
    remote = [v for _, given in page.tags for v in (given.get("src"),) if v and "//" in v]
    assert not remote
    return page
