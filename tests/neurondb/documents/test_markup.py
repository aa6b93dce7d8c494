"""What documents are made of becomes a page and Markdown, in which nothing else is markup."""

import xml.dom.minidom

import pytest

from neurondb.documents.html import write_html
from neurondb.documents.markdown import write_markdown
from neurondb.documents.markup import (
    Bullets,
    ClassName,
    Code,
    Column,
    Details,
    Document,
    Facts,
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
    Token,
    join_texts,
)
from neurondb.errors import UsageError
from tests.neurondb.documents.pages import OUR_TAGS, PARSER, read_page, read_tags

HOSTILE = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "a|b`c\\|d",
    "**bold** _x_ [l](javascript:x) # no ~~~",
    "line\n# heading\n\n- item",
    "\x1b[31m\u202eevil",
    "https://evil.example www.evil.example @user",
    "&lt;&#60;",
)
SVG = (
    b'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
    b'viewBox="0 0 9 9"><defs><clipPath id="clip0"><rect x="0.123456789" width="9"/></clipPath>'
    b'</defs><a xlink:href="https://evil.example"><g clip-path="url(#clip0)" onclick="x()" '
    b'aria-label="mark"/></a><script>alert(1)</script></svg>'
)


def make_document(text: str) -> Document:
    parts: tuple[Inline, ...] = (
        *(text, Code(text), Token(text), Strong(text), Mark(text), ClassName(text)),
        Link(text, "#there"),
    )
    return Document(
        title=text,
        subtitle=parts,
        blocks=(
            Heading(text, 2, "there"),
            Paragraph(parts),
            Bullets((parts, text)),
            Facts(((text, parts),)),
            Table((Column(text), Column("n", True)), ((parts, "1"),), parts, True),
            Figure("one", text, SVG, caption=parts),
            Figure("two", text, b"\x89PNG", "png"),
            Note(parts),
            Note(text, warning=True),
            Details(text, (Listing(text), Paragraph(text))),
        ),
        footer=parts,
        contents=True,
    )


HARMLESS = read_page(write_html(make_document("plain"))).elements


@pytest.mark.parametrize("text", HOSTILE)
def test_no_text_becomes_an_element_of_the_page(text: str) -> None:
    page = read_page(write_html(make_document(text)))
    assert [tag for tag, _ in page.elements] == [tag for tag, _ in HARMLESS]
    assert "script" not in dict(page.elements)
    assert not any(key.startswith("on") for _, attributes in page.elements for key in attributes)
    assert "\x1b" not in page.text
    assert "\u202e" not in page.text


@pytest.mark.parametrize("text", HOSTILE)
def test_no_text_becomes_markup_in_markdown(text: str) -> None:
    def kinds(of: str) -> list[str]:
        tokens = PARSER.parse(write_markdown(make_document(of)).text)
        parts = [*tokens, *(child for token in tokens for child in token.children or ())]
        return [f"{part.type} {part.tag}" for part in parts if part.type not in IGNORED]

    assert kinds(text) == kinds("plain")
    assert read_tags(write_markdown(make_document(text)).text) <= OUR_TAGS


IGNORED = ("text", "text_special", "code_inline", "html_inline")
"""Hostile code is written as an element with references in it, plain code between backticks."""


def test_svg_of_several_figures_share_no_ids_and_keep_no_link() -> None:
    page = write_html(Document("t", "", (Figure("a", "x", SVG), Figure("b", "y", SVG))))
    ids = [attributes["id"] for _, attributes in read_page(page).elements if "id" in attributes]
    assert ids == ["figure-a", "a-clip0", "figure-b", "b-clip0"]
    assert "url(#a-clip0)" in page
    assert "evil.example" not in page
    assert 'x="0.12"' in page


def test_markdown_names_the_files_of_its_figures() -> None:
    written = write_markdown(make_document("plain"))
    assert set(written.figures) == {"figures/one.svg", "figures/two.png"}
    assert all(f"]({path})" in written.text for path in written.figures)
    xml.dom.minidom.parseString(written.figures["figures/one.svg"])


def test_tables_align_numbers() -> None:
    table = Table((Column("a"), Column("n", True)), (("x", "1"),))
    assert '<td class="n">1</td>' in write_html(Document("t", "", (table,)))
    assert "| :-- | --: |\n| x | 1 |" in write_markdown(Document("t", "", (table,))).text


def test_tokens_show_their_spaces_and_what_is_missing() -> None:
    tokens = join_texts((Token(" dog"), Token("\n"), Token(None)))
    assert write_markdown(Document("t", "", (Paragraph(tokens),))).text.endswith(
        "`␣dog`, `⏎`, `?`\n"
    )


@pytest.mark.parametrize("address", ["javascript:alert(1)", "file:///etc/passwd", "data:x"])
def test_links_lead_to_the_web_or_into_the_document(address: str) -> None:
    with pytest.raises(UsageError, match="no address"):
        Link("x", address)
