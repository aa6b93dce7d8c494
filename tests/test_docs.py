"""The documents say what the code does."""

import itertools
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

import neurondb
from docs.generate import contexts
from ingest.bundled import MODEL_NAME
from ingest.jobs.demo import REAL_NAME
from ingest.vocabulary.properties.catalogue import PROPERTIES
from neurondb.cli import COMMANDS, cli
from neurondb.contracts.ingest import STAGES
from neurondb.known_models import KNOWN
from neurondb.taxonomy import CLASSES

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


def test_every_stage_is_documented() -> None:
    page = text("docs/ingesting.md")
    assert [stage for stage in STAGES if f"`{stage}`" not in page] == []


def test_every_command_has_its_place_among_the_others() -> None:
    page = text("docs/overview.md")
    assert [name for name in COMMANDS if name not in page] == []


def test_the_readme_is_short_and_keeps_its_promises() -> None:
    readme = text("README.md")
    assert len(readme.splitlines()) < 80
    targets = re.findall(r"^([a-z-]+): ", text("Makefile"), re.MULTILINE)
    promised = set(re.findall(r"\bmake ([a-z-]+)", readme))
    assert {"demo", "demo-real", "test"} <= promised <= set(targets)


def test_architecture_names_every_room() -> None:
    page = text("docs/architecture.md")
    for package in ("neurondb", "ingest"):
        for entry in (ROOT / package).iterdir():
            name = entry.name if entry.suffix == ".py" else f"{entry.name}/"
            if not name.startswith("__") and entry.suffix in ("", ".py"):
                assert name in page, f"{package}/{name}"


def test_the_changelog_has_this_version() -> None:
    assert f"## {neurondb.__version__}" in text("CHANGELOG.md")


# --- every command, down to the last option ---------------------------------------------------


def commands() -> dict[str, click.Context]:
    """Every command by its path, as `neurondb attributes rate`."""
    return {context.command_path: context for context in contexts(cli)}


def sections() -> dict[str, str]:
    """The help in docs/cli.md of every command, by its heading."""
    parts = re.split(r"^##+ (.+)$", text("docs/cli.md"), flags=re.MULTILINE)
    return dict(zip(["neurondb", *parts[1::2]], parts[::2], strict=True))


def test_every_command_and_option_is_documented() -> None:
    documented = sections()
    assert list(commands()) == list(documented)
    assert "neurondb attributes rate" in documented
    for path, context in commands().items():
        for parameter in context.command.get_params(context):
            if isinstance(parameter, click.Option) and not parameter.hidden:
                for spelled in (*parameter.opts, *parameter.secondary_opts):
                    assert re.search(rf"(?<![\w-]){spelled}\b", documented[path]), (path, spelled)


@pytest.mark.parametrize("path", commands())
def test_h_is_help_everywhere(path: str) -> None:
    _, *words = path.split()
    command: click.Command = cli
    for word in words:
        assert isinstance(command, click.Group)
        found = command.get_command(click.Context(command), word)
        assert found is not None
        command = found
        command._help_option = None  # click keeps it from a call without the group around it
    short = CliRunner().invoke(cli, [*words, "-h"])
    assert short.exit_code == 0
    assert short.output == CliRunner().invoke(cli, [*words, "--help"]).output
    assert "-h, --help" in short.output


# --- examples ----------------------------------------------------------------------------------

MODELS = {*KNOWN, MODEL_NAME, REAL_NAME}
TAKE_MODELS = {
    "plot": slice(1, None),
    "compare": slice(0, 2),
    "status": slice(0, 1),
    **dict.fromkeys(
        ("ingest", "show", "tokens", "ablate", "ablate-suite", "ablate-each", "clamp", "generate"),
        slice(0, 1),
    ),
    **dict.fromkeys(("entropy", "verify", "rate"), slice(0, 1)),
}
"""Command → which of its arguments are models."""


def texts() -> dict[str, str]:
    """Everything that has examples: documents, helps, and the messages in the code."""
    files = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
    files += [*(ROOT / "neurondb").rglob("*.py"), *(ROOT / "queries").glob("*.sql")]
    return {str(file.relative_to(ROOT)): file.read_text(encoding="utf-8") for file in files}


def examples(source: str) -> Iterator[list[str]]:
    """The words of each `neurondb …` in a text, as far as a shell would read them."""
    for line in re.findall(r"neurondb ([a-z][^\n`]*)", source.replace("\\\n", " ")):
        words = re.findall(r"'[^']*'|\"[^\"]*\"|[^\s\"']+", line)
        yield words[1:] if words and words[0] == "attributes" else words


def models_in(words: list[str]) -> Iterator[str]:
    """The models that an example names; a placeholder, in capitals or braces, is none."""
    command, *rest = words
    arguments = list(itertools.takewhile(lambda word: not word.startswith("-"), rest))
    yield from arguments[TAKE_MODELS[command]] if command in TAKE_MODELS else ()
    for word in rest:
        yield from re.findall(r"\b(?:model|before|after|base|tuned)=([\w.,-]+)", word)


def test_examples_name_models_that_are_known() -> None:
    wrong = [
        (file, words[0], model)
        for file, source in texts().items()
        for words in examples(source)
        if words
        for one in models_in(words)
        for model in one.strip("'\"`.,;)").split(",")
        if re.fullmatch(r"[a-z][\w.-]*", model)
        and model not in {*MODELS, *re.findall(r"--name ([\w.-]+)", source)}
        and not model.endswith(".gguf")
    ]
    assert wrong == []


# --- counts ------------------------------------------------------------------------------------

SPELLED = {"eleven": len(CLASSES)}


def test_counts_that_documents_state_are_right() -> None:
    stored = text("docs/ingesting.md")
    (properties,) = re.findall(r"(\d+) classes of tokens", stored)
    assert int(properties) == len(PROPERTIES)
    for number, counted in SPELLED.items():
        assert f"{number} read-write classes" in stored
        assert f"{number} read-write classes" in text("docs/architecture.md")
        assert counted == 11
