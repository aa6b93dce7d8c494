"""A document as one page of HTML: no script, nothing loaded, for a screen and for paper."""

from base64 import b64encode
from collections.abc import Callable, Iterable
from functools import cache
from html import escape
from pathlib import Path
from typing import Any, Final

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
    iterate_parts,
)
from neurondb.documents.svg import make_dark_rules, prepare_svg
from neurondb.figures.palette import choose_class_colours
from neurondb.formatting.text import make_visible

_STYLESHEET: Final = Path(__file__).with_name("document.css")
_PAGE: Final = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta http-equiv="Content-Security-Policy"
 content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<title>{title}</title>
<style>
{style}</style>
</head>
<body>
<header>
<h1>{title}</h1>
<p class="sub">{subtitle}</p>
</header>
{contents}<main>
{body}
</main>
{footer}</body>
</html>
"""


def write_html(document: Document) -> str:
    """Return the page; it is all in it, and opens from a disk."""
    footer = f"<footer><p>{write_text(document.footer)}</p></footer>\n" if document.footer else ""
    return _PAGE.format(
        title=_escape(document.title),
        style=make_stylesheet(),
        subtitle=write_text(document.subtitle),
        contents=_write_contents(document) if document.contents else "",
        body=write_blocks(document.blocks),
        footer=footer,
    )


@cache
def make_stylesheet() -> str:
    """Return the page's one stylesheet, with the colours of classes and figures."""
    light = write_class_rules(choose_class_colours("light"))
    dark = write_class_rules(choose_class_colours("dark"))
    style = _STYLESHEET.read_text(encoding="utf-8")
    return (
        f"{style}\n{light}\n@media screen and (prefers-color-scheme: dark) {{\n"
        f"{dark}\n{make_dark_rules()}\n}}\n"
    )


def write_class_rules(colours: dict[str, str]) -> str:
    """Return the style that gives read-write classes their colours."""
    return "\n".join(
        f".{_name_class(name)} {{ --class: {colour}; }}" for name, colour in colours.items()
    )


def _name_class(name: str) -> str:
    words = "".join(c if c.isalnum() else "-" for c in name)
    return f"class-{words}"


def _escape(text: str) -> str:
    return escape(make_visible(text))


def _write_contents(document: Document) -> str:
    links = "\n".join(
        f'<li><a href="#{escape(block.anchor)}">{_escape(block.text)}</a></li>'
        for block in document.blocks
        if isinstance(block, Heading) and block.level == 2 and block.anchor
    )
    return f'<nav aria-label="Contents"><ol>\n{links}\n</ol></nav>\n'


def write_text(text: Text) -> str:
    """Return a text as HTML, safe to stand between tags."""
    return "".join(map(_write_inline, iterate_parts(text)))


def _write_inline(part: Inline) -> str:
    match part:
        case str():
            return _escape(part)
        case Token(text):
            shown = "?" if text is None else make_visible(text, spaces=True)
            return f'<code class="token">{escape(shown)}</code>'
        case Code(text):
            return f"<code>{_escape(text)}</code>"
        case Strong(text):
            return f"<strong>{_escape(text)}</strong>"
        case Mark(text):
            return f"<mark>{_escape(text)}</mark>"
        case Faint(text):
            return f'<span class="faint">{_escape(text)}</span>'
        case ClassName(name):
            return f'<span class="class {_name_class(name)}">{_escape(name)}</span>'
        case Link(text, address):
            return f'<a href="{escape(address)}">{_escape(text)}</a>'


def write_blocks(blocks: Iterable[Block]) -> str:
    """Return blocks as HTML, one after the other."""
    return "\n".join(_WRITERS[type(block)](block) for block in blocks)


def _write_heading(block: Heading) -> str:
    anchor = f' id="{escape(block.anchor)}"' if block.anchor else ""
    return f"<h{block.level}{anchor}>{_escape(block.text)}</h{block.level}>"


def _write_paragraph(block: Paragraph) -> str:
    return f"<p>{write_text(block.text)}</p>"


def _write_bullets(block: Bullets) -> str:
    items = "\n".join(f"<li>{write_text(item)}</li>" for item in block.items)
    return f"<ul>\n{items}\n</ul>"


def _write_facts(block: Facts) -> str:
    rows = "\n".join(
        f"<dt>{_escape(name)}</dt><dd>{write_text(value)}</dd>" for name, value in block.rows
    )
    return f'<dl class="facts">\n{rows}\n</dl>'


def _write_table(block: Table) -> str:
    caption = f"<caption>{write_text(block.caption)}</caption>\n" if block.caption else ""
    numeric = [' class="n"' if column.numeric else "" for column in block.columns]
    heads = "".join(
        f'<th scope="col"{kind}>{_escape(column.title)}</th>'
        for column, kind in zip(block.columns, numeric, strict=True)
    )
    rows = "\n".join(_write_row(row, numeric, block.row_headings) for row in block.rows)
    return (
        f'<div class="scroll" tabindex="0"><table>\n{caption}<thead><tr>{heads}</tr></thead>\n'
        f"<tbody>\n{rows}\n</tbody>\n</table></div>"
    )


def _write_row(row: tuple[Text, ...], numeric: list[str], row_headings: bool) -> str:
    cells = [
        f'<th scope="row"{kind}>{write_text(cell)}</th>'
        if row_headings and place == 0
        else f"<td{kind}>{write_text(cell)}</td>"
        for place, (cell, kind) in enumerate(zip(row, numeric, strict=True))
    ]
    return f"<tr>{''.join(cells)}</tr>"


def _write_figure(block: Figure) -> str:
    alt = _escape(block.alt)
    if block.form == "svg":
        picture = (
            f'<div class="drawn" role="img" aria-label="{alt}">'
            f"{prepare_svg(block.image, block.name)}</div>"
        )
    else:
        data = b64encode(block.image).decode()
        picture = f'<img src="data:image/png;base64,{data}" alt="{alt}">'
    caption = f"\n<figcaption>{write_text(block.caption)}</figcaption>" if block.caption else ""
    tall = ' class="tall"' if block.tall else ""
    return f'<figure id="figure-{escape(block.name)}"{tall}>\n{picture}{caption}\n</figure>'


def _write_note(block: Note) -> str:
    kind = "warning" if block.warning else "note"
    return f'<p class="{kind}">{write_text(block.text)}</p>'


def _write_listing(block: Listing) -> str:
    lines = "\n".join(make_visible(line) for line in block.text.splitlines())
    return f"<pre><code>{escape(lines)}</code></pre>"


def _write_details(block: Details) -> str:
    kind = "" if block.printed else ' class="screen"'
    return (
        f"<details{kind}><summary>{write_text(block.summary)}</summary>\n"
        f"{write_blocks(block.blocks)}\n</details>"
    )


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
