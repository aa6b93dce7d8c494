"""`neurondb report` as a user meets it."""

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


def test_the_last_line_says_where_the_page_is_and_other_files_are_refused(
    sample: Sample, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    arguments = ["report", UNGATED, "-o", str(out), "--title", "A <title>", "--db", sample.url]
    result = CliRunner().invoke(cli, arguments, catch_exceptions=False)
    assert result.stdout == ""
    last = result.stderr.splitlines()[-1]
    said = rf"wrote {out}/report.html \([\d.]+ [kM]B, \d+ figures\) and report.md"
    assert re.fullmatch(said, last)
    assert "<h1>A &lt;title&gt;</h1>" in (out / "report.html").read_text()
    assert (out / "report.md").read_text().startswith("# A \\<title\\>\n")
    (out / "notes.txt").write_text("mine")
    with ndb.open(sample.url) as db, pytest.raises(NeuronDBError, match=r"notes\.txt"):
        db.report(UNGATED, output=out, progress=Silent())
