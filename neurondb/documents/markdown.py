"""A document as Markdown as GitHub reads it, with its figures as files beside it."""

import re
from collections.abc import Callable, Iterable
from typing import Any, Final, NamedTuple

from neurondb.documents.html import write_text
from neurondb.documents.markup import (
    Block,
    Bullets,
    ClassName,
    Code,
    Details,
    Document,
    Facts,
    Faint,
    Figure,
    Heading,
    Inline,
    Link,
    Listing,
    Mark,
    Note,
    Paragraph,
    Strong,
    Table,
    Text,
    Token,
    iterate_blocks,
    iterate_parts,
)
from neurondb.formatting.text import make_visible

FIGURES_FOLDER: Final = "figures"
_SPECIAL: Final = re.compile(r"[\\`*\[\]<>&|~$#]|(?<![^\W_])_|_(?![^\W_])")
"""Signs that act anywhere; `_` does not between letters or digits, as in names of columns."""
_BLOCK_START: Final = re.compile(r"^(?=[+=-])|^(\d+)(?=[.)])")
"""Signs that make a list or a rule where a line begins with them."""
_ADDRESS: Final = re.compile(r"(?<=[a-z])://|(?<=www)\.|@", re.IGNORECASE)
"""What GitHub makes a link of in running text: addresses, and names of its users."""
_UNSAFE_IN_CODE: Final = re.compile(r"[`|\\]")


class MarkdownFiles(NamedTuple):
    """A document in Markdown.

    Attributes:
        text: the Markdown.
        figures: path of each figure's file, relative to that of the Markdown, and its bytes.
    """

    text: str
    figures: dict[str, bytes]


def write_markdown(document: Document) -> MarkdownFiles:
    """Return the text and the files of its figures, which lie in `FIGURES_FOLDER`."""
    parts = [f"# {_escape(document.title)}", _write_text(document.subtitle)]
    if document.contents:
        parts.append(_write_contents(document))
    parts.append(_write_blocks(document.blocks))
    if document.footer:
        parts += ["---", _write_text(document.footer)]
    figures = {
        _name_file(block): block.image
        for block in iterate_blocks(document.blocks)
        if isinstance(block, Figure)
    }
    return MarkdownFiles("\n\n".join(part for part in parts if part) + "\n", figures)


def _name_file(block: Figure) -> str:
    return f"{FIGURES_FOLDER}/{block.name}.{block.form}"


def _write_contents(document: Document) -> str:
    return "\n".join(
        f"- [{_escape(block.text)}](#{block.anchor})"
        for block in document.blocks
        if isinstance(block, Heading) and block.level == 2 and block.anchor
    )


def _escape(text: str) -> str:
    """Return a text that Markdown shows as it is, on one line."""
    escaped = _SPECIAL.sub(lambda sign: "\\" + sign[0], make_visible(text))
    return _ADDRESS.sub(lambda sign: f"&#{ord(sign[0][0])};{sign[0][1:]}", escaped)


def _write_cell(text: Text) -> str:
    """Return a text for within a line, where nothing makes a list or a rule of its first sign."""
    return "".join(map(_write_inline, iterate_parts(text)))


def _write_text(text: Text) -> str:
    """Return a text that begins a line."""
    written = _write_cell(text)
    first = next(iterate_parts(text), "")
    if isinstance(first, str):
        written = _BLOCK_START.sub(lambda sign: (sign[1] or "") + "\\", written)
    return written


def _write_inline(part: Inline) -> str:
    match part:
        case str():
            return _escape(part)
        case Token(text):
            return _write_code("?" if text is None else make_visible(text, spaces=True))
        case Code(text):
            return _write_code(make_visible(text))
        case Strong(text) | Mark(text):
            # Stars would need letters beside them, which an excerpt may not have.
            return f"<b>{_escape(text)}</b>"
        case Faint(text) | ClassName(text):
            return _escape(text)
        case Link(text, address):
            target = re.sub(r"[\s<>()\\]", lambda sign: f"%{ord(sign[0]):02x}", address)
            return f"[{_escape(text)}]({target})"


def _write_code(text: str) -> str:
    """Return text as code; signs that would end it, or a cell of a table, as references."""
    if text.strip() and not _UNSAFE_IN_CODE.search(text):
        return f"`{text}`"
    signs = (c if c.isalnum() or not c.isascii() else f"&#{ord(c)};" for c in text)
    return f"<code>{''.join(signs)}</code>"


def _write_blocks(blocks: Iterable[Block]) -> str:
    return "\n\n".join(_WRITERS[type(block)](block) for block in blocks)


def _write_heading(block: Heading) -> str:
    anchor = f'<a id="{block.anchor}"></a>\n\n' if block.anchor else ""
    return f"{anchor}{'#' * block.level} {_escape(block.text)}"


def _write_paragraph(block: Paragraph) -> str:
    return _write_text(block.text)


def _write_bullets(block: Bullets) -> str:
    return "\n".join(f"- {_write_text(item)}" for item in block.items)


def _write_facts(block: Facts) -> str:
    rows = ((_escape(name), _write_cell(value)) for name, value in block.rows)
    return _write_rows(("", ""), (":--", ":--"), rows)


def _write_table(block: Table) -> str:
    titles = [_escape(column.title) for column in block.columns]
    aligned = ["--:" if column.numeric else ":--" for column in block.columns]
    caption = f"{_write_text(block.caption)}\n\n" if block.caption else ""
    return caption + _write_rows(titles, aligned, (map(_write_cell, row) for row in block.rows))


def _write_rows(
    titles: Iterable[str], aligned: Iterable[str], rows: Iterable[Iterable[str]]
) -> str:
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (titles, aligned, *rows))


def _write_figure(block: Figure) -> str:
    caption = f"\n\n{_write_text(block.caption)}" if block.caption else ""
    return f"![{_escape(block.alt)}]({_name_file(block)}){caption}"


def _write_note(block: Note) -> str:
    return f"> {'**Note.** ' if block.warning else ''}{_write_text(block.text)}"


def _write_listing(block: Listing) -> str:
    lines = [make_visible(line) for line in block.text.splitlines()]
    longest = max((len(run) for line in lines for run in re.findall(r"`+", line)), default=0)
    fence = "`" * max(3, longest + 1)
    return "\n".join((f"{fence}{block.language}", *lines, fence))


def _write_details(block: Details) -> str:
    summary = write_text(block.summary)  # no Markdown is read between tags of blocks
    return f"<details><summary>{summary}</summary>\n\n{_write_blocks(block.blocks)}\n\n</details>"


_WRITERS: Final[dict[type, Callable[[Any], str]]] = {
    Heading: _write_heading,
    Paragraph: _write_paragraph,
    Bullets: _write_bullets,
    Facts: _write_facts,
    Table: _write_table,
    Figure: _write_figure,
    Note: _write_note,
    Listing: _write_listing,
    Details: _write_details,
}
