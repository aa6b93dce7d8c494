"""`neurondb models` end to end."""

import csv
import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from neurondb.cli import cli
from neurondb.known_models import KNOWN
from neurondb.migrate import create_or_open
from tests.support.sample_database import build


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> str:
    return build(tmp_path_factory.mktemp("models") / "sample.db").url


def test_models_as_rows(url: str) -> None:
    found = json.loads(CliRunner().invoke(cli, ["models", "--db", url, "--format", "json"]).stdout)

    assert [(m["name"], m["gated"], m["n_neurons"], m["dataset"]) for m in found] == [
        ("sample-gpt", False, 256, "sample"),
        ("sample-llama", True, 256, "sample"),
    ]


def test_a_pipe_gets_rows_and_a_table_on_request(url: str) -> None:
    piped = CliRunner().invoke(cli, ["models", "--db", url]).stdout
    table = CliRunner().invoke(cli, ["models", "--db", url, "--format", "table"]).stdout

    assert [row[0] for row in csv.reader(piped.splitlines(), delimiter="\t")] == [
        *("name", "sample-gpt", "sample-llama"),
    ]
    assert "4 × 64" in table


def test_an_empty_database_is_answered_with_the_next_command(tmp_path: Path) -> None:
    url = str(tmp_path / "empty.db")
    create_or_open(url).dispose()

    result = CliRunner().invoke(cli, ["models", "--db", url, "--format", "json"])

    assert (result.exit_code, json.loads(result.stdout)) == (0, [])
    assert "neurondb ingest MODEL" in result.stderr
    assert CliRunner().invoke(cli, ["models", "--db", url, "--format", "table"]).stdout == ""


def test_known_models_need_no_database(tmp_path: Path) -> None:
    arguments = ["models", "--known", "--db", str(tmp_path / "none.db"), "--format", "json"]

    found = json.loads(CliRunner().invoke(cli, arguments).stdout)

    assert {row["slug"]: row["hub_id"] for row in found} == {
        known.slug: known.hub_id for known in KNOWN.values()
    }
