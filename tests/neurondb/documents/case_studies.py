"""Case studies of the sample database, and documents as people and parsers read them."""

from collections.abc import Iterable
from html.parser import HTMLParser
from typing import NamedTuple

from sqlalchemy import Engine

from neurondb.documents.markup import Block, Table, Text, iterate_blocks, iterate_parts
from neurondb.reading.case_study import CaseStudy, StudyOptions, read_case_study
from neurondb.reading.models import find_model


def read_study(engine: Engine, model: str, name: str, **options: int) -> CaseStudy:
    layer, neuron = map(int, name.split("."))
    with engine.connect() as connection:
        found = find_model(connection, model)
        return read_case_study(connection, found, layer, neuron, StudyOptions(None, **options))


def plain(text: Text) -> str:
    """A text without its markup."""
    parts = []
    for part in iterate_parts(text):
        said = part if isinstance(part, str) else getattr(part, "text", getattr(part, "name", ""))
        parts.append("?" if said is None else said)
    return "".join(parts)


def find_table(blocks: Iterable[Block], *titles: str) -> Table:
    """The first table whose columns begin with these titles."""
    for block in iterate_blocks(blocks):
        if isinstance(block, Table):
            found = tuple(column.title for column in block.columns)
            if found[: len(titles)] == titles:
                return block
    raise AssertionError(f"no table begins with {titles}")


def read_rows(table: Table) -> list[dict[str, str]]:
    """The cells of a table by the titles of its columns."""
    titles = [column.title for column in table.columns]
    return [dict(zip(titles, map(plain, row), strict=True)) for row in table.rows]


class Page(NamedTuple):
    """What a browser would make of a page: its elements, and the cells of its tables by row."""

    elements: list[str]
    attributes: list[tuple[str, str | None]]
    rows: list[int]


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.page = Page([], [], [])
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.page.elements.append(tag)
        self.page.attributes.extend(attrs)
        if tag == "tr":
            self.page.rows.append(0)
        elif tag in ("td", "th"):
            self.page.rows[-1] += 1
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def read_page(html: str) -> Page:
    """Parse a page in which every element must be closed."""
    reader = _Reader()
    reader.feed(html)
    reader.close()
    assert reader.open == []
    return reader.page
