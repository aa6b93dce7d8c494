"""What the tests of documents look into a page with."""

import re
from html.parser import HTMLParser
from typing import Final

from markdown_it import MarkdownIt

Attributes = dict[str, str | None]


class Reader(HTMLParser):
    """Collects the elements of a page and its text, and fails where one is not closed."""

    VOID: Final = ("meta", "img")

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, Attributes]] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.text += data

    def find(self, tag: str) -> list[Attributes]:
        """Return the attributes of all elements of a tag."""
        return [attributes for name, attributes in self.elements if name == tag]


def read_page(page: str) -> Reader:
    reader = Reader()
    reader.feed(page)
    reader.close()
    assert reader.open == []
    return reader


OUR_TAGS: Final = {"a", "b", "code", "details", "summary", "mark", "span", "strong"}
"""The elements of HTML that Markdown of ours has."""
PARSER: Final = MarkdownIt("commonmark").enable("table")


def read_tags(markdown: str) -> set[str]:
    """Return the elements of HTML that stand in Markdown, as whoever shows it sees them."""
    tokens = PARSER.parse(markdown)
    parts = [*tokens, *(child for token in tokens for child in token.children or ())]
    html = [part.content for part in parts if part.type in {"html_block", "html_inline"}]
    return {tag for content in html for tag in re.findall(r"</?(\w+)", content)}
