"""Hostile texts in a real browser: no dialog, no element of theirs, no error in the console."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode
from urllib.request import urlopen

import pytest

from tests.neurondb.explore.hostile_database import ADDRESS, IMAGE, NAME, NAMES, build_hostile
from tests.support.browser import chromium, fits, looking, serving

chromium()

MODEL = quote(NAME, safe="")
PAIR = urlencode({"left": f"{NAME}/0.0", "right": f"{ADDRESS}/1.1"})


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with serving(build_hostile(tmp_path_factory.mktemp("hostile") / "hostile.db")) as where:
        yield where


COUNT = """() => ({
    scripts: [...document.scripts].filter((one) => !one.src.includes('/-/neurondb/')).length,
    injected: document.querySelectorAll(
        'img, iframe, object, embed, base, [onerror], [onload], [onclick]').length,
    addresses: [...document.querySelectorAll('[href], [src], [action]')].filter(
        (one) => /^\\s*(javascript|vbscript|data):/i.test(
            one.getAttribute('href') ?? one.getAttribute('src') ?? one.getAttribute('action') ?? ''
        )).length,
})"""


def _dismissed(dialogs: list[str], dialog: Any) -> None:
    dialogs.append(dialog.message)
    dialog.dismiss()


def visit(tab: Any, address: str) -> None:
    """Go to a page, scroll through it so that its charts are drawn, and look for what got in."""
    dialogs: list[str] = []
    tab.on("dialog", partial(_dismissed, dialogs))
    tab.goto(address)
    charts = tab.locator("figure.chart")
    for i in range(charts.count()):
        charts.nth(i).scroll_into_view_if_needed()
        charts.nth(i).locator(".drawn svg, .drawn canvas").first.wait_for(timeout=20_000)
    assert tab.evaluate(COUNT) == {"scripts": 0, "injected": 0, "addresses": 0}
    assert dialogs == []


SHOWN = (
    *("/", "/find?q=", f"/model/{MODEL}", f"/layer/{MODEL}/1", f"/neuron/{MODEL}/0.0"),
    *(f"/token/{MODEL}/{i}" for i in (0, 2, 7, 8)),
    *("/text/1", "/text/3", f"/pair?{PAIR}", f"/search?{urlencode({'q': repr(IMAGE)})}"),
)


@pytest.mark.parametrize("page", SHOWN, ids=range(len(SHOWN)))
def test_in_a_browser_nothing_of_it_acts(browser: Any, address: str, page: str) -> None:
    with looking(browser) as tab:
        visit(tab, address + page)
        assert fits(tab)


def test_a_chart_says_hostile_names_as_text(browser: Any, address: str) -> None:
    with looking(browser) as tab:
        visit(tab, f"{address}/neuron/{MODEL}/0.0")
        drawn = tab.locator("figure.chart .drawn svg")
        assert drawn.count() >= 1
        assert drawn.first.locator("script, image, foreignObject").count() == 0


@pytest.mark.parametrize("name", NAMES.values(), ids=["all", "javascript"])
def test_a_figure_as_a_page_of_its_own_only_draws(
    browser: Any, address: str, tmp_path: Path, name: str
) -> None:
    options = {"model": name, "layer": "0", "neuron": "0"}
    page = tmp_path / "figure.html"
    where = f"{address}/figure/neuron-distribution.html?{urlencode(options)}"
    with urlopen(where, timeout=60) as answer:
        page.write_bytes(answer.read())
    dialogs: list[str] = []

    context = browser.new_context()
    tab = context.new_page()
    tab.on("dialog", partial(_dismissed, dialogs))
    tab.goto(page.as_uri())
    tab.locator("svg, canvas").first.wait_for(timeout=20_000)
    assert tab.locator("img, [onerror], [onload]").count() == 0
    context.close()
    assert dialogs == []


@pytest.mark.parametrize("table", ["models", "tokens", "annotations"])
def test_datasettes_tables_run_nothing_of_it_either(browser: Any, address: str, table: str) -> None:
    with looking(browser) as tab:
        dialogs: list[str] = []
        tab.on("dialog", partial(_dismissed, dialogs))
        tab.goto(f"{address}/hostile/{table}")
        assert tab.locator("img, [onerror]").count() == 0
        assert dialogs == []
