"""`neurondb status` end to end."""

import json
from pathlib import Path

from click.testing import CliRunner

from neurondb.cli import cli
from neurondb.migrate import create_or_open
from neurondb.schema import REVISION
from tests.support.sample_database import build


def test_status_names_every_model_and_what_is_missing(tmp_path: Path) -> None:
    url = build(tmp_path / "sample.db").url

    text = CliRunner().invoke(cli, ["status", "--db", url]).stdout
    found = json.loads(CliRunner().invoke(cli, ["status", "--db", url, "--format", "json"]).stdout)

    assert text.startswith(url)
    # The sample was inserted, not ingested: the ledger knows of no finished step.
    assert text.count("not ingested") == 8
    assert [m["model"] for m in found["models"]] == ["sample-gpt", "sample-llama"]
    assert found["revision"] == REVISION


def test_status_of_one_model(tmp_path: Path) -> None:
    url = build(tmp_path / "sample.db").url

    text = CliRunner().invoke(cli, ["status", "--db", url, "sample-gpt"]).stdout

    assert "sample-gpt · 4 layers" in text
    assert "sample-llama" not in text


def test_status_of_an_empty_database(tmp_path: Path) -> None:
    url = str(tmp_path / "empty.db")
    create_or_open(url).dispose()

    result = CliRunner().invoke(cli, ["status", "--db", url])

    assert result.exit_code == 0
    assert f"schema {REVISION}" in result.stdout
    assert "neurondb ingest MODEL" in result.stderr


def test_other_formats_have_a_row_for_each_stage(tmp_path: Path) -> None:
    url = build(tmp_path / "sample.db").url
    run = CliRunner().invoke
    document = run(cli, ["status", "--db", url, "--format", "json"]).stdout
    stages = {
        (known["model"], stage["stage"])
        for known in json.loads(document)["models"]
        for stage in known["stages"]
    }
    lines = run(cli, ["status", "--db", url, "--format", "ndjson"]).stdout.splitlines()
    assert {(row["model"], row["stage"]) for row in map(json.loads, lines)} == stages
    assert run(cli, ["status", "--db", url, "-o", str(tmp_path / "s.csv")]).stdout == ""
    assert (tmp_path / "s.csv").read_text().startswith("model,stage,dataset,layers_done")
