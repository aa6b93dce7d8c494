"""The demo as a newcomer meets it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.slow
def test_the_demo_answers_a_question_and_shows_a_neuron(tmp_path: Path) -> None:
    script = "import ingest.demo; ingest.demo.N_TEXTS = 20\nfrom neurondb.cli import main; main()"
    result = subprocess.run(
        [sys.executable, "-c", script, "demo", "--db", str(tmp_path / "n.db")],
        env=os.environ | {"COLUMNS": "110"},
        capture_output=True,
        text=True,
        timeout=300,
        check=True,
    )
    assert 'neurondb find "weakening freq>0.6 model=tinyworld-2m"' in result.stdout
    assert "cosines" in result.stdout
    assert "sign cases on tinyworld-heldout" in result.stdout
    suggestions = result.stdout.split("\n\n")[-1]
    assert "What to type next" in suggestions
    for line in suggestions.splitlines()[1:4]:
        command = [sys.executable, *_words(line)[1:]]
        assert subprocess.run(command, capture_output=True, check=True).stdout


def _words(line: str) -> list[str]:
    import shlex

    return shlex.split(line)
