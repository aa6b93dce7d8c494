"""The documentation builds without a warning, and needs nothing from elsewhere to be read."""

import os
import re
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

pytest.importorskip("mkdocs", reason="the extra docs is not installed")
from docs.python_reference import write_docstring
from docs.site_hooks import AROUND, find_targets, is_copied, turn_links
from tests.support.browser import chromium

ROOT = Path(__file__).resolve().parents[1]
LOADED = {"script": "src", "img": "src", "iframe": "src", "source": "src"}
"""Elements that a browser fetches, and the attribute that says what; and <link>, but these two."""
NAMED_ONLY = {"canonical", "prev", "next"}


class Parsed(HTMLParser):
    """What a page loads, where it links to, and the names within it that a link may have."""

    def __init__(self, page: Path) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.links: list[str] = []
        self.names: set[str] = set()
        self.feed(page.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attributes}
        self.names |= {given[name] for name in ("id", "name") if given.get(name)}
        if tag in LOADED and LOADED[tag] in given:
            self.loads.append(given[LOADED[tag]])
        if tag == "link" and not NAMED_ONLY & set(given.get("rel", "").split()):
            self.loads.append(given["href"])
        if tag == "a" and "href" in given:
            self.links.append(given["href"])


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    built = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir"]
    done = subprocess.run(
        [*command, str(built)],
        cwd=ROOT,
        env=os.environ | {"NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return built


@cache
def parse(page: Path) -> Parsed:
    return Parsed(page)


def pages(site: Path) -> Iterator[Path]:
    return (page for page in site.rglob("*.html") if page.name != "404.html")


def test_every_page_of_the_repository_is_in_the_site(site: Path) -> None:
    docs = {file.relative_to(ROOT / "docs") for file in (ROOT / "docs").rglob("*.md")}
    wanted = {
        file.with_name("index.html") if file.name == "README.md" else file.with_suffix(".html")
        for file in docs | set(map(Path, AROUND.values()))
    }
    assert wanted == {page.relative_to(site) for page in pages(site)}


def test_nothing_is_loaded_from_elsewhere(site: Path) -> None:
    found = defaultdict(set)
    for page in pages(site):
        for address in parse(page).loads:
            if urlsplit(address).netloc:
                found[address].add(page.name)
    assert found == {}
    for style in site.rglob("*.css"):
        assert "url(http" not in style.read_text(encoding="utf-8")


def test_links_and_their_anchors_lead_somewhere(site: Path) -> None:
    dead = []
    for page in pages(site):
        for address in {*parse(page).links, *parse(page).loads}:
            parts = urlsplit(address)
            if parts.scheme or parts.netloc:
                continue
            target = (page.parent / unquote(parts.path)).resolve() if parts.path else page
            names = parse(target).names if target.suffix == ".html" and target.exists() else set()
            if not target.exists() or (parts.fragment and unquote(parts.fragment) not in names):
                dead.append((page.name, address))
    assert dead == []


def test_no_page_is_called_as_the_site_twice(site: Path) -> None:
    titles = [
        re.findall("<title>(.*?)</title>", page.read_text("utf-8"))[0] for page in pages(site)
    ]
    assert "A database of language-model neurons - NeuronDB" in titles
    assert all(title.count("NeuronDB") == 1 for title in titles)


def test_search_finds_pages_that_are_opened_from_a_disk(site: Path) -> None:
    from playwright.sync_api import expect, sync_playwright

    executable = chromium()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=["--no-sandbox"])
        tab = browser.new_page()
        errors: list[str] = []
        tab.on("pageerror", lambda error: errors.append(str(error)))
        tab.goto((site / "commands" / "import.html").as_uri())
        box = tab.get_by_role("textbox", name="Search")
        box.focus()
        box.press_sequentially("keep and send")
        found = tab.locator(".md-search-result__link", has_text="Tutorial").first
        expect(found).to_be_attached()
        found.evaluate("(link) => link.click()")
        expect(tab).to_have_title("Tutorial - NeuronDB")
        browser.close()
    assert errors == []


# --- the links of pages -------------------------------------------------------------------------


def test_links_become_those_of_the_site() -> None:
    page = "[a](../README.md#try-it), [b](commands/show.md), [c](https://x.y/README.md), [d](#here)"
    assert turn_links(page, "find.md") == page.replace("../README.md", "index.md")
    assert turn_links("[a](docs/find.md)", "index.md") == "[a](find.md)"
    assert turn_links("[a](../../benchmarks/RESULTS.md)", "commands/x.md") == (
        "[a](../benchmarks.md)"
    )


def test_code_keeps_its_links() -> None:
    page = "`[a](../README.md)`\n\n    [b](../README.md)\n\n```md\n[c](../README.md)\n```\n"
    assert turn_links(page, "find.md") == page
    assert find_targets("find.md", page) == set()


def test_other_files_come_along() -> None:
    assert find_targets("index.md", "[a](CITATION.cff)") == {"CITATION.cff"}
    assert is_copied("CITATION.cff")
    assert not any(map(is_copied, ("README.md", "docs/find.md", "../outside", "no-file")))


# --- docstrings ---------------------------------------------------------------------------------


def test_a_docstring_is_paragraphs_lists_and_code() -> None:
    text = """Return it.

>>> f(1)
2

Args:
    x: What is taken,
        on two lines.
    *y: More.

Returns:
    Twice
    as much.
"""
    assert list(write_docstring(text)) == [
        "Return it.",
        "```pycon\n>>> f(1)\n2\n```",
        "**Parameters**",
        "- `x`: What is taken, on two lines.\n- `*y`: More.",
        "**Returns**",
        "Twice as much.",
    ]
