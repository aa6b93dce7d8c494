"""`neurondb merge` parses and hands over; what merging does is tested with the job."""

import re
from pathlib import Path

import click
import pytest

from neurondb.cli import merge as cli_merge
from neurondb.contracts.ingest import IngestReport, MergeRequest
from neurondb.errors import IngestError

merge = cli_merge.merge


def run(*arguments: str) -> None:
    merge.main(list(arguments), standalone_mode=False)


def test_the_files_go_to_the_job(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[tuple[str, MergeRequest]] = []

    def job(name: str) -> object:
        def merged(request: MergeRequest, _: object) -> IngestReport:
            asked.append((name, request))
            return IngestReport("tiny", "n.db", {"activations": 5}, {}, 1.0)

        return merged

    monkeypatch.setattr(cli_merge, "load_job", job)
    files = [str(tmp_path / name) for name in ("b.shard", "a.shard")]
    for file in files:
        Path(file).touch()
    run(*files, "--db", "n.db", "--force")
    run(files[0])
    assert asked == [
        ("merge", MergeRequest(tuple(files), "n.db", True)),
        ("merge", MergeRequest((files[0],), None, False)),
    ]
    said = capsys.readouterr()
    assert said.out == ""
    assert re.search("tiny.*5 activations", said.err)


def test_no_file_is_wrong_usage() -> None:
    with pytest.raises(click.MissingParameter):
        run()


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(IngestError, match=r"absent\.shard"):
        run(str(tmp_path / "absent.shard"))
