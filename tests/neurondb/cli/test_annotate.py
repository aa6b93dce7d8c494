"""`neurondb annotate` as a user meets it."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import neurondb as ndb
from neurondb.errors import TextError
from tests.support.sample_facts import Sample


@pytest.fixture
def url(sample: Sample, tmp_path: Path) -> str:
    return str(shutil.copy(sample.path, tmp_path / "open.db"))


@pytest.fixture
def labels(tmp_path: Path) -> Path:
    file = tmp_path / "labels.csv"
    file.write_text("neuron,key,value\n1.7,label,dogs\n1.8,label,cats\n", encoding="utf-8")
    return file


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "neurondb", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_a_file_is_stored_and_shown(url: str, labels: Path) -> None:
    ended = run("annotate", str(labels), "--model", "sample-llama", "--db", url)
    assert (ended.returncode, ended.stdout) == (0, "")
    assert re.search(r"labels\.csv\D+2\D+0\D+0", ended.stderr)
    assert "dogs" in run("show", "sample-llama", "1.7", "--db", url).stdout


def test_python_does_the_same(url: str, labels: Path) -> None:
    with ndb.open(url) as db:
        assert db.annotate(labels, model="sample-llama", source="me") == (2, 0, 0)
        said = db.sql("SELECT source, value FROM annotations ORDER BY value")
        assert list(said) == [("me", "cats"), ("me", "dogs")]


def test_an_error_is_a_line_and_a_code(url: str, labels: Path) -> None:
    ended = run("annotate", str(labels), "--db", url)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr.startswith("neurondb: ")
    assert re.search(r"labels\.csv.*row 1", ended.stderr)
    assert len(ended.stderr.splitlines()) == 1
    assert run("annotate", "nowhere.csv", "--db", url).returncode == 1


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"neuron;label\n1.2;x\n", "'neuron;label'"),
        (b"neuron,label\n1.2,x,z\n", "more values"),
        (b"neuron,label\n1.2,caf\xe9\n", "UTF-8 (byte 20)"),
        (b"neuron\n1.2\n", "nothing"),
        (b"neuron,key\n1.2,label\n", "'value'"),
    ],
)
def test_a_table_that_says_nothing_is_refused(
    content: bytes, said: str, url: str, tmp_path: Path
) -> None:
    (tmp_path / "said.csv").write_bytes(content)
    with ndb.open(url) as db, pytest.raises(TextError, match=rf"said\.csv.*{re.escape(said)}"):
        db.annotate(tmp_path / "said.csv", model="sample-llama")
