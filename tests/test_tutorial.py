"""The tutorial: its commands are there, and its script writes what they print."""

import re
import shlex

import click
import pytest

from docs import tutorial
from docs.generate import contexts
from neurondb.cli import cli
from tests.support.sample_facts import Sample

PAGE = tutorial.PAGE.read_text(encoding="utf-8")
COMMANDS = tutorial.find_commands(PAGE)


@pytest.fixture(scope="module")
def known() -> dict[str, set[str]]:
    """Each command and the options that it takes."""
    found = {}
    for context in contexts(cli):
        options = [
            parameter
            for parameter in context.command.get_params(context)
            if isinstance(parameter, click.Option)
        ]
        spelled = {word for option in options for word in (*option.opts, *option.secondary_opts)}
        found[context.command_path] = spelled
    return found


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_take_the_options_that_they_are_given(
    command: str, known: dict[str, set[str]]
) -> None:
    program, name, *words = shlex.split(command)
    given = {word.partition("=")[0] for word in words if re.match(r"--[a-z]", word)}
    assert given <= known[f"{program} {name}"]


def test_from_ingest_to_intervention_everything_has_an_output() -> None:
    names = [shlex.split(command)[1] for command in COMMANDS]
    assert {"find", "sql", "show", "tokens", "prompt", "ablate", "clamp"} <= set(names)
    for found in tutorial._BLOCK.finditer(PAGE):
        assert bool(found["output"].strip()) == tutorial.is_run(found), found["command"]


def test_outputs_are_written_below_their_commands(sample: Sample) -> None:
    page = """Text.

<!-- as it ran -->
```console
$ neurondb never-run
as it was
```

<!-- 3 lines -->
```console
$ neurondb sql "SELECT name, d_mlp FROM models ORDER BY name"
old
```
"""
    filled = tutorial.fill_page(page, sample.url)
    assert "$ neurondb never-run\nas it was\n```" in filled
    assert "old" not in filled
    output = filled.split('ORDER BY name"\n')[1]
    assert output.startswith("name")
    assert output.endswith("…\n```\n")
    assert tutorial.fill_page(filled, sample.url) == filled


def test_small_differences_of_numbers_are_none() -> None:
    assert tutorial.agree("freq 0.5000 (12.3%)", "freq 0.5001  (12.3%)")
    assert not tutorial.agree("freq 0.5", "freq 0.6")
    assert not tutorial.agree("freq 0.5", "freq 0.5 more")
    assert not tutorial.agree("neuron 1.3", "neuron 1.30x")
