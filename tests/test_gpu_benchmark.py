"""benchmarks/gpu.sh works, as far as a machine without a GPU can tell: on tiny shapes."""

import json
import os
import subprocess
import sys
from argparse import Namespace
from pathlib import Path

import pytest
import torch

from benchmarks import gpu, vocabulary
from benchmarks.gpu_sections import MEASURES, Asked

ROOT = Path(__file__).resolve().parents[1]
ON_CARD = {"tests"}


@pytest.mark.parametrize("name", MEASURES)
def test_a_section_measures(name: str) -> None:
    figures = MEASURES[name](Asked(torch.device("cpu"), tiny=True))
    assert "problem" not in figures
    assert (figures == {"skipped": True}) == (name in ON_CARD)
    assert json.loads(json.dumps(figures)) == figures


def test_what_a_section_measured_before_it_failed_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, calls = tmp_path / "figures.json", iter(range(9))
    project = vocabulary.Subject.project

    def fail_later(subject: vocabulary.Subject, block: vocabulary.Block) -> object:
        if next(calls):
            raise torch.cuda.OutOfMemoryError("no room")
        return project(subject, block)

    monkeypatch.setattr(vocabulary.Subject, "project", fail_later)
    with pytest.raises(torch.cuda.OutOfMemoryError):
        MEASURES["vocabulary-8b"](Asked(torch.device("cpu"), tiny=True, path=path))
    assert "products of a layer, s" in json.loads(path.read_text(encoding="utf-8"))


def test_all_sections_but_the_tests_have_room_together() -> None:
    assert sum(limit for name, limit in gpu.SECTIONS.items() if name != "tests") <= 9.5 * 60


def test_sections_have_limits_and_titles() -> None:
    assert list(gpu.SECTIONS) == list(MEASURES) == list(gpu.TITLES)


def test_the_script_writes_a_report_and_counts_failures(tmp_path: Path) -> None:
    environment = os.environ | {"PYTHON": sys.executable, "OUT": str(tmp_path)}
    command = ["sh", str(ROOT / "benchmarks" / "gpu.sh"), "--device", "cpu", "--tiny"]
    done = subprocess.run(
        [*command, "--only", "tests"], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    (section,) = json.loads((tmp_path / "report.json").read_text())["sections"]
    assert section["status"] == "skipped"
    assert "| tests | skipped |" in (tmp_path / "report.md").read_text()


def test_a_section_that_fails_says_why_and_stops_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        if "reduction" in command:
            return subprocess.CompletedProcess(command, 1, "Traceback\nOutOfMemoryError: no room")
        if "waits" in command:
            raise subprocess.TimeoutExpired(command, 1, b"at batch 3")
        Path(command[4]).write_text('{"ratio": 1.25}', encoding="utf-8")
        return subprocess.CompletedProcess(command, 0, "")

    monkeypatch.setattr(subprocess, "run", run)
    asked = Namespace(out=tmp_path, device="cpu", tiny=True)
    outcomes = [gpu.run_section(n, asked, 9.0) for n in ("reduction", "waits", "lm-head-8b")]
    outcomes.append(gpu.run_section("tests", asked, 0.0))
    statuses = [outcome.status for outcome in outcomes]
    assert statuses == ["failed", "out of time", "ok", "out of time"]
    assert sum(outcome.has_failed for outcome in outcomes) == 3
    page = gpu.write_markdown({"card": "none"}, outcomes)
    assert "OutOfMemoryError: no room" in page
    assert "at batch 3" in page
    assert "| ratio | 1.25 |" in page
