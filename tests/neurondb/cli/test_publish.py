"""`neurondb publish` end to end: a directory that serves by itself, and only reads."""

import asyncio
import hashlib
import json
import os
import re
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from urllib.error import URLError

import pytest
from click.testing import CliRunner, Result
from datasette.app import Datasette
from datasette.version import __version__ as datasette_version

from neurondb import __version__
from neurondb.cli import cli
from neurondb.errors import NeuronDBError
from neurondb.explore.publishing import FILES
from neurondb.extras import EXTRAS
from neurondb.reading.integrity import find_problems
from neurondb.reading.models import open_readonly
from neurondb.schema import metadata
from neurondb.writing.copying import strip_directory
from tests.support.sample_facts import NEURONS, Sample

LLAMA, GPT = "sample-llama", "sample-gpt"
PAGES = (
    *("/", "/index.json", "/find?q=weakening", "/find.csv?q=weakening", "/search?q='nowhere'"),
    *(f"/model/{LLAMA}", f"/layer/{LLAMA}/1", f"/neuron/{LLAMA}/1.3", f"/token/{LLAMA}/0"),
    *("/text/1", f"/pair?left={LLAMA}/0.1&right={LLAMA}/0.2", f"/neuron/{LLAMA}/1.3.json"),
    f"/figure/classes-by-layer.json?model={LLAMA}",
    f"/figure/classes-by-layer.svg?model={LLAMA}",
    *("/-/neurondb/neurondb.css", "/-/neurondb/vega.js"),
    *("/neurondb", "/neurondb/models", "/neurondb/models.json", "/neurondb/models.csv"),
    *("/neurondb/neuron_overview.json", "/neurondb/class-counts-by-layer"),
)
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


def publish(*arguments: str) -> Result:
    return CliRunner().invoke(cli, ["publish", *arguments])


def done(*arguments: str) -> Result:
    result = publish(*arguments)
    if result.exception is not None:
        raise result.exception
    return result


def refusal(*arguments: str) -> str:
    error = publish(*arguments).exception
    assert isinstance(error, NeuronDBError), error
    assert "\n" not in str(error)
    return str(error)


def rows(path: Path, query: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(query).fetchall()


@pytest.fixture(scope="module")
def site(sample: Sample, tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("published") / "site"
    done("--db", sample.url, "-o", str(directory), "--title", "Small models")
    return directory


@pytest.fixture
def writable(sample: Sample, tmp_path: Path) -> Path:
    return Path(shutil.copy(sample.path, tmp_path / "source.db"))


# --- what is in the directory ----------------------------------------------------------------


def test_the_directory_has_what_hosting_takes_and_nothing_else(site: Path) -> None:
    assert {path.name for path in site.iterdir()} == FILES
    assert [path.name for path in site.parent.iterdir()] == ["site"]


def test_the_copy_is_whole_compact_and_says_the_same(site: Path, sample: Sample) -> None:
    copy = site / "neurondb.db"
    with open_readonly(str(copy)) as connection:
        assert list(find_problems(connection)) == []
    assert rows(copy, "PRAGMA journal_mode") == [("delete",)]
    assert rows(copy, "PRAGMA freelist_count") == [(0,)]
    for table in metadata.tables:
        assert rows(copy, f'SELECT * FROM "{table}"') == rows(
            sample.path, f'SELECT * FROM "{table}"'
        )


def test_the_inspect_file_has_every_count_and_the_fingerprint(site: Path) -> None:
    found = json.loads((site / "inspect-data.json").read_text())["neurondb"]
    copy = site / "neurondb.db"

    assert found["hash"] == hashlib.sha256(copy.read_bytes()).hexdigest()
    assert found["size"] == copy.stat().st_size
    assert found["hash"] in (site / "README.txt").read_text()
    for table in metadata.tables:
        ((n,),) = rows(copy, f'SELECT count(*) FROM "{table}"')
        assert found["tables"][table]["count"] == n, table


def test_a_readme_names_the_commands(site: Path) -> None:
    text = (site / "README.txt").read_text()

    assert text.startswith("Small models\n============\n")
    assert f"{GPT}, {LLAMA}" in text
    assert "datasette serve -i site/neurondb.db" in text
    assert "--setting default_allow_sql off" in text


def test_a_container_installs_the_site_and_not_what_ingestion_needs(site: Path) -> None:
    text = (site / "Dockerfile").read_text()

    assert "FROM python:3" in text
    assert f'ARG NEURONDB="neurondb[site]=={__version__}"' in text
    assert 'pip install --no-cache-dir "$NEURONDB"' in text
    assert "${PORT:-8001}" in text


def test_only_the_models_that_are_wanted_are_published(sample: Sample, tmp_path: Path) -> None:
    directory = tmp_path / "one"
    done("--db", sample.url, "-o", str(directory), "--model", GPT.upper())
    copy = directory / "neurondb.db"

    assert rows(copy, "SELECT name FROM models") == [(GPT,)]
    with open_readonly(str(copy)) as connection:
        assert list(find_problems(connection)) == []
    for name, table in metadata.tables.items():
        if "neuron_id" in table.c:
            ((first, last),) = rows(copy, f'SELECT min(neuron_id), max(neuron_id) FROM "{name}"')
            assert first is None or NEURONS <= first <= last < 2 * NEURONS
    assert rows(copy, "SELECT count(*) FROM comparisons") == [(0,)]
    assert rows(copy, "SELECT count(*) FROM top_token_rows")[0][0] > 0
    text = json.loads((directory / "inspect-data.json").read_text())
    assert text["neurondb"]["tables"]["neurons"]["count"] == NEURONS


def test_texts_that_only_others_read_are_left_out(writable: Path, tmp_path: Path) -> None:
    with closing(sqlite3.connect(writable)) as connection, connection:
        connection.execute(
            "INSERT INTO dataset_rows (dataset_id, name, source, fingerprint, n_texts) "
            "VALUES (9, 'private', 'x', 'y', 1)"
        )
        connection.execute(
            "INSERT INTO texts (text_id, dataset_id, ordinal, text) VALUES (900, 9, 0, 'secret')"
        )
    done("--db", str(writable), "-o", str(tmp_path / "site"), "--model", LLAMA)

    copy = tmp_path / "site" / "neurondb.db"
    assert rows(copy, "SELECT name FROM dataset_rows") == [("sample",)]
    assert b"secret" not in copy.read_bytes()


def test_directories_of_this_machine_are_not_told(writable: Path, tmp_path: Path) -> None:
    with closing(sqlite3.connect(writable)) as connection, connection:
        connection.execute("UPDATE models SET source = '/home/ada/models/llama'")
    done("--db", str(writable), "-o", str(tmp_path / "site"))

    copy = tmp_path / "site" / "neurondb.db"
    assert rows(copy, "SELECT DISTINCT source FROM models") == [("llama",)]
    assert b"/home/ada" not in copy.read_bytes()
    assert rows(writable, "SELECT DISTINCT source FROM models") == [("/home/ada/models/llama",)]


@pytest.mark.parametrize(
    ("source", "shown"),
    [
        ("meta-llama/Llama-3.2-3B", "meta-llama/Llama-3.2-3B"),
        ("/data/x/texts.jsonl", "texts.jsonl"),
        ("~/texts", "texts"),
        ("../up/texts.txt", "texts.txt"),
        (r"C:\Users\ada\model", "model"),
        ("texts.txt", "texts.txt"),
        ("/", "/"),
    ],
)
def test_of_a_path_the_last_part_is_told(source: str, shown: str) -> None:
    assert strip_directory(source) == shown


# --- while others write ----------------------------------------------------------------------


def test_what_is_committed_is_published_while_somebody_writes(
    writable: Path, tmp_path: Path
) -> None:
    with closing(sqlite3.connect(writable, isolation_level=None)) as writer:
        writer.execute("PRAGMA journal_mode = WAL")
        writer.execute("UPDATE models SET source = 'committed'")
        writer.execute("BEGIN IMMEDIATE")
        writer.execute("UPDATE models SET source = 'not yet'")
        done("--db", str(writable), "-o", str(tmp_path / "site"))
        writer.execute("COMMIT")

    copy = tmp_path / "site" / "neurondb.db"
    assert rows(copy, "SELECT DISTINCT source FROM models") == [("committed",)]
    assert not (tmp_path / "site" / "neurondb.db-wal").exists()


def test_an_index_that_a_load_has_taken_away_is_built(writable: Path, tmp_path: Path) -> None:
    with closing(sqlite3.connect(writable)) as connection:
        connection.execute("DROP INDEX ix_top_token_rows_token")
    result = done("--db", str(writable), "-o", str(tmp_path / "site"))

    assert "building the index on top_token_rows" in result.stderr
    query = "SELECT count(*) FROM sqlite_master WHERE name = 'ix_top_token_rows_token'"
    assert rows(tmp_path / "site" / "neurondb.db", query) == [(1,)]


# --- refusals --------------------------------------------------------------------------------


def test_what_is_there_is_replaced_only_by_force(
    site: Path, sample: Sample, tmp_path: Path
) -> None:
    there = tmp_path / "site"
    shutil.copytree(site, there)
    (there / "README.txt").write_text("old")

    assert "--force replaces" in refusal("--db", sample.url, "-o", str(there))
    assert (there / "README.txt").read_text() == "old"
    done("--db", sample.url, "-o", str(there), "--force")
    assert (there / "README.txt").read_text() != "old"
    assert [path.name for path in tmp_path.iterdir()] == ["site"]


def test_other_files_are_never_removed(sample: Sample, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    said = refusal("--db", sample.url, "-o", str(tmp_path), "--force")
    assert "holds other files, such as thesis.txt" in said
    (tmp_path / "site.partial").mkdir()
    (tmp_path / "site.partial" / "mine.txt").write_text("mine")
    assert "in the way" in refusal("--db", sample.url, "-o", str(tmp_path / "site"))
    assert (tmp_path / "site.partial" / "mine.txt").read_text() == "mine"
    assert "is a file" in refusal("--db", sample.url, "-o", str(tmp_path / "thesis.txt"))


def test_what_a_killed_run_left_is_in_nobodys_way(sample: Sample, tmp_path: Path) -> None:
    (tmp_path / "site.partial").mkdir()
    (tmp_path / "site.partial" / "neurondb.db").write_bytes(b"half")
    done("--db", sample.url, "-o", str(tmp_path / "site"))

    assert [path.name for path in tmp_path.iterdir()] == ["site"]


def test_only_a_database_of_ours_is_published(sample: Sample, tmp_path: Path) -> None:
    target = str(tmp_path / "site")
    (tmp_path / "text.db").write_text("no database at all, whatever its name may say")

    assert "there is no database" in refusal("--db", str(tmp_path / "none.db"), "-o", target)
    assert "not an SQLite database" in refusal("--db", str(tmp_path / "text.db"), "-o", target)
    said = refusal("--db", "postgresql://me:secret@nowhere.invalid/neurons", "-o", target)
    assert "no SQLite file" in said
    assert "secret" not in said
    said = refusal("--db", sample.url, "-o", target, "--model", "sample-lama")
    assert "did you mean 'sample-llama'" in said
    assert not (tmp_path / "site").exists()


def test_a_database_that_is_not_whole_is_not_published(writable: Path, tmp_path: Path) -> None:
    with closing(sqlite3.connect(writable)) as connection, connection:
        connection.execute("DELETE FROM comparison_neurons WHERE layer = 3")
    said = refusal("--db", str(writable), "-o", str(tmp_path / "site"))

    assert "is not whole" in said
    assert [path.name for path in tmp_path.iterdir()] == ["source.db"]


def test_a_disk_without_room_is_told_before_anything_is_written(
    sample: Sample, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    little = shutil._ntuple_diskusage(10**6, 10**6 - 1000, 1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: little)
    said = refusal("--db", sample.url, "-o", str(tmp_path / "site"))

    assert "where 1.0 kB are free" in said
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not hasattr(os, "fork"), reason="limits of POSIX")
def test_a_file_that_cannot_grow_is_one_line_and_leaves_nothing(
    sample: Sample, tmp_path: Path
) -> None:
    command = f"ulimit -f 64; exec {sys.executable} -m neurondb publish --db '{sample.url}' -o site"
    result = subprocess.run(
        ["bash", "-c", command], cwd=tmp_path, capture_output=True, text=True, timeout=120
    )

    assert result.returncode == 1
    last = result.stderr.strip().splitlines()[-1]
    assert last.startswith("neurondb: ")
    assert "disk" in last
    assert "Traceback" not in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_directory_that_cannot_be_made_is_one_line(sample: Sample, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    said = refusal("--db", sample.url, "-o", str(tmp_path / "file" / "site"))

    assert "nothing was published" in said


# --- it serves -------------------------------------------------------------------------------


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
