"""The neuron, token and text pages in a real browser: tabs, keys, charts, both themes, a phone."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from tests.support.browser import PHONE, charts_drawn, chromium, fits, looking, serving
from tests.support.sample_facts import Sample

chromium()

NEURON = "/neuron/sample-llama/2.0"


@pytest.fixture(scope="module")
def address(
    browser: Any, sample: Sample, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    copied = shutil.copy(sample.path, tmp_path_factory.mktemp("served") / "sample.db")
    with serving(Path(copied), "--allow-annotations") as served:
        yield served


def current(tab: Any, region: str) -> str:
    chosen = tab.locator(f"{region} [data-tabs] [aria-selected=true]")
    assert chosen.count() == 1
    return str(chosen.get_attribute("id"))


def test_tabs_switch_in_place_by_click_and_by_key(browser: Any, address: str) -> None:
    with looking(browser) as tab:
        tab.goto(address + NEURON)
        before = tab.locator("#vocabulary .tokens").first.inner_text()
        tab.evaluate("window.here = true")
        tab.get_by_role("tab", name="Embedding", exact=True).click()
        tab.locator("#tab-embed[aria-selected=true]").wait_for()
        assert tab.locator("#vocabulary .tokens").first.inner_text() != before
        assert "basis=embed" in tab.url
        tab.locator("#tab-embed").focus()
        tab.keyboard.press("ArrowLeft")
        tab.locator("#tab-unembed[aria-selected=true]").wait_for()
        assert tab.locator("#vocabulary .tokens").first.inner_text() == before
        assert tab.evaluate("document.activeElement.id") == "tab-unembed"
        assert tab.evaluate("window.here") is True


def test_sign_cases_and_quantities_switch_the_examples(browser: Any, address: str) -> None:
    with looking(browser) as tab:
        tab.goto(address + NEURON)
        tab.evaluate("window.here = true")
        tab.locator(".case h3 a").nth(3).click()
        tab.locator("#tab-4[aria-selected=true]").wait_for()
        assert current(tab, "#examples") == "tab-4"
        assert "current" in str(tab.locator(".case").nth(3).get_attribute("class"))
        tab.locator("#quantity-hook_pre").click()
        tab.wait_for_url("**quantity=hook_pre*")
        values = tab.locator("#examples > .windows .amount").all_inner_texts()
        assert values == sorted(values, key=lambda text: -abs(float(text)))
        assert tab.evaluate("window.here") is True
        tab.go_back()
        tab.wait_for_load_state()
        assert "quantity=hook_post" in tab.url


def test_keys_walk_to_the_neighbours(browser: Any, address: str) -> None:
    with looking(browser) as tab:
        tab.goto(address + NEURON)
        tab.keyboard.press("j")
        tab.wait_for_url("**/2.1")
        tab.keyboard.press("k")
        tab.wait_for_url("**/2.0")
        tab.locator("#go").fill("3.7")
        tab.keyboard.press("Enter")
        tab.wait_for_url("**/3.7")


def test_charts_are_drawn_and_values_are_said(browser: Any, address: str) -> None:
    with looking(browser) as tab:
        tab.goto(address + NEURON)
        assert charts_drawn(tab) == 2
        window = tab.locator("[data-values]").first
        peak = window.locator(".peak")
        assert "gate" in str(peak.get_attribute("title"))
        window.focus()
        tip = tab.locator(".tip")
        assert str(peak.get_attribute("title")) in tip.inner_text()
        window.press("ArrowLeft")
        assert window.locator(".peak.at").count() == 0
        assert window.locator(".at").count() == 1


def test_windows_unfold(browser: Any, address: str) -> None:
    with looking(browser) as tab:
        tab.goto(address + NEURON)
        window = tab.locator(".window").first
        assert window.locator(".kwic").evaluate("e => getComputedStyle(e).display") == "flex"
        window.locator("summary").click()
        assert window.locator(".kwic").evaluate("e => getComputedStyle(e).display") == "block"


def test_everything_is_there_without_scripts(browser: Any, address: str) -> None:
    with looking(browser, java_script_enabled=False) as tab:
        tab.goto(address + NEURON)
        tab.locator("#tab-embed").click()
        tab.wait_for_url("**basis=embed**")
        tab.locator("#examples [data-tabs] a").nth(1).click()
        tab.wait_for_url("**case=gate%2B_in-**")
        window = tab.locator(".window").first
        window.locator("summary").click()
        assert window.locator(".kwic").evaluate("e => getComputedStyle(e).display") == "block"
        assert tab.locator("[data-copy]:visible").count() == 0


def test_an_annotation_is_written_from_the_page(browser: Any, address: str) -> None:
    with looking(browser) as tab:
        tab.goto(f"{address}/neuron/sample-llama/1.9")
        tab.locator("[name=source]").first.fill("Ada")
        tab.locator("[name=value]").first.fill("dogs <b>")
        tab.get_by_role("button", name="Annotate").click()
        tab.wait_for_url("**/1.9#annotations")
        assert "dogs <b>" in tab.locator("dl.annotations").inner_text()


def test_a_name_is_asked_once_and_a_list_is_kept(browser: Any, address: str) -> None:
    with looking(browser) as tab:
        tab.goto(f"{address}/neuron/sample-llama/1.10")
        tab.locator("[name=source]").first.fill("Ada")
        assert tab.locator("[name=source]:visible").count() == 1
        tab.locator("form:has([name=action][value=list]) [name=value]").fill("dogs & <b>")
        tab.get_by_role("button", name="Put on the list").click()
        tab.wait_for_url("**/1.10#annotations")
        tab.get_by_role("button", name="★ Star").click()  # as Ada: the browser knows
        tab.locator(".head .chip", has_text="★ 1").wait_for()
        tab.locator(".marks a", has_text="dogs & <b>").click()
        tab.locator("h1", has_text="dogs & <b>").wait_for()
        assert "1.10" in tab.locator("table.neurons").inner_text()
        tab.get_by_role("button", name="take 1.10 off the list, where Ada put it").click()
        tab.wait_for_url("**/lists")
        assert "no lists yet" in tab.locator("main").inner_text()


def test_a_copied_link_leads_to_the_same_case_and_panel(browser: Any, address: str) -> None:
    with looking(browser, permissions=["clipboard-read", "clipboard-write"]) as tab:
        tab.goto(address + NEURON)
        tab.locator(".case h3 a").nth(3).click()
        tab.locator("#tab-4[aria-selected=true]").wait_for()
        tab.get_by_role("button", name="link to Examples").click()
        tab.get_by_role("button", name="Copied").wait_for()
        link = tab.evaluate("navigator.clipboard.readText()")
        assert "panel=examples" in link
        assert "case=gate-_in-" in link
        tab.goto(link)
        tab.locator("section#examples.shared").wait_for()
        assert current(tab, "#examples") == "tab-4"
        top = tab.locator("#examples").evaluate("e => e.getBoundingClientRect().top")
        assert -5 <= top <= 200


@contextmanager
def another_site(folder: Path) -> Iterator[str]:
    """Serve a folder on a port of its own, which to a browser is another site."""
    handler = partial(SimpleHTTPRequestHandler, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_a_card_alone_shows_in_another_site(browser: Any, address: str, tmp_path: Path) -> None:
    pages = ("/embed/sample-llama/2.0", "/")
    frames = "".join(f'<iframe src="{address}{page}"></iframe>' for page in pages)
    (tmp_path / "index.html").write_text(frames)
    context = browser.new_context()
    tab = context.new_page()
    with another_site(tmp_path) as elsewhere:
        tab.goto(elsewhere)
        card, home = (tab.frame_locator("iframe").nth(i) for i in (0, 1))
        assert "sample-llama 2.0" in card.locator("h1").inner_text()
        assert "Models" not in home.locator("body").inner_text()
    context.close()


PAGES = (NEURON, "/neuron/sample-gpt/2.0", "/token/sample-llama/0", "/text/2?neuron=2.0")


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("page", PAGES)
def test_pages_fit_a_phone_in_both_themes(
    browser: Any, address: str, page: str, theme: str
) -> None:
    with looking(browser, size=PHONE, color_scheme=theme) as tab:
        tab.goto(address + page)
        charts_drawn(tab)
        assert fits(tab)
        ground, ink = (
            tab.evaluate(f"getComputedStyle(document.documentElement).{name}")
            for name in ("backgroundColor", "color")
        )
        assert (brightness(ground) > brightness(ink)) == (theme == "light")


def brightness(colour: str) -> int:
    return sum(int(part) for part in colour.removeprefix("rgb(").removesuffix(")").split(","))


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_coloured_tokens_stay_legible(browser: Any, address: str, theme: str) -> None:
    """The contrast of WCAG 2.2, at least 4.5, of the strongest colours."""
    with looking(browser, color_scheme=theme) as tab:
        tab.goto(address + NEURON)
        ratios = tab.evaluate(
            """() => {
              const canvas = document.createElement("canvas").getContext("2d");
              const light = (colour) => {
                canvas.clearRect(0, 0, 1, 1);
                canvas.fillStyle = colour;
                canvas.fillRect(0, 0, 1, 1);
                const [r, g, b] = [...canvas.getImageData(0, 0, 1, 1).data].map((v) => {
                  v /= 255;
                  return v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
                });
                return 0.2126 * r + 0.7152 * g + 0.0722 * b;
              };
              const styles = getComputedStyle(document.documentElement);
              const ink = light(styles.getPropertyValue("--ink"));
              return ["--p", "--n"].map((name) => {
                const ground = light(styles.getPropertyValue(name));
                return (Math.max(ink, ground) + 0.05) / (Math.min(ink, ground) + 0.05);
              });
            }"""
        )
        assert min(ratios) >= 4.5, ratios
