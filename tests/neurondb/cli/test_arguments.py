"""What is typed: text must be UTF-8 for every command; paths may be of any bytes, or are named."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from neurondb.cli import COMMANDS, cli
from neurondb.cli.arguments import PathOrName, refuse_undecodable
from neurondb.errors import UsageError

BAD = os.fsdecode(b"na\xefve")
PATHS = {
    "ingest": {"model", "db", "dataset", "summary", "device_map"},
    "merge": {"files", "db"},
    "ablate": {"dataset", "save_tokens", "output", "db"},
    "attributes build": {"paragraphs", "subjects", "output", "stop_words", "report"},
    "attributes rate": {"prompts", "sets", "stop_words", "output", "db"},
    "generate": {"output", "db"},
    "find": {"output", "db"},
    "sql": {"output", "db"},
    "publish": {"directory", "folder", "db"},
    "plot": {"output", "db"},
}


def commands() -> Iterator[tuple[str, click.Command]]:
    """Every command by the words that call it."""
    context = click.Context(cli)
    for name in COMMANDS:
        command = cli.get_command(context, name)
        assert command is not None
        if isinstance(command, click.Group):
            yield from ((f"{name} {sub}", one) for sub, one in command.commands.items())
        else:
            yield name, command


def parameters() -> Iterator[tuple[str, click.Parameter]]:
    for words, command in commands():
        for parameter in command.params:
            if not getattr(parameter, "is_flag", False) and not getattr(parameter, "count", False):
                yield words, parameter


def typed(words: str, parameter: click.Parameter, value: str) -> list[str]:
    """A command line that gives one parameter this value, and arguments before it."""
    if isinstance(parameter, click.Option):
        return [*words.split(), f"{parameter.opts[-1]}={value}"]
    command = dict(commands())[words]
    arguments: list[click.Parameter] = [
        one for one in command.params if isinstance(one, click.Argument)
    ]
    return [*words.split(), *["0.1"] * arguments.index(parameter), value]


def is_path(parameter: click.Parameter) -> bool:
    return isinstance(parameter.type, click.Path | PathOrName)


def refused(arguments: list[str]) -> str:
    """What is said against a command line; it must be wrong usage in one line."""
    result = CliRunner().invoke(cli, arguments)
    assert isinstance(result.exception, UsageError), (arguments, result.exception)
    text = str(result.exception)
    text.encode()
    assert "\n" not in text
    return text


@pytest.mark.parametrize(
    ("words", "parameter"),
    [pytest.param(w, p, id=f"{w} {p.name}") for w, p in parameters() if not is_path(p)],
)
def test_text_must_be_utf8(words: str, parameter: click.Parameter) -> None:
    said = refused(typed(words, parameter, BAD))
    assert r"'na\xefve'" in said
    assert "UTF-8" in said


@pytest.mark.parametrize(
    ("words", "parameter"), [pytest.param(w, p, id=f"{w} {p.name}") for w, p in parameters()]
)
def test_nothing_holds_a_zero_byte(words: str, parameter: click.Parameter) -> None:
    said = refused(typed(words, parameter, "a\0b"))
    assert r"'a\x00b'" in said
    assert "zero byte" in said


def test_what_can_be_a_path_may_be_of_any_bytes() -> None:
    found: dict[str, set[str]] = {}
    for words, parameter in parameters():
        if is_path(parameter):
            found.setdefault(words, set()).add(str(parameter.name))
            arguments = typed(words, parameter, BAD)[len(words.split()) :]
            refuse_undecodable(dict(commands())[words], arguments, click.Context(cli))
    assert {words: found[words] for words in PATHS} == PATHS


def test_the_words_of_an_option_and_what_follows_it_are_both_seen() -> None:
    assert refused(["find", "--order", BAD]).startswith("--order ")
    assert refused(["find", "weakening", "--", BAD]).startswith("EXPRESSION ")
    assert refused(["attributes", "rate", BAD]).startswith("MODEL ")


def run(*arguments: str | bytes, cwd: Path, **environment: str) -> Any:
    command = [sys.executable, "-m", "neurondb", *arguments]
    root = str(Path(__file__).resolve().parents[3])
    environment = {**os.environ, "PYTHONPATH": root, **environment}
    return subprocess.run(command, capture_output=True, cwd=cwd, env=environment, check=False)


@pytest.mark.parametrize(
    "environment",
    [{}, {"PYTHONIOENCODING": "ascii"}, {"LC_ALL": "C"}, {"LC_ALL": "C", "PYTHONUTF8": "0"}],
)
def test_bytes_on_a_real_command_line(environment: dict[str, str], tmp_path: Path) -> None:
    lines: list[list[str | bytes]] = [["tokens", "m", b"na\xefve"], ["find", b'token="\xef"']]
    for arguments in lines:
        done = run(*arguments, cwd=tmp_path, **environment)
        assert done.returncode == 2
        assert done.stdout == b""
        assert done.stderr.startswith(b"neurondb: ")
        assert done.stderr.count(b"\n") == 1
        assert rb"\xef" in done.stderr


def test_results_are_printed_whatever_the_output_can_encode(tmp_path: Path) -> None:
    statement = "SELECT 'zwölf 🐸' AS t"
    (tmp_path / "q.sql").write_bytes(b"\xef\xbb\xbf" + statement.encode())
    from neurondb.migrate import create_or_open

    create_or_open(str(tmp_path / "n.db")).dispose()
    for given in (statement, "@q.sql"):
        done = run("sql", given, "--db", "n.db", cwd=tmp_path, PYTHONIOENCODING="ascii")
        assert done.returncode == 0, done.stderr
        assert done.stdout.decode().split() == ["t", "zwölf", "🐸"]
