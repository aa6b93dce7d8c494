"""One word means one thing: an option has the same kind of value in every command."""

from collections import defaultdict
from collections.abc import Iterator

import click
import pytest
from click.testing import CliRunner

from neurondb.cli import cli, options
from tests.support.sample_facts import Sample

SEVERAL = {
    "--case": "one that is stored, or signs that a scorer is to tell",
    "--count": "how many neurons match, or which text is counted in what was generated",
    "--examples": "how many are shown, or a yes: whether they are read",
    "--layers": "which, or how many a model has that only imports know",
    "--dataset": "texts from anywhere where texts are read, a stored dataset where they are not",
    "--model": "a stored one, or a file",
    "--neurons": "a list, parsed at once or when the model is known",
}
"""Options whose values differ from command to command, and why they may."""


def commands(group: click.Command, path: str = "") -> Iterator[tuple[str, click.Command]]:
    if isinstance(group, click.Group):
        context = click.Context(group)
        for name in group.list_commands(context):
            command = group.get_command(context, name)
            assert command is not None
            yield from commands(command, f"{path} {name}".strip())
    else:
        yield path, group


def test_an_option_takes_the_same_kind_of_value_everywhere() -> None:
    kinds: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for path, command in commands(cli):
        for option in command.params:
            if isinstance(option, click.Option):
                kind = "flag" if option.is_flag else type(option.type).__name__
                if option.opts[-1] != "--output":
                    kinds[option.opts[-1]][kind].append(path)
    differing = {name: dict(kind) for name, kind in kinds.items() if len(kind) > 1}
    assert differing.keys() == SEVERAL.keys(), differing


def test_no_seed_is_negative() -> None:
    seeds = [
        option for _, command in commands(cli) for option in command.params if option.name == "seed"
    ]
    assert len(seeds) >= 8
    for option in seeds:
        with pytest.raises(click.BadParameter):
            option.type.convert("-1", option, None)


def test_a_former_name_is_understood_and_not_shown() -> None:
    @click.command()
    @click.option("--draw", cls=options.Renamed, formerly=("--count",), type=int)
    def command(draw: int | None) -> None:
        click.echo(draw)

    run = CliRunner().invoke
    assert run(command, ["--draw", "3"]).output == "3\n"
    assert run(command, ["--count", "3"]).output == "3\n"
    assert "--count" not in run(command, ["--help"]).output
    assert "'--draw'" in run(command, ["--count", "x"]).output


LIMITED = {
    "find": ["find", "model=sample-llama"],
    "tokens": ["tokens", "sample-llama", " dog"],
}
"""Commands with --limit whose rows the sample database has."""
LIMITED_ELSEWHERE = {
    *("case-study", "compare", "concept", "families", "heads", "neighbours", "texts"),
    *("universality", "explain", "publish", "export circuitsvis", "export neuronpedia"),
    *("export sae-dashboard", "export gluscope"),
}
"""These have a test of it beside their own."""


def test_a_limit_counts_alike_everywhere() -> None:
    limits = {
        path: option
        for path, command in commands(cli)
        for option in command.params
        if "--limit" in option.opts
    }
    assert set(limits) == {*LIMITED, *LIMITED_ELSEWHERE}
    for path, option in limits.items():
        assert isinstance(option.type, click.IntRange), path
        assert (option.type.min, option.metavar) == (0, "N"), path


@pytest.mark.parametrize("path", LIMITED)
def test_a_limit_of_0_is_all(path: str, sample: Sample) -> None:
    def rows(limit: int, form: str = "csv") -> int:
        asked = [*LIMITED[path], "--limit", str(limit), "--format", form, "--db", sample.url]
        ended = CliRunner().invoke(cli, asked)
        assert ended.exception is None, ended.exception
        return len(ended.stdout.splitlines()) - 1

    assert rows(2) == 2
    assert rows(0) == rows(1_000_000) > 2
    assert rows(0, "table") >= rows(2, "table")
