"""`neurondb query` as a user meets it."""

import csv
import re
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from neurondb import named_queries
from neurondb.cli.query import query
from neurondb.errors import UsageError
from tests.support.sample_facts import Sample


def ran(*arguments: str) -> Result:
    return CliRunner().invoke(query, arguments)


def test_list_shows_every_query_with_its_parameters() -> None:
    lines = ran("--list", "--format", "csv").stdout.splitlines()
    listed = {row["name"]: row for row in csv.DictReader(lines)}
    assert set(listed) == set(named_queries.list_names())
    assert listed["weakening-often"]["parameters"] == "[model] class=weakening freq=0.6 limit=50"


def test_show_prints_the_file() -> None:
    assert ran("dead-neurons", "--show").stdout.startswith("-- title: Dead neurons\n")


@pytest.mark.parametrize("more", [("-o", "x.csv"), ("--format", "json")])
def test_show_goes_to_no_file(more: tuple[str, str]) -> None:
    ended = ran("dead-neurons", "--show", *more)
    assert isinstance(ended.exception, UsageError)
    assert "--show" in str(ended.exception)
    assert more[0] in str(ended.exception)


def test_an_answer_can_go_to_a_file(sample: Sample, tmp_path: Path) -> None:
    path = tmp_path / "dog.csv"
    ended = ran(
        *("neurons-for-token", "--param", "token= dog", "--param", "model=sample-llama"),
        *("--db", sample.url, "-o", str(path)),
    )
    assert (ended.exit_code, ended.stdout) == (0, "")
    with path.open(newline="") as stream:
        assert {row["model"] for row in csv.DictReader(stream)} == {"sample-llama"}


def test_no_rows_says_so_on_stderr(sample: Sample) -> None:
    ended = ran("weakening-often", "--param", "freq=1", "--db", sample.url)
    (said,) = ended.stderr.splitlines()
    assert ended.exit_code == 0
    assert "no rows" in said
    assert len(ended.stdout.splitlines()) == 1


def test_an_answer_as_long_as_its_limit_says_that_there_may_be_more(sample: Sample) -> None:
    asked = ("weakening-often", "--param", "freq=0", "--db", sample.url)
    ended = ran(*asked, "--param", "limit=2")
    assert len(ended.stdout.splitlines()) == 3
    assert "the first 2" in ended.stderr
    assert "--param limit=N" in ended.stderr
    whole = ran(*asked)
    assert 3 < len(whole.stdout.splitlines()) < 50
    assert whole.stderr == ""


def test_no_rows_of_a_place_that_is_not_there_says_which_are(sample: Sample) -> None:
    given = ("--param", "model=sample-gpt", "--param", "layer=9", "--param", "neuron=0")
    ended = ran("sign-cases-of-neuron", *given, "--db", sample.url)
    assert ended.exit_code == 0
    _, place = ended.stderr.splitlines()
    assert re.search(r"sample-gpt\b.*\b0 to 3\b.*\b0 to 63\b", place)


def test_missing_parameters_point_to_the_file(sample: Sample) -> None:
    ended = ran("neurons-for-token", "--db", sample.url)
    assert isinstance(ended.exception, UsageError)
    assert "`neurondb query neurons-for-token --show`" in str(ended.exception)


def test_no_name_is_wrong_usage() -> None:
    assert isinstance(ran().exception, UsageError)


@pytest.mark.parametrize(
    ("given", "said"),
    [(["--param", "model"], "NAME=VALUE"), (["--param", "a=1", "--param", "a=2"], "'a'")],
)
def test_malformed_parameters_are_wrong_usage(given: list[str], said: str) -> None:
    ended = ran("dead-neurons", *given)
    assert ended.exit_code == 2
    assert said in ended.stderr
