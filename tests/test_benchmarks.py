"""The benchmarks can be run: each says what it takes, and knows what named queries ask for.

What they measure is in `benchmarks/RESULTS.md`; here nothing is timed.
"""

import importlib
import subprocess
import sys
from pathlib import Path

import pytest

from neurondb import named_queries

ROOT = Path(__file__).resolve().parents[1]
MODULES = sorted(
    path.stem for path in (ROOT / "benchmarks").glob("*.py") if path.stem != "__init__"
)
COMMANDS = [
    name
    for name in MODULES
    if "__main__" in (ROOT / "benchmarks" / f"{name}.py").read_text(encoding="utf-8")
]


@pytest.mark.parametrize("name", MODULES)
def test_a_benchmark_loads_and_says_how_it_is_run(name: str) -> None:
    module = importlib.import_module(f"benchmarks.{name}")
    assert module.__doc__
    if name in COMMANDS:
        assert f"python -m benchmarks.{name}" in module.__doc__


def test_the_questions_tell_how_they_are_asked() -> None:
    asked = subprocess.run(
        [sys.executable, "-m", "benchmarks.questions", "--help"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "--keep" in asked.stdout


def test_every_named_query_can_be_asked_at_8b_size() -> None:
    questions = importlib.import_module("benchmarks.questions")
    for query in named_queries.load_all():
        required = {parameter.name for parameter in query.parameters if parameter.required}
        assert required <= set(questions.ARGUMENTS), query.name
