"""A real browser before `neurondb serve`: Debian's chromium by Playwright, on the loopback.

The fixture is in `tests/neurondb/conftest.py`.
"""

import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final
from urllib.error import URLError

from tests.support.absent import absent

SECONDS: Final = 30.0
"""That a server may take to answer."""
ARGUMENTS: Final = ("--no-sandbox", "--disable-gpu", "--disable-software-rasterizer")
"""Of the browser: without a graphics card it would imitate one, which costs a tenth of its time."""
WIDE: Final = {"width": 1280, "height": 900}
PHONE: Final = {"width": 390, "height": 844}


def chromium() -> str:
    """Return the browser; skips where there is none, or fails with NEURONDB_REQUIRE_ALL=1.

    A module whose tests all need it calls this at its top, and is skipped as one.
    """
    found = shutil.which("chromium") or shutil.which("chromium-browser")
    return found or absent("no chromium on this machine: this looks at pages in a browser")


@contextmanager
def serving(database: Path, *options: str) -> Iterator[str]:
    """Run `neurondb serve` on a free port of the loopback, and yield its address."""
    command = [sys.executable, "-m", "neurondb", "serve", "--db", str(database), "--port", "0"]
    with subprocess.Popen(
        [*command, *options], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as server:
        assert server.stdout is not None
        try:
            said = server.stdout.readline()
            address = next((word for word in said.split() if word.startswith("http://")), None)
            assert address is not None, said + server.stdout.read()
            _wait(address)
            yield address.rstrip("/")
        finally:
            server.terminate()
            try:
                server.wait(10)
            except subprocess.TimeoutExpired:
                server.kill()


def _wait(address: str) -> None:
    until = time.monotonic() + SECONDS
    while True:
        try:
            with urllib.request.urlopen(address, timeout=SECONDS):
                return
        except (URLError, OSError):
            if time.monotonic() > until:
                raise
            time.sleep(0.1)


@contextmanager
def started_browser() -> Iterator[Any]:
    """Start a browser, and yield it as Playwright has it; the fixture `browser` is one."""
    executable = chromium()
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=executable, args=list(ARGUMENTS))
        yield started
        started.close()


@contextmanager
def looking(browser: Any, *, size: dict[str, int] | None = None, **options: Any) -> Iterator[Any]:
    """Yield a tab; afterwards nothing may have gone wrong in it.

    That is: no error in the console, which is where violations of the policy are said too, no
    exception, no request to anywhere else, no answer 500.

    Args:
        browser: from the fixture.
        size: of the window; wide by default.
        options: of Playwright's new_context: `color_scheme="dark"`, `java_script_enabled=False`.
    """
    context = browser.new_context(viewport=size or WIDE, **options)
    tab = context.new_page()
    wrong: list[str] = []
    tab.on("console", lambda message: wrong.append(message.text) if message.type == "error" else 0)
    tab.on("pageerror", lambda error: wrong.append(str(error)))
    tab.on("request", lambda request: wrong.extend(_elsewhere(request.url)))
    tab.on(
        "response", lambda one: wrong.append(f"{one.url} {one.status}") if one.status >= 500 else 0
    )
    yield tab
    context.close()
    assert not wrong, wrong


def _elsewhere(url: str) -> list[str]:
    return [] if url.startswith(("http://127.0.0.1:", "data:", "blob:", "about:")) else [url]


def fits(tab: Any) -> bool:
    """Tell whether the page needs no scrolling sideways."""
    wide = tab.evaluate("document.documentElement.scrollWidth")
    return bool(wide <= tab.evaluate("document.documentElement.clientWidth"))


def charts_drawn(tab: Any, most_ms: int = 20_000) -> int:
    """Scroll to every chart, wait until it is drawn, and return how many there are."""
    charts = tab.locator("figure.chart")
    for i in range(charts.count()):
        chart = charts.nth(i)
        chart.scroll_into_view_if_needed()
        chart.locator(".drawn svg, .drawn canvas").first.wait_for(timeout=most_ms)
    return int(charts.count())
