"""`import neurondb`: its names are complete, sorted, lazy, and do what their docstrings say."""

import doctest
import importlib
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from sqlite_utils.cli import cli as sqlite_utils

import neurondb
from neurondb import api
from tests.support.sample_database import build

PAGE = Path(__file__).resolve().parents[3] / "docs/python.md"
MODULES = (
    "neurondb",
    *("neurondb.api", "neurondb.api.database", "neurondb.api.database_questions"),
    *("neurondb.api.neuron", "neurondb.api.neuron_group", "neurondb.api.stored_model"),
    "neurondb.api.result",
)


def test_all_is_complete_and_sorted() -> None:
    assert neurondb.__all__ == sorted({*api.__all__, "__version__"})
    assert api.__all__ == sorted(api.__all__)
    public = {name for name in vars(api) if not name.startswith("_")}
    files = Path(api.__file__).parent.glob("[!_]*.py")
    assert public - {file.stem for file in files} == set(api.__all__)


def test_every_name_is_there_and_documented() -> None:
    assert set(neurondb.__all__) <= set(dir(neurondb))
    for name in api.__all__:
        assert getattr(neurondb, name) is getattr(api, name)
        assert getattr(neurondb, name).__doc__
    with pytest.raises(AttributeError, match="'nobody'"):
        neurondb.nobody  # noqa: B018


def run(code: str) -> str:
    command = [sys.executable, "-c", code]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_importing_loads_nothing() -> None:
    code = "import sys; old = set(sys.modules); import neurondb; print(*set(sys.modules) - old)"
    loaded = {name.partition(".")[0] for name in run(code).split()}
    assert loaded - sys.stdlib_module_names == {"neurondb"}


def test_the_interface_loads_nothing_heavy() -> None:
    heavy = (
        "torch",
        "transformers",
        "alembic",
        "pyarrow",
        "pandas",
        "altair",
        "ingest",
        "rich.console",
    )
    code = f"import neurondb, sys; neurondb.open; print(*[m for m in {heavy} if m in sys.modules])"
    assert run(code).split() == []


@pytest.mark.parametrize("name", MODULES)
def test_docstrings_do_what_they_say(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build(tmp_path / "sample.db")
    monkeypatch.chdir(tmp_path)
    module = importlib.import_module(name)
    with neurondb.open("sample.db") as db:
        found = doctest.testmod(module, extraglobs={"db": db, "ndb": neurondb})
    assert found.attempted > 0
    assert found.failed == 0


@pytest.fixture
def page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """docs/python.md, where there is the database that it speaks of."""
    build(tmp_path / "sample.db")
    monkeypatch.chdir(tmp_path)
    return PAGE.read_text(encoding="utf-8")


def test_the_page_of_the_interface_does_what_it_says(page: str) -> None:
    # A fence would be part of what is expected above it.
    text = re.sub(r"^```.*$", "", page, flags=re.MULTILINE)
    examples = doctest.DocTestParser().get_doctest(text, {}, PAGE.name, str(PAGE), 0)
    found = doctest.DocTestRunner().run(examples)
    assert found.attempted > 10
    assert found.failed == 0


def test_sqlite_utils_reads_the_file_as_the_page_says(page: str) -> None:
    commands = re.findall(r"^\$ sqlite-utils (.+)$", page, flags=re.MULTILINE)
    assert len(commands) == 3
    for command in commands:
        ended = CliRunner().invoke(sqlite_utils, shlex.split(command))
        assert ended.exit_code == 0, ended.output


def test_every_public_name_stands_on_the_page() -> None:
    text = PAGE.read_text(encoding="utf-8")
    methods = [name for name in vars(neurondb.Database) if not name.startswith("_")]
    hidden = {"engine", "location", "connect", "count"}
    assert [name for name in methods if name not in hidden and f"db.{name}" not in text] == []
