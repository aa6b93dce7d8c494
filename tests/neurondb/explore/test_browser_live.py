"""The live pages in a real browser, with and without scripts, and what axe-core says of them."""

from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest

from ingest.bundled import MODEL_NAME
from tests.neurondb.explore import axe
from tests.neurondb.explore.live_site import TOKENS, copy_bundled
from tests.support.browser import PHONE, WIDE, chromium, fits, looking, serving

chromium()

PROMPT = "The capital of Norvelia is"
LIVE = f"/live/{MODEL_NAME}"
NEURON = f"/neuron/{MODEL_NAME}/3.100"
SHOWN = {
    "asking": LIVE,
    "explained": f"{LIVE}?prompt={quote(PROMPT)}&by=surprise&neuron=3.100",
    "tried": f"{NEURON}?try={quote(PROMPT)}",
}


@pytest.fixture(scope="module")
def address(browser: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    file = copy_bundled(tmp_path_factory.mktemp("served") / "live.db")
    options = ("--live", MODEL_NAME, "--live-tokens", str(TOKENS), "--device", "cpu")
    with serving(file, *options) as where:
        yield where


@pytest.mark.parametrize("scripts", [True, False])
def test_a_prompt_is_typed_a_token_chosen_and_neurons_taken_away(
    browser: Any, address: str, scripts: bool
) -> None:
    with looking(browser, java_script_enabled=scripts) as tab:
        tab.goto(address + LIVE)
        tab.get_by_label("Prompt").fill(PROMPT)
        tab.get_by_role("button", name="Run", exact=True).click()
        tokens = tab.locator(".reading a")
        assert "".join(tokens.all_inner_texts()).endswith(PROMPT)
        tokens.nth(2).click()
        assert "at=2" in tab.url
        tab.get_by_role("heading", name="Neurons at position 2").wait_for()
        rows = tab.locator("table.live-neurons tbody tr")
        assert rows.count() == 20
        first = rows.first.locator("a.neuron").inner_text()
        rows.first.locator("input").check()
        tab.get_by_role("button", name="Run again").click()
        tab.get_by_role("heading", name="before and after").wait_for()
        assert (
            f"without {first}" in tab.locator("section", has_text="before and after").inner_text()
        )
        assert tab.locator("table.live-neurons input:checked").count() == 1
        tab.locator("table.live-neurons a", has_text="colour").first.click()
        assert f"neuron={first}" in tab.url
        tab.locator("a.neuron", has_text=first).first.click()
        assert tab.url.endswith(f"/{first}")


def test_examples_are_coloured_in_place(browser: Any, address: str) -> None:
    with looking(browser) as tab:
        tab.goto(address + NEURON)
        tab.evaluate("window.here = true")
        assert tab.locator("#examples .ramp").count() == 0
        tab.locator("#colour-live").click()
        tab.locator("#examples .ramp").first.wait_for()
        assert tab.evaluate("window.here") is True
        assert tab.locator("#examples .t[title]").count() > 10


@pytest.mark.parametrize("size", [WIDE, PHONE], ids=["wide", "phone"])
@pytest.mark.parametrize("page", SHOWN)
def test_it_fits_and_axe_finds_nothing(
    browser: Any, address: str, page: str, size: dict[str, int]
) -> None:
    context = browser.new_context(viewport=size, bypass_csp=True)
    tab = context.new_page()
    tab.goto(address + SHOWN[page])
    assert fits(tab)
    if page == "explained":
        _check_changed(tab)
    script = axe.script()
    found = axe.findings(tab, script)
    tab.emulate_media(color_scheme="dark")
    found += axe.findings(tab, script, "color-contrast")
    context.close()
    assert not found, "\n".join(map(str, found))


def _check_changed(tab: Any) -> None:
    """Go on to the page of the changed run, which has everything that the one before it has."""
    tab.locator("table.live-neurons input").nth(1).check()
    tab.get_by_role("button", name="Run again").click()
    tab.get_by_role("heading", name="before and after").wait_for()
    assert fits(tab)
