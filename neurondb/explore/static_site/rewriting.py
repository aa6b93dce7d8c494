"""A page of the site → a page of the folder: relative links, and scripts in place of answers.

Tags that need no change are copied as they stand. A link to what has no file becomes text, or goes
where it only offers to do something (`_OFFERS`). A chart names the script that has its
specification. Browsers load no modules from a disk, so scripts are plain ones, deferred as modules
are.
"""

from collections.abc import Callable
from html import escape
from html.parser import HTMLParser
from posixpath import relpath
from typing import Final

Resolve = Callable[[str], str | None]
"""Address of the site → file of the folder, with query and fragment; None where there is none."""

Attributes = list[tuple[str, str | None]]

_OFFERS: Final = frozenset(
    ("find", "search", "random", "pair", "connections", "live", "annotate", "figure", "lists")
)
"""First parts of addresses whose links say what to do, not what something is called."""
_NAMES: Final = frozenset(("token", "class", "neuron", "mono"))
"""CSS classes of links whose text stays: a token, a class, a neuron, a search."""
_FORMS: Final = {"search"}
"""CSS classes of the forms that stay; what others send, nothing would answer."""


def rewrite_page(html: str, file: str, resolve: Resolve) -> str:
    """Return a page as it stands in a file of the folder.

    Args:
        html: the page of the site.
        file: path of the file in the folder, with slashes.
        resolve: where the page's addresses are in the folder.
    """
    rewriter = _Rewriter(file, resolve)
    rewriter.feed(html)
    rewriter.close()
    return "".join(rewriter.parts)


def make_relative(target: str, file: str) -> str:
    """Return a target of the folder as a link from one of its files."""
    path, mark, rest = _split_path(target)
    return relpath(path, file.rpartition("/")[0] or ".") + mark + rest


def _split_path(target: str) -> tuple[str, str, str]:
    places = [place for place in (target.find("?"), target.find("#")) if place >= 0]
    if not places:
        return target, "", ""
    place = min(places)
    return target[:place], target[place], target[place + 1 :]


class _Rewriter(HTMLParser):
    def __init__(self, file: str, resolve: Resolve) -> None:
        super().__init__(convert_charrefs=False)
        self.parts: list[str] = []
        self._file = file
        self._resolve = resolve
        self._links: list[str] = []
        """How each open link ends."""
        self._left_out: str | None = None
        """The tag of an element that is left out, while it is open."""
        self._in_figure = False

    def handle_starttag(self, tag: str, attrs: Attributes) -> None:
        if self._left_out is not None:
            return
        given = dict(attrs)
        if tag == "a":
            self._open_link(given)
        elif tag == "form" and not _FORMS & set((given.get("class") or "").split()):
            self._left_out = tag
        elif tag == "noscript" and self._in_figure:
            self._left_out = tag  # a picture that the site would draw
        elif tag in _CHANGES:
            changed = _CHANGES[tag](self, given)
            if changed is not None:
                self._write_tag(tag, changed)
        else:
            self.parts.append(self.get_starttag_text() or "")

    def handle_startendtag(self, tag: str, attrs: Attributes) -> None:
        self.handle_starttag(tag, attrs)

    def handle_endtag(self, tag: str) -> None:
        if self._left_out is not None:
            if tag == self._left_out:
                self._left_out = None
            return
        if tag == "a":
            self.parts.append(self._links.pop())
        else:
            self._in_figure = self._in_figure and tag != "figure"
            self.parts.append(f"</{tag}>")

    def _open_link(self, given: dict[str, str | None]) -> None:
        address = given.pop("href", None)
        is_offer = _is_offer(address or "", given)
        given.pop("data-swap", None)
        target = None if address is None else self._find(address)
        if target is not None:
            self._links.append("</a>")
            self._write_tag("a", {"href": target, **given})
        elif is_offer:
            self._left_out = "a"
        else:
            self._links.append("</span>")
            kept: dict[str, str | None] = {
                name: given[name] for name in ("class", "dir", "id") if name in given
            }
            self._write_tag("span", kept)

    def _find(self, address: str) -> str | None:
        if address.startswith("#"):
            return address
        target = self._resolve(address)
        return None if target is None else make_relative(target, self._file)

    def _write_tag(self, tag: str, given: dict[str, str | None]) -> None:
        spelled = "".join(
            f" {name}" if value is None else f' {name}="{escape(value)}"'
            for name, value in given.items()
        )
        self.parts.append(f"<{tag}{spelled}>")

    def change_form(self, given: dict[str, str | None]) -> dict[str, str | None]:
        """Return the attributes of the search."""
        return {**given, "action": self._find(given.get("action") or "")}

    def change_link(self, given: dict[str, str | None]) -> dict[str, str | None] | None:
        """Return the attributes of a stylesheet; None for a link that leads nowhere."""
        target = self._find(given.get("href") or "")
        return None if target is None else {**given, "href": target}

    def change_script(self, given: dict[str, str | None]) -> dict[str, str | None]:
        """Return the attributes of a plain script that runs when the page is there."""
        return {"defer": None, "src": self._find(given.get("src") or "")}

    def change_chart(self, given: dict[str, str | None]) -> dict[str, str | None]:
        """Return the attributes of a figure, whose specification is a script."""
        self._in_figure = True
        address = given.pop("data-spec", None)
        return given if address is None else {**given, "data-script": self._find(address)}

    def change_body(self, given: dict[str, str | None]) -> dict[str, str | None]:
        """Return the attributes of the body, which says where the chart library is."""
        return {**given, "data-vega": self._find(given.get("data-vega") or "")}

    def handle_data(self, data: str) -> None:
        self._copy(data)

    def handle_entityref(self, name: str) -> None:
        self._copy(f"&{name};")

    def handle_charref(self, name: str) -> None:
        self._copy(f"&#{name};")

    def handle_decl(self, decl: str) -> None:
        self._copy(f"<!{decl}>")

    def _copy(self, text: str) -> None:
        if self._left_out is None:
            self.parts.append(text)


_CHANGES: Final[
    dict[str, Callable[[_Rewriter, dict[str, str | None]], dict[str, str | None] | None]]
] = {
    "body": _Rewriter.change_body,
    "figure": _Rewriter.change_chart,
    "form": _Rewriter.change_form,
    "link": _Rewriter.change_link,
    "script": _Rewriter.change_script,
}


def _is_offer(address: str, given: dict[str, str | None]) -> bool:
    """Tell whether a link without a target only offers something, so that its text goes too."""
    classes = set((given.get("class") or "").split())
    first = address.lstrip("/").partition("/")[0].partition("?")[0]
    offers = first in _OFFERS or "data-swap" in given  # a tab, whose page is not written
    return offers and not classes & _NAMES and given.get("aria-current") != "true"
