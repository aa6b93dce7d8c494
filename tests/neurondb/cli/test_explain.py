"""`neurondb explain` as a user meets it: a small explainer and a small scorer, end to end."""

import json
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.neurondb.explaining.planted import MODEL, NAME, plant
from tests.support.sample_facts import Sample

SUPPORT = Path(__file__).parents[2] / "support"
EXPLAIN = f"{shlex.quote(sys.executable)} {shlex.quote(str(SUPPORT / 'explain_by_peak.py'))}"
SCORE = f"{shlex.quote(sys.executable)} {shlex.quote(str(SUPPORT / 'score_by_token.py'))}"


@pytest.fixture
def url(sample: Sample, tmp_path: Path) -> str:
    return plant(sample, tmp_path)


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "neurondb", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def explain(url: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return run("explain", MODEL, "--neurons", NAME, "--db", url, *arguments)


def test_a_neuron_is_explained_scored_found_and_shown(url: str) -> None:
    ended = explain(url, "--command", EXPLAIN, "--source", "peak", "--format", "json")
    assert ended.returncode == 0, ended.stderr
    (row,) = json.loads(ended.stdout)
    assert (row["neuron"], row["outcome"], row["explanation"]) == (NAME, "new", "fires on: dog")
    assert "1 explanation stored as peak" in ended.stderr

    ended = explain(url, "--command", SCORE, "--score", "--source", "token", "--format", "json")
    assert ended.returncode == 0, ended.stderr
    (row,) = json.loads(ended.stdout)
    assert (row["source"], row["balanced_accuracy"], row["recall"]) == ("peak", 0.875, 1)

    found = run("find", "explanation~dog", "--columns", "name", "--format", "csv", "--db", url)
    assert found.stdout == f"name\n{NAME}\n"
    shown = run("show", MODEL, NAME, "--db", url).stdout
    assert "peak" in shown
    assert "fires on: dog" in shown
    assert "87.50%" in shown
    asked = run(
        "query", "explained-neurons", "--param", "source=peak", "--format", "json", "--db", url
    )
    assert [one["balanced_accuracy"] for one in json.loads(asked.stdout)] == [0.875]

    again = explain(url, "--command", "false", "--source", "peak", "--format", "csv")
    assert again.returncode == 0
    assert "as before" in again.stdout


def test_what_would_be_given_is_printed(url: str) -> None:
    ended = explain(url, "--dry-run")
    assert ended.returncode == 0, ended.stderr
    assert json.loads(ended.stdout)["neuron"]["name"] == NAME
    asked = subprocess.run(shlex.split(EXPLAIN), input=ended.stdout, capture_output=True, text=True)
    assert json.loads(asked.stdout) == {"explanation": "fires on: dog", "count": 8}
    nothing = explain(url, "--dry-run", "--score")
    assert (nothing.returncode, nothing.stdout) == (1, "")
    assert "no explanation to score" in nothing.stderr


def test_failures_are_counted_and_told_by_the_exit_code(url: str) -> None:
    ended = run(
        *("explain", MODEL, "--neurons", "1.18,1.19,1.20", "--db", url, "--shell", "--jobs", "2"),
        *("--command", "grep -q '\"1.19\"' && echo fine || exit 4", "--format", "csv"),
    )
    assert ended.returncode == 1
    assert [line.split(",")[1] for line in ended.stdout.splitlines()] == [
        *("outcome", "failed", "new", "failed")
    ]
    last = ended.stderr.splitlines()[-1]
    assert last.startswith("neurondb: 2 of 3 answers failed: 2 failed (such as 1.18: exit status 4")


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        ((), 2, "--command"),
        (("--command", "no-such-program-here"), 1, "no-such-program-here"),
        (("--command", "true", "--of", "me"), 2, "--score"),
        (("--dry-run", "--format", "json"), 2, "--format"),
    ],
)
def test_what_makes_no_sense_is_a_line(
    url: str, arguments: tuple[str, ...], code: int, said: str
) -> None:
    ended = explain(url, *arguments)
    assert (ended.returncode, ended.stdout) == (code, "")
    assert ended.stderr.startswith("neurondb: ")
    assert len(ended.stderr.splitlines()) == 1
    assert said in ended.stderr
