"""The pages in a real browser: nothing goes wrong, charts are drawn, it fits, keys work."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.browser import PHONE, charts_drawn, chromium, fits, looking, serving
from tests.support.sample_facts import Sample

chromium()

LLAMA, GPT = "sample-llama", "sample-gpt"
PAGES = {
    "/": 0,
    "/find?q=weakening": 0,
    f"/model/{LLAMA}": 7,
    f"/model/{GPT}": 7,
    f"/layer/{LLAMA}/1": 2,
    f"/pair?left={LLAMA}/0.1&right={LLAMA}/0.2": 0,
}
"""Page → charts on it."""


@pytest.fixture(scope="module")
def address(sample: Sample) -> Iterator[str]:
    with serving(sample.path) as where:
        yield where


@pytest.mark.parametrize("page", PAGES)
def test_charts_are_drawn_and_nothing_goes_wrong(browser: Any, address: str, page: str) -> None:
    with looking(browser) as tab:
        tab.goto(address + page)
        assert charts_drawn(tab) == PAGES[page]
        assert fits(tab)


@pytest.mark.parametrize("page", PAGES)
def test_a_phone_need_not_scroll_sideways(browser: Any, address: str, page: str) -> None:
    with looking(browser, size=PHONE) as tab:
        tab.goto(address + page)
        charts_drawn(tab)
        assert fits(tab)


def test_charts_follow_the_theme(browser: Any, address: str) -> None:
    with looking(browser, color_scheme="dark") as tab:
        tab.goto(f"{address}/layer/{LLAMA}/1")
        charts_drawn(tab)
        dark = _colours(tab)
        tab.emulate_media(color_scheme="light")
        for _ in range(100):
            if _colours(tab)[1] != dark[1]:
                break
            tab.wait_for_timeout(100)
        assert not set(_colours(tab)) & set(dark)


def _colours(tab: Any) -> list[str]:
    """Return the colours of the page's ground and of its first chart's title."""
    ground = "getComputedStyle(document.documentElement).backgroundColor"
    title = "document.querySelector('.drawn .role-title-text text')?.getAttribute('fill')"
    found: list[str] = tab.evaluate(f"[{ground}, {title} ?? 'none']")
    return found


def test_search_finds(browser: Any, address: str) -> None:
    with looking(browser) as tab:
        tab.goto(address)
        tab.keyboard.press("/")
        tab.keyboard.type(f"orthogonal model={LLAMA}")
        tab.keyboard.press("Enter")
        tab.wait_for_url("**/find?q=*")
        assert "neurons" in tab.locator("h1").inner_text()
        assert tab.locator("#q").input_value() == f"orthogonal model={LLAMA}"


def test_a_click_on_a_heading_orders(browser: Any, address: str) -> None:
    with looking(browser) as tab:
        tab.goto(f"{address}/find?q=model%3D{LLAMA}")
        tab.get_by_role("link", name="cos(in, out)").click()
        tab.wait_for_url("**order=-in_out")
        headings = tab.locator("table.neurons thead th").all_inner_texts()
        place = 1 + next(i for i, said in enumerate(headings) if "cos(in, out)" in said)
        values = tab.locator(f"table.neurons tbody tr :nth-child({place})").all_inner_texts()
        numbers = [float(value.strip()) for value in values]
        assert numbers == sorted(numbers, reverse=True)


def test_keys_walk_through_the_layers(browser: Any, address: str) -> None:
    with looking(browser) as tab:
        tab.goto(f"{address}/layer/{LLAMA}/1")
        tab.keyboard.press("j")
        tab.wait_for_url(f"**/layer/{LLAMA}/2")
        tab.keyboard.press("k")
        tab.wait_for_url(f"**/layer/{LLAMA}/1")
        tab.locator("#q").focus()
        tab.keyboard.press("j")  # a letter, while somebody types
        assert tab.locator("#q").input_value() == "j"


def test_a_question_mark_tells_the_keys(browser: Any, address: str) -> None:
    with looking(browser) as tab:
        tab.goto(f"{address}/layer/{LLAMA}/1")
        tab.keyboard.press("?")
        keys = tab.locator("dialog kbd").all_inner_texts()
        assert {"/", "j", "k", "?"} <= set(keys)
        tab.keyboard.press("Escape")
        assert tab.locator("dialog").count() == 0


def test_without_scripts_figures_are_pictures(browser: Any, address: str) -> None:
    with looking(browser, java_script_enabled=False) as tab:
        tab.goto(f"{address}/layer/{LLAMA}/1")
        picture = tab.locator("figure.chart img").first
        picture.scroll_into_view_if_needed()
        assert picture.get_attribute("alt")
        assert picture.bounding_box()["height"] > 50


def test_the_first_tab_stop_skips_to_the_content(browser: Any, address: str) -> None:
    with looking(browser) as tab:
        tab.goto(address)
        tab.keyboard.press("Tab")
        tab.keyboard.press("Enter")
        tab.wait_for_url("**#main")


def test_datasettes_pages_work_under_their_policy(browser: Any, address: str) -> None:
    with looking(browser) as tab:
        for page in ("/sample", "/sample/neuron_overview", "/sample/class-counts-by-layer"):
            tab.goto(address + page)
            assert tab.locator("h1").count() == 1


def _luminance(colour: str) -> float:
    channels = [int(part) / 255 for part in colour[4:-1].split(",")[:3]]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_from_its_ground(browser: Any, address: str, scheme: str) -> None:
    """WCAG 2: a ratio of 4.5 at least, of every text colour on every ground."""
    properties = "['ink', 'faint', 'accent', 'warn', 'error', 'ground', 'raised', 'sunken']"
    script = f"""() => Object.fromEntries({properties}.map((name) => {{
        const probe = document.createElement('i');
        probe.style.color = `var(--${{name}})`;
        document.body.append(probe);
        return [name, getComputedStyle(probe).color];
    }}))"""
    with looking(browser, color_scheme=scheme) as tab:
        tab.goto(address)
        colours = {name: _luminance(value) for name, value in tab.evaluate(script).items()}
    for ground in ("ground", "raised", "sunken"):
        for text in ("ink", "faint", "accent", "warn", "error"):
            low, high = sorted((colours[ground], colours[text]))
            assert (high + 0.05) / (low + 0.05) >= 4.5, (text, ground)


def test_panels_fill_their_card_and_stay_in_it(browser: Any, address: str) -> None:
    for width in (1280, 390):
        with looking(browser, size={"width": width, "height": 900}) as tab:
            tab.goto(f"{address}/model/sample-llama")
            charts_drawn(tab)
            shares = tab.evaluate(
                """() => ["median-cosines-by-layer", "frequency-against-cosine"].map((name) => {
                  const drawn = document.querySelector(`#${name} .drawn`);
                  return drawn.querySelector("svg").getBoundingClientRect().width
                    / drawn.getBoundingClientRect().width; })"""
            )
        assert all(0.6 < share <= 1.05 for share in shares), (width, shares)
