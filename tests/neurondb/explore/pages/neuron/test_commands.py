"""The commands of a neuron's page can be pasted as they stand."""

import shlex

import pytest
from click.testing import CliRunner

from neurondb.cli import cli
from tests.neurondb.explore.site_client import Site
from tests.support.sample_facts import Sample


def lines(site: Site, address: str) -> list[str]:
    return [one["line"] for one in site.get(f"{address}.json").json["commands"]]


@pytest.mark.parametrize("address", ["/neuron/sample-llama/2.5", "/neuron/sample-gpt/1.3"])
def test_those_that_only_read_run_as_they_are_printed(
    site: Site, sample: Sample, address: str
) -> None:
    export, *rest = lines(site, address)
    name, _, value = shlex.split(export)[1].partition("=")
    shown = [shlex.split(line) for line in rest if line.startswith("neurondb show")]

    assert (export.split()[0], name) == ("export", "NEURONDB_URL")
    assert len(shown) == 2
    for words in shown:
        result = CliRunner(env={name: value}).invoke(cli, words[1:])
        assert result.exit_code == 0, result.output


def test_the_clamp_names_a_prompt_and_a_token_that_is_there(site: Site, sample: Sample) -> None:
    (clamp,) = (one for one in lines(site, "/neuron/sample-llama/2.5") if " clamp " in one)
    words = shlex.split(clamp)

    assert words[:4] == ["neurondb", "clamp", "sample-llama", "2.5"]
    assert words[4]
    assert "PROMPT" not in words
    found = CliRunner(env={"NEURONDB_URL": str(sample.path)}).invoke(
        cli, ["tokens", "sample-llama", words[words.index("--target") + 1]]
    )
    assert found.exit_code == 0, found.output
