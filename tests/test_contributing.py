"""The examples of CONTRIBUTING.md apply to this code, and what they add is found."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import neurondb

ROOT = Path(__file__).resolve().parents[1]
ADDED = """
from ingest.families import FAMILIES
from neurondb import named_queries
from neurondb.figures import FIGURES
from neurondb.terminal.output_formats import FORMATS

assert "arcee" in FAMILIES
assert FIGURES["class-totals"].draw
assert FIGURES["class-totals"].sql
assert FORMATS["latex"].suffixes == (".tex",)
assert named_queries.load("mean-norms-by-layer").title
"""


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The repository without its history."""
    for name in ("neurondb", "ingest", "queries", "migrations", "docs", "tests", "db"):
        ignored = shutil.ignore_patterns("__pycache__", "*.db*", "model", "images")
        shutil.copytree(ROOT / name, tmp_path / name, ignore=ignored)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)  # by which a checkout is known
    return tmp_path


def test_the_examples_of_contributing_apply(copy: Path) -> None:
    page = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    diffs = re.findall(r"^```diff\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)
    assert len(diffs) == 4  # an architecture, a figure, a format, a query
    for diff in diffs:
        subprocess.run(["git", "apply"], input=diff.encode(), cwd=copy, check=True)
    environment = os.environ | {"PYTHONPATH": str(copy)}
    subprocess.run([sys.executable, "-c", ADDED], cwd=copy, env=environment, check=True)


def test_the_citation_names_this_version() -> None:
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert f"\nversion: {neurondb.__version__}\n" in citation
