"""The pages for people who see, point or type differently: the keyboard, names, less motion."""

from typing import Any

import pytest

from tests.neurondb.explore.varied_site import FULL, LLAMA, PAGES
from tests.support.browser import PHONE, WIDE, charts_drawn, chromium, looking

chromium()
NEURON = PAGES["neuron"]
STOPS = """() => [...document.querySelectorAll(
    "a[href], button, input:not([type=hidden]), select, textarea, summary, [tabindex]")]
  .filter((one) => one.tabIndex >= 0 && one.checkVisibility({contentVisibilityAuto: true})
    && one.getClientRects().length)"""
"""What the Tab key should come to, from the page's markup."""


@pytest.mark.parametrize("page", ["home", "neuron", "token", "found in a model"])
def test_the_tab_key_comes_to_everything_and_is_seen(
    browser: Any, varied_address: str, page: str
) -> None:
    with looking(browser, size=PHONE) as tab:
        tab.goto(varied_address + PAGES[page])
        charts_drawn(tab)
        tab.evaluate("scrollTo(0, 0)")
        expected = tab.evaluate(f"({STOPS})().length")
        tab.evaluate("window.seen = new Set()")
        for _ in range(expected + 5):
            tab.keyboard.press("Tab")
            outlined = tab.evaluate(
                """() => { const at = document.activeElement; if (at === document.body) return null;
                  window.seen.add(at); const look = getComputedStyle(at);
                  return look.outlineStyle !== "none" && parseFloat(look.outlineWidth) >= 2; }"""
            )
            if outlined is None:
                break
            assert outlined, tab.evaluate("document.activeElement.outerHTML.slice(0, 300)")
        missed = tab.evaluate(
            f"({STOPS})().filter((one) => !window.seen.has(one)).map((one) => one.outerHTML)"
        )
        assert not missed, missed[:5]


def test_only_boxes_that_scroll_are_stops_of_the_keyboard(
    browser: Any, varied_address: str
) -> None:
    inside = """() => [...document.querySelectorAll(".scroll")]
      .filter((one) => one.checkVisibility()).map((box) =>
      [box.scrollWidth > box.clientWidth || box.scrollHeight > box.clientHeight,
       box.tabIndex === 0 && box.getAttribute("role") === "region" && !!box.ariaLabel])"""
    for size in (WIDE, PHONE):
        with looking(browser, size=size) as tab:
            tab.goto(varied_address + NEURON)
            tab.wait_for_timeout(200)
            found = tab.evaluate(inside)
            assert all(scrolls == stop for scrolls, stop in found), found
    assert any(scrolls for scrolls, _ in found)
    with looking(browser, size=PHONE, java_script_enabled=False) as tab:
        tab.goto(varied_address + NEURON)
        boxes = tab.locator(".scroll")
        assert boxes.count() == tab.locator(".scroll[tabindex='0'][role=region]").count() > 0


def test_charts_and_their_menus_have_names(browser: Any, varied_address: str) -> None:
    with looking(browser) as tab:
        tab.goto(f"{varied_address}/layer/{LLAMA}/1")
        assert charts_drawn(tab) == 2
        names = tab.locator("[role=graphics-document]").evaluate_all(
            "all => all.map((one) => one.ariaLabel)"
        )
        assert names[0].startswith(f"Neurons of layer 1 by their cosines. {LLAMA} · ")
        menus = tab.get_by_label("Save the chart")
        assert menus.count() == 2
        menus.first.focus()
        tab.keyboard.press("Enter")
        assert tab.locator(".vega-actions a").first.is_visible()


def test_titles_of_charts_stay_in_view_on_a_phone(browser: Any, varied_address: str) -> None:
    with looking(browser, size=PHONE) as tab:
        tab.goto(f"{varied_address}/model/{LLAMA}")
        charts_drawn(tab)
        cut = tab.evaluate(
            """() => [...document.querySelectorAll(".drawn")].flatMap((drawn) =>
              [...drawn.querySelectorAll(".role-title text, .role-legend text")].filter((text) =>
                text.getBoundingClientRect().right > drawn.getBoundingClientRect().right)
              .map((text) => text.textContent))"""
        )
        assert not cut


def test_keys_can_be_turned_off(browser: Any, varied_address: str) -> None:
    """WCAG 2.1.4: a key of one letter must be possible to turn off."""
    with looking(browser) as tab:
        tab.goto(varied_address + NEURON)
        tab.keyboard.press("?")
        tab.get_by_label("use these keys").uncheck()
        tab.get_by_role("button", name="Close").click()
        for key in ("j", "/", "?"):
            tab.keyboard.press(key)
        tab.wait_for_timeout(200)
        assert tab.url.endswith(f"/{FULL}.0")
        assert tab.locator("dialog").count() == 0
        assert tab.evaluate("document.activeElement.id") != "q"
        tab.reload()
        tab.keyboard.press("j")
        tab.wait_for_timeout(200)
        assert tab.url.endswith(f"/{FULL}.0")
        tab.get_by_role("button", name="keys").click()
        tab.get_by_label("use these keys").check()
        tab.keyboard.press("Escape")
        tab.keyboard.press("j")
        tab.wait_for_url(f"**/{FULL}.1")


def test_nothing_moves_for_whoever_wants_less_motion(browser: Any, varied_address: str) -> None:
    moving = """() => [getComputedStyle(document.documentElement).scrollBehavior,
      ...[...document.querySelectorAll("*")].map((one) => getComputedStyle(one))
        .filter((look) => parseFloat(look.transitionDuration) || look.animationName !== "none")
        .map((look) => look.transition)]"""
    with looking(browser, reduced_motion="reduce") as tab:
        tab.goto(varied_address + NEURON)
        tab.locator("#examples").evaluate("one => one.setAttribute('aria-busy', 'true')")
        assert tab.evaluate(moving) == ["auto"]


def test_menus_of_datasettes_columns_open_by_keyboard(browser: Any, varied_address: str) -> None:
    with looking(browser) as tab:
        tab.goto(f"{varied_address}/varied/models")
        tab.get_by_role("button", name="actions on name", exact=True).focus()
        tab.keyboard.press("Enter")
        assert tab.get_by_role("link", name="Sort ascending").is_visible()
