"""pyproject.toml declares what the code imports, and the extras follow the layering."""

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from neurondb.extras import EXTRAS

ROOT = Path(__file__).resolve().parents[1]
OURS = {"neurondb", "ingest", "tests", "tools", "docs", "benchmarks", "_typeshed"}
IMPORTED_AS = {
    "markdown-it-py": "markdown_it",
    "mkdocs-material": "mkdocs",
    "pyyaml": "yaml",
    "vl-convert-python": "vl_convert",
}
"""Distributions whose module has another name than they."""
CALLED = {
    *("coverage", "import_linter", "mypy", "pytest_timeout", "pytest_xdist", "ruff"),
    *("ipykernel", "mkdocs_material"),
}
"""Tools of `dev` that run on the code rather than in it, or are named to another tool."""
FOR_CHECKOUTS = {"docs", "dev"}
"""Extras that nothing of the package needs."""
DRAWN_OR_SERVED = ("neurondb/explore", "neurondb/figures", "neurondb/cli/plot.py")
"""What is imported only where the extra `site` is wanted."""
LATER = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.If)
"""Statements of a module within which imports wait: for a call, or `if TYPE_CHECKING` for ever."""


def project() -> dict[str, Any]:
    loaded: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    found: dict[str, Any] = loaded["project"]
    return found


def modules(requirements: list[str]) -> set[str]:
    """The modules that requirements bring; of `neurondb[…]`, those of its extras."""
    found: set[str] = set()
    for requirement in requirements:
        named = re.match(r"([\w.-]+)(?:\[([\w,]+)\])?", requirement)
        assert named is not None, requirement
        if named[1] == "neurondb":
            for extra in named[2].split(","):
                found |= modules(project()["optional-dependencies"][extra])
        else:
            found.add(IMPORTED_AS.get(named[1], named[1].replace("-", "_")))
    return found


def base() -> set[str]:
    return modules(project()["dependencies"])


def extra(name: str) -> set[str]:
    return modules(project()["optional-dependencies"][name])


def files(*folders: str) -> Iterator[Path]:
    for folder in folders:
        yield from sorted((ROOT / folder).rglob("*.py"))


def imported(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            names = [node.module]
        elif isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "importorskip":
            names = [ast.literal_eval(node.args[0])]
        for name in names:
            package = name.partition(".")[0]
            if package not in sys.stdlib_module_names and package not in OURS:
                yield package


def imports(*folders: str) -> dict[str, str]:
    """Each module of others that files import → one of these files."""
    return {
        module: str(file.relative_to(ROOT))
        for file in files(*folders)
        for module in imported(ast.parse(file.read_text(encoding="utf-8")))
    }


def missing(found: dict[str, str], declared: set[str]) -> dict[str, str]:
    return {module: file for module, file in found.items() if module not in declared}


def test_all_that_the_package_imports_is_declared() -> None:
    shipped = imports("neurondb", "ingest", "migrations")
    assert missing(shipped, base() | extra("all")) == {}


def test_all_that_tests_and_documents_import_is_declared() -> None:
    around = imports("tests", "docs", "examples", "benchmarks", "tools")
    assert missing(around, base() | extra("dev") | extra("postgres") | extra("ray")) == {}


def test_all_that_is_declared_is_imported() -> None:
    shipped = set(imports("neurondb", "ingest", "migrations"))
    assert sorted((base() | extra("all")) - shipped) == []
    everywhere = shipped | set(imports("tests", "docs", "examples"))
    assert sorted(extra("dev") - everywhere - CALLED) == []


def test_a_message_names_the_extra_that_brings_a_module() -> None:
    named = {name: set(found) for name, found in EXTRAS.items()}
    declared = {name: extra(name) for name in project()["optional-dependencies"]}
    assert named == {
        name: declared[name] for name in declared if name not in {"all"} | FOR_CHECKOUTS
    }


def test_extras_share_nothing_and_all_has_each() -> None:
    separate = [base(), *(extra(name) for name in EXTRAS)]
    assert sum(map(len, separate)) == len(set().union(*separate))
    assert extra("all") == set().union(*separate[1:])
    apart = extra("postgres") | extra("ray") | extra("syntax")
    assert extra("dev") >= extra("all") - apart


def test_what_computes_takes_no_site() -> None:
    assert set(imports("ingest")) & (extra("site") | extra("frames") | extra("postgres")) == set()


def test_asking_imports_nothing_of_an_extra() -> None:
    """But within functions, which say what is missing when they are called, and for types."""
    found: dict[str, str] = {}
    for file in files("neurondb"):
        name = str(file.relative_to(ROOT))
        if not name.startswith(DRAWN_OR_SERVED):
            body = ast.parse(file.read_text(encoding="utf-8")).body
            top = ast.Module([node for node in body if not isinstance(node, LATER)], [])
            found |= dict.fromkeys(imported(top), name)
    assert missing(found, base()) == {}


def test_constraints_pin_what_is_declared() -> None:
    pinned = {
        line.partition("==")[0].lower().replace("-", "_")
        for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
        if "==" in line
    }
    of_name = {module: name.replace("-", "_") for name, module in IMPORTED_AS.items()}
    wanted = {of_name.get(module, module) for module in base() | extra("dev")}
    assert sorted(wanted - pinned) == []
