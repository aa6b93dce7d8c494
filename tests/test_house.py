"""The house stays one to move into: rooms are neither cupboards nor halls, and lead one way."""

import ast
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("neurondb", "ingest")
SHORTEST, LONGEST, LONGEST_FUNCTION = 40, 400, 50
"""Lines."""
REGISTRIES = (
    *("neurondb/cli", "neurondb/figures", "neurondb/explore/pages"),
    *("ingest/families", "ingest/jobs"),
)
"""Folders of one module a command, a figure, an address, an architecture: however short."""

pytestmark = pytest.mark.skipif(not (ROOT / "pyproject.toml").exists(), reason="not a checkout")


def modules(folders: Sequence[str] = PACKAGES) -> Iterator[tuple[str, str]]:
    for folder in folders:
        for path in sorted((ROOT / folder).rglob("*.py")):
            yield str(path.relative_to(ROOT)), path.read_text(encoding="utf-8")


def test_no_module_is_a_cupboard_or_a_hall() -> None:
    lengths = {name: text.count("\n") for name, text in modules()}
    long = {name: n for name, n in lengths.items() if n > LONGEST}
    short = {
        name: n
        for name, n in lengths.items()
        if n < SHORTEST
        and Path(name).name not in {"__init__.py", "__main__.py"}
        and not name.startswith(REGISTRIES)
    }
    assert (long, short) == ({}, {})


def test_no_module_of_tests_is_a_hall() -> None:
    lengths = {name: text.count("\n") for name, text in modules(["tests"])}
    assert {name: n for name, n in lengths.items() if n > LONGEST} == {}


def test_no_function_is_long() -> None:
    """Of lines of code: a docstring and a signature with options are not counted."""
    long = {}
    for name, text in modules():
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                first = node.body[1] if ast.get_docstring(node) and node.body[1:] else node.body[0]
                n = (node.end_lineno or 0) - first.lineno + 1
                if n > LONGEST_FUNCTION:
                    long[f"{name}:{node.name}"] = n
    assert long == {}


@pytest.mark.parametrize("package", PACKAGES)
def test_rooms_lead_one_way(package: str) -> None:
    """No two rooms of a package import each other."""
    doors: dict[str, set[str]] = defaultdict(set)
    for name, text in modules():
        room = Path(name).with_suffix("").parts[1] if name.startswith(package + "/") else None
        if room is None:
            continue
        for node in ast.walk(ast.parse(text)):
            found = []
            if isinstance(node, ast.ImportFrom) and node.module:
                found = [f"{node.module}.{alias.name}" for alias in node.names]
            elif isinstance(node, ast.Import):
                found = [alias.name for alias in node.names]
            doors[room] |= {
                part.split(".")[1] for part in found if part.startswith(package + ".")
            } - {room}
    both = {
        tuple(sorted((one, other)))
        for one, others in doors.items()
        for other in others
        if one in doors.get(other, ())
    }
    assert both == set()
