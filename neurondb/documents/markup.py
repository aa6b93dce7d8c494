"""What documents are made of: blocks, and the inline parts of their texts.

A text is a string or a tuple of strings and inline parts. Strings are literal wherever they stand:
nothing in them becomes markup, and nothing in them acts on who reads them, so that the name of a
model or a token may come from anybody. Numbers come as text, formatted by `neurondb.formatting`.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final, Literal, TypeAlias

from neurondb.errors import UsageError

ALLOWED_LINKS: Final = ("https://", "http://", "#")
"""What the address of a link begins with; others could run scripts or lead into a file system."""


@dataclass(frozen=True)
class Code:
    """A name as it is typed: a command, a column, a query."""

    text: str


@dataclass(frozen=True)
class Token:
    """A token of a vocabulary; its spaces are shown too. None is one whose text is not known."""

    text: str | None


@dataclass(frozen=True)
class Strong:
    """Words that are more important than those around them."""

    text: str


@dataclass(frozen=True)
class Mark:
    """The part of an excerpt that the rest is there for, such as the token at a peak."""

    text: str


@dataclass(frozen=True)
class Faint:
    """What may be passed over: units, ranges, remarks."""

    text: str


@dataclass(frozen=True)
class ClassName:
    """A read-write class; a page shows its colour beside its name."""

    name: str


@dataclass(frozen=True)
class Link:
    """Words that lead somewhere: to an address, or with `#` to a heading of the document.

    Raises:
        UsageError: for an address that does not begin as `ALLOWED_LINKS` says.
    """

    text: str
    address: str

    def __post_init__(self) -> None:
        if not self.address.startswith(ALLOWED_LINKS):
            raise UsageError(f"{self.address!r} is no address: it begins with https:// or #")


Inline: TypeAlias = str | Code | Token | Strong | Mark | Faint | ClassName | Link
Text: TypeAlias = Inline | tuple[Inline, ...]


@dataclass(frozen=True)
class Heading:
    """A heading.

    Attributes:
        text: plain text.
        level: 2 for a section; 3 and 4 below it. The title of the document is level 1.
        anchor: what `Link` calls it after `#`; letters, digits and hyphens.
    """

    text: str
    level: int = 2
    anchor: str = ""


@dataclass(frozen=True)
class Paragraph:
    """A paragraph."""

    text: Text


@dataclass(frozen=True)
class Bullets:
    """A list whose order says nothing."""

    items: tuple[Text, ...]


@dataclass(frozen=True)
class Facts:
    """Names and their values."""

    rows: tuple[tuple[str, Text], ...]


@dataclass(frozen=True)
class Column:
    """A column of a table; numbers stand at its right."""

    title: str
    numeric: bool = False


@dataclass(frozen=True)
class Table:
    """A table.

    Attributes:
        columns: their titles; the same number as cells in every row.
        rows: cells; the first cell of a row is its heading if `row_headings`.
        caption: what the table shows, in a sentence.
        row_headings: whether the first column names the rows.
    """

    columns: tuple[Column, ...]
    rows: tuple[tuple[Text, ...], ...]
    caption: Text = ""
    row_headings: bool = False


@dataclass(frozen=True)
class Figure:
    """A figure as a picture.

    Attributes:
        name: name of its file without the suffix, unique in the document: letters, digits, hyphens.
        alt: what the picture shows, for who does not see it.
        image: the bytes of the picture.
        form: svg, drawn in the colours of the light theme, or png.
        caption: the line below it.
        tall: whether paper gives it more than half of a page.
    """

    name: str
    alt: str
    image: bytes = field(repr=False)
    form: Literal["svg", "png"] = "svg"
    caption: Text = ""
    tall: bool = False


@dataclass(frozen=True)
class Note:
    """A remark beside the text; a warning is one that changes how the numbers are read."""

    text: Text
    warning: bool = False


@dataclass(frozen=True)
class Listing:
    """Lines of code: SQL or a command, as they are to be copied."""

    text: str
    language: Literal["sql", "console"] = "sql"


@dataclass(frozen=True)
class Details:
    """Blocks that a page shows when they are asked for.

    Attributes:
        summary: the line that is always there.
        blocks: what it opens.
        printed: whether paper has them; else it has the summary only.
    """

    summary: Text
    blocks: tuple["Block", ...]
    printed: bool = True


Block: TypeAlias = Heading | Paragraph | Bullets | Facts | Table | Figure | Note | Listing | Details


@dataclass(frozen=True)
class Document:
    """A document.

    Attributes:
        title: its heading, plain text.
        subtitle: the line under it.
        blocks: what follows.
        footer: the last line, such as what made the document, and when.
        contents: whether sections are listed at the beginning; those that have an anchor.
    """

    title: str
    subtitle: Text
    blocks: tuple[Block, ...]
    footer: Text = ""
    contents: bool = False


def iterate_parts(text: Text) -> Iterator[Inline]:
    """Yield the inline parts of a text."""
    if isinstance(text, tuple):
        yield from text
    elif text != "":
        yield text


def iterate_blocks(blocks: Iterable[Block]) -> Iterator[Block]:
    """Yield blocks, and those that are inside of others after these."""
    for block in blocks:
        yield block
        if isinstance(block, Details):
            yield from iterate_blocks(block.blocks)


def join_texts(texts: Iterable[Text], separator: str = ", ") -> Text:
    """Return texts as one, with a separator between them."""
    parts: list[Inline] = []
    for text in texts:
        parts += [separator, *iterate_parts(text)] if parts else [*iterate_parts(text)]
    return tuple(parts)


def mark_commands(message: str) -> tuple[Inline, ...]:
    """Return a message with what stands between backticks as code."""
    parts = message.split("`")
    return tuple(Code(part) if place % 2 else part for place, part in enumerate(parts) if part)


def make_sql_details(statement: str, summary: str = "SQL") -> Details:
    """Return the statement behind a table or figure, for who wants to see it."""
    return Details(summary, (Listing(statement.strip()),), printed=False)
