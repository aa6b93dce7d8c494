"""`neurondb serve --live`: a second process that comes and goes with the site; what is refused."""

import re
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from ingest.bundled import MODEL_NAME
from neurondb.cli import cli
from neurondb.errors import IngestError, NeuronDBError, UnknownNameError, UsageError
from tests.neurondb.explore.live_site import copy_bundled
from tests.support.sample_facts import Sample

PROMPT = "a secret prompt"


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_bundled(tmp_path_factory.mktemp("live") / "live.db")


@pytest.fixture
def server(file: Path) -> Iterator[subprocess.Popen[str]]:
    options = ("--live", MODEL_NAME.upper(), "--device", "cpu", "--port", "0")
    command = [sys.executable, "-m", "neurondb", "serve", "--db", str(file), *options]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        yield process
        process.kill()


def children(pid: int) -> list[int]:
    found: list[int] = []
    for tasks in Path(f"/proc/{pid}/task").glob("*/children"):
        found += map(int, tasks.read_text().split())
    return found


def wait_until_gone(pid: int) -> None:
    until = time.monotonic() + 20
    while Path(f"/proc/{pid}/cmdline").exists() and Path(f"/proc/{pid}/cmdline").read_bytes():
        assert time.monotonic() < until, f"process {pid} is still there"
        time.sleep(0.05)


def address_of(server: subprocess.Popen[str]) -> str:
    assert server.stdout is not None
    said = server.stdout.readline()
    found = re.search(r"http://127\.0\.0\.1:\d+/", said)
    assert found is not None, said
    return found[0]


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="processes are looked up in /proc")
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_no_process_is_left_behind(server: subprocess.Popen[str], how: signal.Signals) -> None:
    address = address_of(server)
    (worker,) = children(server.pid)
    query = f"live/{MODEL_NAME}.json?prompt={PROMPT.replace(' ', '+')}"
    with urllib.request.urlopen(address + query, timeout=60) as answer:
        assert answer.status == 200
    server.send_signal(how)
    out, err = server.communicate(timeout=30)
    wait_until_gone(worker)
    assert (out, err) == ("", "")  # nor was the prompt logged
    if how == signal.SIGINT:
        assert server.returncode == 0


def refusal(*arguments: str) -> NeuronDBError:
    error = CliRunner().invoke(cli, ["serve", "--port", "0", *arguments]).exception
    assert isinstance(error, NeuronDBError)
    assert "\n" not in str(error)
    return error


def test_strangers_do_not_run_the_model_unless_that_is_said(sample: Sample) -> None:
    error = refusal("--db", sample.url, "--public", "--live", "sample-llama")
    assert isinstance(error, UsageError)
    assert "--live-public" in str(error)
    assert isinstance(refusal("--db", sample.url, "--live-public"), UsageError)


def test_a_model_that_cannot_run_is_refused_before_the_site_is_there(sample: Sample) -> None:
    assert isinstance(refusal("--db", sample.url, "--live", "nobody"), UnknownNameError)
    error = refusal("--db", sample.url, "--live", "sample-llama")
    assert isinstance(error, NeuronDBError | IngestError)
    assert "NeuronDB is at" not in str(error)
