"""`neurondb report` as a user meets it, and `db.report` as Python does."""

import re
from pathlib import Path

import pytest
from click.testing import CliRunner

import neurondb as ndb
from neurondb.cli import cli
from neurondb.errors import NeuronDBError
from tests.neurondb.figures.specs import UNGATED
from tests.support.ingested import Silent
from tests.support.sample_facts import Sample


def test_the_last_line_says_where_the_page_is_and_how_large(sample: Sample, tmp_path: Path) -> None:
    out = tmp_path / "out"
    arguments = ["report", UNGATED, "-o", str(out), "--title", "A <title>", "--db", sample.url]
    result = CliRunner().invoke(cli, arguments, catch_exceptions=False)
    assert result.stdout == ""
    last = result.stderr.splitlines()[-1]
    assert re.fullmatch(
        rf"wrote {out}/report.html \([\d.]+ [kM]B, \d+ figures\) and report.md", last
    )
    assert "<h1>A &lt;title&gt;</h1>" in (out / "report.html").read_text()
    assert (out / "report.md").read_text().startswith("# A \\<title\\>\n")


def test_python_replaces_an_earlier_report_and_nothing_else(sample: Sample, tmp_path: Path) -> None:
    with ndb.open(sample.url) as db:
        first = db.report(UNGATED, output=tmp_path / "out", progress=Silent())
        assert first.page.is_file()
        assert "frequency-by-class" in first.figures
        first.page.with_name("notes.txt").write_text("mine")
        with pytest.raises(NeuronDBError, match=r"notes\.txt"):
            db.report(UNGATED, output=tmp_path / "out", progress=Silent())
