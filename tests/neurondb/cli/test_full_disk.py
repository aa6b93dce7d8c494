"""A disk that is full, a file that may not grow, a reader that left: a line, and nothing half."""

import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from ingest.bundled import model_directory
from tests.support.sample_facts import Sample

FULL = Path("/dev/full")
pytestmark = pytest.mark.skipif(not FULL.exists(), reason="needs /dev/full")


def neurondb(*arguments: str, **how: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from neurondb.cli import main; main()", *arguments]
    return subprocess.run(command, stderr=subprocess.PIPE, text=True, check=False, **how)  # type: ignore[call-overload,no-any-return]


def no_file_beyond(n_bytes: int) -> Callable[[], None]:
    return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, n_bytes))


@pytest.mark.parametrize(
    "arguments",
    [
        *(["find", "--limit", "1"], ["find", "--count"], ["find", "--explain"], ["models"]),
        *(["sql", "SELECT * FROM neurons", "--format", "json"], ["--help"], ["find", "--help"]),
        *(["show", "sample-llama", "0.1"], ["query", "--list"]),
    ],
    ids=" ".join,
)
def test_output_that_cannot_be_written_is_a_line(arguments: list[str], sample: Sample) -> None:
    database = [] if "--help" in arguments or "--list" in arguments else ["--db", sample.url]
    with FULL.open("w") as full:
        ended = neurondb(*arguments, *database, stdout=full)
    assert ended.stderr.startswith("neurondb: ")
    assert ended.stderr.count("\n") == 1
    assert "No space left on device" in ended.stderr
    assert ended.returncode == 1


def test_a_reader_that_left_is_no_error(sample: Sample) -> None:
    endless = "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT x FROM c"
    command = [sys.executable, "-c", "from neurondb.cli import main; main()", "sql", endless]
    with subprocess.Popen(
        [*command, "--db", sample.url], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.wait(60) == 1
        assert process.stderr.read() == b""


@pytest.mark.parametrize("form", ["csv", "json", "parquet", "md", "txt"])
def test_a_file_that_may_not_grow_leaves_none(form: str, sample: Sample, tmp_path: Path) -> None:
    series = "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c LIMIT 90000)"
    ended = neurondb(
        *("sql", f"{series} SELECT x, x * 7 AS y FROM c", "--db", sample.url),
        *("-o", str(tmp_path / f"x.{form}")),
        preexec_fn=no_file_beyond(100_000),
    )
    assert ended.stderr.startswith("neurondb: ")
    assert ended.stderr.count("\n") == 1
    assert str(tmp_path / f"x.{form}") in ended.stderr
    assert "File too large" in ended.stderr
    assert ended.returncode == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("n_bytes", [20_000, 1_400_000])
def test_a_database_that_may_not_grow_is_whole_or_is_not(n_bytes: int, tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    arguments = (
        "ingest",
        str(model_directory()),
        "--name",
        "m",
        "--stages",
        "weights,vocab",
        "--db",
        str(path),
    )
    ended = neurondb(*arguments, preexec_fn=no_file_beyond(n_bytes))
    assert ended.returncode == 1
    last = ended.stderr.splitlines()[-1]
    assert last.startswith("neurondb: ")
    assert "internal error" not in last
    if n_bytes < 100_000:
        assert list(tmp_path.iterdir()) == []
    else:
        whole = neurondb("check", "--db", str(path))
        assert (whole.returncode, whole.stderr.splitlines()[-1][:5]) == (0, "whole")
