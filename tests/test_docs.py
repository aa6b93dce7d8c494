"""The documents say what the code does."""

import re
import subprocess
import sys
from pathlib import Path

import neurondb
from neurondb.cli import COMMANDS
from neurondb.jobs import STAGES

ROOT = Path(__file__).resolve().parents[1]


def text(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def test_generated_pages_are_up_to_date() -> None:
    done = subprocess.run(
        [sys.executable, "docs/generate.py", "--check"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def test_every_command_is_documented() -> None:
    page = text("docs/cli.md")
    assert [name for name in COMMANDS if f"## neurondb {name}\n" not in page] == []


def test_every_query_is_documented() -> None:
    page = text("docs/queries.md")
    names = [file.stem for file in (ROOT / "queries").glob("*.sql")]
    assert len(names) >= 12
    assert [name for name in names if name not in page] == []


def test_links_lead_somewhere() -> None:
    for document in (*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")):
        for target in re.findall(r"\]\(([^)#]+)\)", document.read_text(encoding="utf-8")):
            if "://" not in target:
                assert (document.parent / target).exists(), (document, target)


def test_the_readme_names_every_stage() -> None:
    readme = text("README.md")
    assert [stage for stage in STAGES if f"`{stage}`" not in readme] == []


def test_architecture_names_every_room() -> None:
    page = text("docs/architecture.md")
    for package in ("neurondb", "ingest"):
        for entry in (ROOT / package).iterdir():
            name = entry.name if entry.suffix == ".py" else f"{entry.name}/"
            if not name.startswith("__") and entry.suffix in ("", ".py"):
                assert name in page, f"{package}/{name}"


def test_the_changelog_has_this_version() -> None:
    assert f"## {neurondb.__version__}" in text("CHANGELOG.md")
