"""What `neurondb publish` made serves by itself, and only reads."""

import asyncio
import json
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.error import URLError

import pytest
from datasette.app import Datasette
from datasette.version import __version__ as datasette_version

from neurondb.extras import EXTRAS
from tests.neurondb.cli.publish.command import GPT, LLAMA, PAGES
from tests.support.sample_facts import NEURONS

REFUSED = {
    "/neurondb.json?sql=SELECT+1": 403,
    "/neurondb?sql=SELECT+1": 403,
    "/neurondb/models.json?_where=1=1": 403,
    "/neurondb.db": 403,
    "/neurondb/neurons.csv?_stream=1": 400,
}
OLD = pytest.mark.skipif(
    not datasette_version.startswith("0."), reason="addresses of Datasette 0.65"
)


def _explicit(site: Path) -> Any:
    """As the README's long command line has it."""
    read = {name: json.loads((site / f"{name}.json").read_text()) for name in ("metadata",)}
    return Datasette(
        immutables=[str(site / "neurondb.db")],
        inspect_data=json.loads((site / "inspect-data.json").read_text()),
        settings=json.loads((site / "settings.json").read_text()),
        **read,
    )


@pytest.fixture(scope="module", params=["directory", "files"])
def served(request: pytest.FixtureRequest, site: Path) -> Iterator[Any]:
    datasette = Datasette(config_dir=site) if request.param == "directory" else _explicit(site)
    asyncio.run(datasette.invoke_startup())
    yield datasette
    for database in datasette.databases.values():
        database.close()
    datasette.executor.shutdown()


def get(served: Any, address: str) -> Any:
    return asyncio.run(served.client.get(address))


@pytest.mark.parametrize("page", PAGES)
def test_every_kind_of_page_is_served(served: Any, page: str) -> None:
    answer = get(served, page)

    assert answer.status_code == (404 if "nowhere" in page else 200), answer.text[:500]
    assert "default-src 'none'" in answer.headers["content-security-policy"]


@OLD
@pytest.mark.parametrize("address", REFUSED)
def test_strangers_get_no_sql_no_download_no_stream(served: Any, address: str) -> None:
    assert get(served, address).status_code == REFUSED[address]


def test_strangers_cannot_annotate(served: Any) -> None:
    form = {"model": LLAMA, "neuron": "1.3", "source": "a", "key": "b", "value": "c"}
    answer = asyncio.run(served.client.post("/annotate", data=form))

    assert answer.status_code in (400, 403)
    assert '<form class="annotate"' not in get(served, f"/neuron/{LLAMA}/1.3").text


def test_the_file_is_taken_as_finished_and_nothing_is_counted(served: Any) -> None:
    assert not served.databases["neurondb"].is_mutable
    assert served.databases["neurondb"].cached_table_counts["neurons"] == 2 * NEURONS
    assert "Small models" in get(served, "/-/metadata.json").text


def test_pages_have_the_title_of_the_site(served: Any) -> None:
    text = get(served, "/").text

    assert "<title>Models · Small models</title>" in text
    assert "<bdi>Small models</bdi>" in text


def test_tables_are_cut_at_the_limits(served: Any) -> None:
    answer = get(served, "/neurondb/top_tokens.json?_size=max").json()

    assert len(answer["rows"]) == 1000
    assert answer["truncated"] or answer["next"]


@contextmanager
def _process(*command: str) -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    address = f"http://127.0.0.1:{port}"
    arguments = [sys.executable, "-m", *command, "--port", str(port)]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as server:
        try:
            until = time.monotonic() + 60
            while True:
                try:
                    urllib.request.urlopen(address, timeout=10).close()
                    break
                except (URLError, OSError):
                    assert time.monotonic() < until
                    assert server.poll() is None, server.communicate()
                    time.sleep(0.1)
            yield address
        finally:
            server.send_signal(signal.SIGINT)
            server.communicate(timeout=30)


@pytest.mark.parametrize("command", ["datasette serve {}", "neurondb serve --public --db {}/{}"])
def test_the_commands_of_the_readme_serve_it(site: Path, command: str) -> None:
    with _process(*command.format(site, "neurondb.db").split()) as address:
        for page in ("/", f"/neuron/{LLAMA}/1.3", "/neurondb/class-counts-by-layer.json"):
            with urllib.request.urlopen(address + page, timeout=30) as answer:
                assert answer.status == 200
        with urllib.request.urlopen(f"{address}/index.json", timeout=30) as answer:
            assert [one["model"]["name"] for one in json.load(answer)["models"]] == [GPT, LLAMA]


def test_pages_need_nothing_that_the_container_lacks(site: Path) -> None:
    lacking = sorted({*EXTRAS["ingest"], *EXTRAS["attributes"], *EXTRAS["frames"]})
    code = (
        "import sys\n"
        f"for name in {lacking}: sys.modules[name] = None\n"
        "import asyncio\n"
        "from pathlib import Path\n"
        "from datasette.app import Datasette\n"
        f"site = Datasette(config_dir=Path({str(site)!r}))\n"
        "async def ask():\n"
        "    await site.invoke_startup()\n"
        f"    for page in {PAGES}:\n"
        "        status = (await site.client.get(page)).status_code\n"
        "        assert status in (200, 404), (page, status)\n"
        "asyncio.run(ask())\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120
    )

    assert result.returncode == 0, result.stderr
    assert not re.search("ModuleNotFoundError", result.stderr)
