"""`neurondb serve` end to end: a process that serves, says where, and ends when told to."""

import json
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from neurondb.cli import cli
from neurondb.errors import DatabaseError, NeuronDBError, UsageError
from tests.support.sample_facts import Sample

PAGES = (
    *("/", "/model/sample-llama", "/search?q=%27nowhere%27", "/layer/sample-gpt/0"),
    *("/figure/classes-by-layer.json?model=sample-llama", "/find?q=weakening"),
)


@pytest.fixture(scope="module")
def server(sample: Sample) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "neurondb", "serve", "--db", sample.url, "--port", "0"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        yield process
        process.kill()


def test_it_says_where_it_is_serves_and_ends_quietly(server: subprocess.Popen[str]) -> None:
    assert server.stdout is not None
    said = server.stdout.readline()
    (address,) = (word for word in said.split() if word.startswith("http://127.0.0.1:"))

    with urllib.request.urlopen(f"{address}index.json", timeout=30) as answer:
        assert [one["model"]["name"] for one in json.load(answer)["models"]] == [
            *("sample-gpt", "sample-llama"),
        ]
    server.send_signal(signal.SIGINT)
    out, err = server.communicate(timeout=30)

    assert (server.returncode, out, err) == (0, "", "")


def serve(*arguments: str) -> Result:
    return CliRunner().invoke(cli, ["serve", *arguments])


def refusal(*arguments: str) -> NeuronDBError:
    error = serve(*arguments).exception
    assert isinstance(error, NeuronDBError)
    assert "\n" not in str(error)
    return error


def test_a_port_in_use_is_told(sample: Sample) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        taken_port = str(taken.getsockname()[1])
        error = refusal("--db", sample.url, "--port", taken_port)

    assert isinstance(error, DatabaseError)
    assert taken_port in str(error)
    assert "--port" in str(error)


def test_a_host_of_another_machine_is_told(sample: Sample) -> None:
    assert "192.0.2.1" in str(refusal("--db", sample.url, "--host", "192.0.2.1"))


def test_only_a_file_of_ours_is_served(tmp_path: Path) -> None:
    (tmp_path / "text.db").write_text("no database at all, whatever its name may say")

    for path, said in (
        (tmp_path / "none.db", "no database"),
        (tmp_path / "text.db", "SQLite"),
        (tmp_path, "a directory"),
    ):
        error = refusal("--db", str(path))
        assert isinstance(error, DatabaseError)
        assert str(path) in str(error)
        assert said in str(error)
    assert not (tmp_path / "none.db").exists()


def test_postgresql_is_refused_without_its_password() -> None:
    error = refusal("--db", "postgresql://me:secret@nowhere.invalid/neurons")

    assert isinstance(error, DatabaseError)
    assert "nowhere.invalid/neurons" in str(error)
    assert "SQLite" in str(error)
    assert "secret" not in str(error)


def test_a_published_site_takes_no_annotations(sample: Sample) -> None:
    error = refusal("--db", sample.url, "--public", "--allow-annotations")

    assert isinstance(error, UsageError)


def test_a_setting_that_is_none_is_wrong_usage(sample: Sample) -> None:
    assert isinstance(refusal("--db", sample.url, "--setting", "nonsense=1"), UsageError)


def test_pages_load_nothing_that_ingestion_needs(sample: Sample) -> None:
    code = (
        "import asyncio, sys\n"
        "from neurondb.explore.server import create_application\n"
        f"site = create_application({sample.url!r})\n"
        "async def ask():\n"
        f"    for page in {PAGES}:\n"
        "        assert (await site.client.get(page)).status_code in (200, 404)\n"
        "asyncio.run(ask())\n"
        "heavy = {'torch', 'transformers', 'alembic', 'transformer_lens'}\n"
        "print(sorted(heavy & set(sys.modules)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120
    )

    assert done.stdout.strip() == "[]"
