"""Take the pictures of the README from `neurondb serve` on the real demo: docs/images/*.png.

    python docs/screenshots.py             runs what `neurondb demo --real` ingests first
    python docs/screenshots.py --db FILE   takes a database that has it

Needs Debian's chromium (or another on the PATH) and playwright, of the extra `dev`.
"""

import argparse
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple
from urllib.parse import quote

from rich.console import Console

from neurondb.contracts.ingest import DemoInputs, DemoRequest, IngestRequest
from neurondb.contracts.registry import load_job
from neurondb.explore.publishing import FILE, Publication, publish
from neurondb.terminal.progress import choose_progress

HERE: Final = Path(__file__).parent
LARGEST: Final = 250_000
"""Bytes that a picture may have."""
MODEL: Final = "smollm2-135m-instruct"
PROMPT: Final = "The Eiffel Tower is in the city of Paris, which is the capital of"
WIDE: Final = (1280, 900)
SHORT: Final = (1280, 640)


class Shot(NamedTuple):
    """A picture: its name, what it shows, the size of the window, the colour scheme."""

    name: str
    address: str
    size: tuple[int, int] = WIDE
    scheme: str = "light"
    top: str | None = None
    """Selector of what is scrolled to the upper edge."""
    live: bool = False
    """Whether the model runs beside the site."""


def shots(neuron: str) -> tuple[Shot, ...]:
    """Return the pictures; those of a neuron show this one."""
    page = f"/neuron/{MODEL}/{neuron}"
    return (
        Shot("home", "/", SHORT),
        Shot("model", f"/model/{MODEL}", (1280, 1000)),
        Shot("neuron", page),
        Shot("neuron-dark", f"{page}?case=gate%2B_in%2B", SHORT, "dark", top="#examples"),
        Shot("live", f"/live/{MODEL}?prompt={quote(PROMPT)}", (1280, 1000), live=True),
    )


def ingest(file: Path) -> None:
    """Analyse the real model with all stages but traces."""
    progress = choose_progress(Console(stderr=True))
    with tempfile.TemporaryDirectory() as directory:
        inputs: DemoInputs = load_job("demo")(DemoRequest(Path(directory), real=True), progress)
        request = IngestRequest(
            model=inputs.model,
            name=inputs.name,
            revision=inputs.revision,
            database=str(file),
            dataset=inputs.dataset,
        )
        load_job("ingest")(request, progress)


@contextmanager
def serving(file: Path, *options: str) -> Iterator[str]:
    """Serve a database on a free port of the loopback, and yield the address."""
    command = [sys.executable, "-m", "neurondb", "serve", "--db", str(file), "--port", "0"]
    with subprocess.Popen([*command, *options], stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        try:
            yield server.stdout.readline().split()[3].rstrip("/")
        finally:
            server.terminate()


def take(browser: Any, where: str, shot: Shot) -> bytes:
    """Return a picture as PNG, once its charts are drawn."""
    width, height = shot.size
    tab = browser.new_page(
        viewport={"width": width, "height": height},
        color_scheme=shot.scheme,
    )
    tab.goto(where + shot.address)
    charts = tab.locator("figure.chart")
    for i in range(charts.count()):
        charts.nth(i).scroll_into_view_if_needed()
        charts.nth(i).locator(".drawn svg, .drawn canvas").first.wait_for()
    tab.evaluate("scrollTo(0, 0)")
    if shot.top is not None:
        tab.locator(shot.top).first.evaluate(
            "(one) => scrollTo(0, one.getBoundingClientRect().top + scrollY - 16)"
        )
    tab.wait_for_timeout(300)
    picture: bytes = tab.screenshot()
    tab.close()
    return picture


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--db", type=Path, help="database that has the real model")
    parser.add_argument("--neuron", default="26.1528", help="the neuron to show, LAYER.NEURON")
    parser.add_argument("-o", "--output", type=Path, default=HERE / "images")
    given = parser.parse_args()
    from playwright.sync_api import sync_playwright

    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    given.output.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as directory, sync_playwright() as playwright:
        file = given.db or Path(directory) / "neurondb.db"
        if given.db is None:
            ingest(file)
        site = Path(directory) / "site"  # in it no directory of this machine is named
        publish(Publication(site, str(file)), choose_progress(Console(stderr=True)))
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        # A published copy does not say where the model was read from, so that it cannot run.
        with serving(site / FILE) as where, serving(file, "--live", MODEL) as live:
            for shot in shots(given.neuron):
                picture = take(browser, live if shot.live else where, shot)
                (given.output / f"{shot.name}.png").write_bytes(picture)
                note = "" if len(picture) <= LARGEST else f", more than {LARGEST:,}"
                print(f"{shot.name}.png: {len(picture):,} bytes{note}")
        browser.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
