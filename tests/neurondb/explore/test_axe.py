"""axe-core finds nothing wrong with the pages for people who see, point or type differently."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.neurondb.explore import axe
from tests.neurondb.explore.varied_site import DATASETTES, PAGES
from tests.support.browser import PHONE, WIDE, charts_drawn, chromium

chromium()
pytestmark = pytest.mark.slow
SCRIPT = axe.script()
SIZES = {"wide": WIDE, "phone": PHONE}
ADDRESSES = PAGES | {name: address.format("varied") for name, address in DATASETTES.items()}


@pytest.fixture(scope="module")
def tabs(browser: Any) -> Iterator[dict[str, Any]]:
    """A tab of each size, which keeps the scripts it has loaded."""
    made = {
        name: browser.new_context(viewport=size, bypass_csp=True) for name, size in SIZES.items()
    }
    yield {name: context.new_page() for name, context in made.items()}
    for context in made.values():
        context.close()


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("page", ADDRESSES)
def test_axe_finds_nothing(tabs: dict[str, Any], varied_address: str, page: str, size: str) -> None:
    """Of WCAG 2.2 to level AA, in light and dark, everything that folds unfolded."""
    tab = tabs[size]
    tab.emulate_media(color_scheme="light")
    tab.goto(varied_address + ADDRESSES[page], timeout=120_000)  # on a busy machine
    charts_drawn(tab)
    tab.evaluate("document.querySelectorAll('details').forEach((one) => (one.open = true))")
    found = axe.findings(tab, SCRIPT)
    tab.emulate_media(color_scheme="dark")
    found += axe.findings(tab, SCRIPT, "color-contrast")
    assert not found, "\n".join(map(str, found))


def test_axe_finds_what_is_wrong(tabs: dict[str, Any], varied_address: str) -> None:
    tab = tabs["phone"]
    tab.emulate_media(color_scheme="light")
    tab.goto(varied_address, timeout=120_000)
    tab.evaluate(
        """() => { document.querySelector("main").insertAdjacentHTML("beforeend",
          `<a href="#"></a><p style="color: #999; background: #888">faint</p>`);
          document.documentElement.removeAttribute("lang"); }"""
    )
    rules = {one.rule for one in axe.findings(tab, SCRIPT)}
    assert {"link-name", "color-contrast", "html-has-lang"} <= rules
