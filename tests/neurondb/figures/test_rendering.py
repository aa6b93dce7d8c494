"""Figures as files and in a browser that may not evaluate strings."""

import http.server
import json
import re
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine

from neurondb import figures
from neurondb.errors import NeuronDBError, UsageError
from neurondb.figures.documentation import make_markdown
from neurondb.figures.rendering import find_form, write_figure
from tests.neurondb.figures.specs import GATED, PARAMETERS, specification, values
from tests.support.browser import looking

POLICY = (
    "default-src 'self'; script-src 'self'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:"
)
MAGIC = {"svg": b"<svg", "png": b"\x89PNG\r\n\x1a\n", "pdf": b"%PDF-", "html": b"<!doctype html>"}


@pytest.mark.parametrize("form", MAGIC)
def test_files_begin_as_their_form_does(form: str, sample_engine: Engine) -> None:
    content = figures.render_spec(specification(sample_engine, "class-heatmap"), form)
    assert content.startswith(MAGIC[form])
    assert len(content) > 5_000


def test_json_is_the_specification(sample_engine: Engine) -> None:
    spec = specification(sample_engine, "classes-by-layer", theme="dark")
    assert json.loads(figures.render_spec(spec, "json")) == json.loads(json.dumps(spec))


def test_scale_makes_a_larger_png(sample_engine: Engine) -> None:
    spec = specification(sample_engine, "classes-by-layer")
    small, large = (figures.render_spec(spec, "png", scale) for scale in (1.0, 2.0))
    widths = [int.from_bytes(png[16:20], "big") for png in (small, large)]  # of the header
    assert widths[1] == pytest.approx(2 * widths[0], abs=2)


def test_links_without_a_site_are_left_out(sample_engine: Engine) -> None:
    local = figures.render_spec(specification(sample_engine, "class-heatmap"), "svg")
    assert b"href" not in local
    site = specification(sample_engine, "class-heatmap", base_url="https://example.org")
    assert b'href="https://example.org/search?q=' in figures.render_spec(site, "svg")


def test_another_form_is_refused(sample_engine: Engine) -> None:
    with pytest.raises(UsageError, match=r"'gif'.*svg.*png.*pdf.*html.*json"):
        figures.render_spec(specification(sample_engine, "classes-by-layer"), "gif")


def test_a_page_fetches_nothing(sample_engine: Engine) -> None:
    page = figures.render_spec(specification(sample_engine, "classes-by-layer"), "html").decode()
    assert "default-src 'none'" in page.replace("&#x27;", "'")
    assert "<link" not in page
    assert "src=" not in page.split("<body>")[0]


@pytest.mark.parametrize("name", ["a", "a.gif", "a.svg.gz"])
def test_the_suffix_says_the_form(name: str) -> None:
    with pytest.raises(UsageError, match=rf"{re.escape(name)}.*\.svg.*\.png"):
        find_form(Path(name))
    assert find_form(Path("a.SVG")) == "svg"


def test_a_file_that_cannot_be_written_leaves_what_was_there(tmp_path: Path) -> None:
    with pytest.raises(NeuronDBError, match=r"none/a\.svg"):
        write_figure(tmp_path / "none" / "a.svg", b"x")
    (tmp_path / "a.svg").write_bytes(b"old")
    write_figure(tmp_path / "a.svg", b"new")
    assert [path.name for path in tmp_path.iterdir()] == ["a.svg"]
    assert (tmp_path / "a.svg").read_bytes() == b"new"


def test_the_page_of_documentation_has_every_figure_and_parameter() -> None:
    page = make_markdown()
    for name, figure in figures.FIGURES.items():
        section = page.split(f"\n## `{name}`\n")[1].split("\n## ")[0]
        assert all(f"`{parameter.usage}`" in section for parameter in figure.parameters)
    root = Path(__file__).resolve().parents[3]
    assert (root / "docs" / "figures.md").read_text(encoding="utf-8") == page


# --- in a browser --------------------------------------------------------------------------


class _Site(http.server.BaseHTTPRequestHandler):
    """Serves some texts under a policy that forbids evaluating strings."""

    def __init__(self, texts: dict[str, tuple[str, str]], *arguments: Any) -> None:
        self._texts = texts
        super().__init__(*arguments)

    def do_GET(self) -> None:
        kind, text = self._texts.get(self.path, ("text/plain", ""))
        self.send_response(200)
        self.send_header("Content-Type", f"{kind}; charset=utf-8")
        self.send_header("Content-Security-Policy", POLICY)
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.fixture
def address(sample_engine: Engine) -> Iterator[str]:
    """A page with every figure, each in an element of its name."""
    names = list(figures.FIGURES)
    specs = {
        name: specification(sample_engine, name, GATED, **PARAMETERS.get(name, {}))
        for name in names
    }
    calls = (f"neurondbEmbed('#{name}', specs['{name}'])" for name in names)
    script = (
        f"const specs = {json.dumps(specs)};\n"
        f"Promise.all([{', '.join(calls)}]).then(() => {{document.title = 'drawn'}}, "
        "error => {document.title = String(error)});"
    )
    body = "".join(f"<div id='{name}'></div>" for name in names)
    page = f"<!doctype html><title>…</title>{body}<script src=/vega.js></script>"
    texts = {
        "/": ("text/html", page + "<script src=/draw.js></script>"),
        "/vega.js": ("text/javascript", figures.bundle_javascript()),
        "/draw.js": ("text/javascript", script),
    }
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(_Site, texts))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    server.server_close()


def test_every_figure_is_drawn_without_evaluating_strings(address: str, browser: Any) -> None:
    with looking(browser) as tab:
        tab.goto(address)
        tab.wait_for_function("document.title !== '…'", timeout=30_000)
        assert tab.title() == "drawn"
        drawn = tab.locator("svg.marks").count()
        assert drawn == len(figures.FIGURES)
        assert tab.evaluate("typeof vegaEmbed") == "undefined"  # no other globals


def test_a_page_of_its_own_draws_itself(
    sample_engine: Engine, browser: Any, tmp_path: Path
) -> None:
    page = tmp_path / "figure.html"
    spec = specification(sample_engine, "frequency-against-cosine", theme="dark")
    page.write_bytes(figures.render_spec(spec, "html"))
    context = browser.new_context()
    tab = context.new_page()
    wrong: list[str] = []
    tab.on("console", lambda message: wrong.append(message.text) if message.type == "error" else 0)
    tab.on("pageerror", lambda error: wrong.append(str(error)))
    tab.goto(page.as_uri())
    tab.locator("svg.marks").wait_for(timeout=20_000)
    context.close()
    assert wrong == []


def test_expressions_stay_few_and_plain(sample_engine: Engine) -> None:
    for name in figures.FIGURES:
        spec = specification(sample_engine, name, **PARAMETERS.get(name, {}))
        for expression in values(spec, "calculate"):
            assert "http" not in expression
