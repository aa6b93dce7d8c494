"""`neurondb publish` removes nothing of others, and leaves nothing half."""

import os
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from tests.neurondb.cli.publish.command import done, refusal
from tests.support.sample_facts import Sample


def test_what_is_there_is_replaced_only_by_force(
    site: Path, sample: Sample, tmp_path: Path
) -> None:
    there = tmp_path / "site"
    shutil.copytree(site, there)
    (there / "README.txt").write_text("old")

    assert "--force" in refusal("--db", sample.url, "-o", str(there))
    assert (there / "README.txt").read_text() == "old"
    done("--db", sample.url, "-o", str(there), "--force")
    assert (there / "README.txt").read_text() != "old"
    assert [path.name for path in tmp_path.iterdir()] == ["site"]


def test_other_files_are_never_removed(sample: Sample, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    said = refusal("--db", sample.url, "-o", str(tmp_path), "--force")
    assert "thesis.txt" in said
    (tmp_path / "site.partial").mkdir()
    (tmp_path / "site.partial" / "mine.txt").write_text("mine")
    assert "site.partial" in refusal("--db", sample.url, "-o", str(tmp_path / "site"))
    assert (tmp_path / "site.partial" / "mine.txt").read_text() == "mine"
    said = refusal("--db", sample.url, "-o", str(tmp_path / "thesis.txt"))
    assert "thesis.txt" in said
    assert "a file" in said


def test_what_a_killed_run_left_is_in_nobodys_way(sample: Sample, tmp_path: Path) -> None:
    (tmp_path / "site.partial").mkdir()
    (tmp_path / "site.partial" / "neurondb.db").write_bytes(b"half")
    done("--db", sample.url, "-o", str(tmp_path / "site"))

    assert [path.name for path in tmp_path.iterdir()] == ["site"]


def test_only_a_database_of_ours_is_published(sample: Sample, tmp_path: Path) -> None:
    target = str(tmp_path / "site")
    (tmp_path / "text.db").write_text("no database at all, whatever its name may say")

    for name, part in (("none.db", "no database"), ("text.db", "SQLite")):
        said = refusal("--db", str(tmp_path / name), "-o", target)
        assert name in said
        assert part in said
    said = refusal("--db", "postgresql://me:secret@nowhere.invalid/neurons", "-o", target)
    assert "nowhere.invalid/neurons" in said
    assert "SQLite" in said
    assert "secret" not in said
    said = refusal("--db", sample.url, "-o", target, "--model", "sample-lama")
    assert "'sample-llama'" in said
    assert not (tmp_path / "site").exists()


def test_a_database_that_is_not_whole_is_not_published(writable: Path, tmp_path: Path) -> None:
    with closing(sqlite3.connect(writable)) as connection, connection:
        connection.execute("DELETE FROM comparison_neurons WHERE layer = 3")
    said = refusal("--db", str(writable), "-o", str(tmp_path / "site"))

    assert "source.db" in said
    assert "not whole" in said
    assert [path.name for path in tmp_path.iterdir()] == ["source.db"]


def test_a_disk_without_room_is_told_before_anything_is_written(
    sample: Sample, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    little = shutil._ntuple_diskusage(10**6, 10**6 - 1000, 1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: little)
    said = refusal("--db", sample.url, "-o", str(tmp_path / "site"))

    assert "1.0 kB" in said
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not hasattr(os, "fork"), reason="limits of POSIX")
def test_a_file_that_cannot_grow_is_one_line_and_leaves_nothing(
    sample: Sample, tmp_path: Path
) -> None:
    command = f"ulimit -f 64; exec {sys.executable} -m neurondb publish --db '{sample.url}' -o site"
    result = subprocess.run(
        ["bash", "-c", command], cwd=tmp_path, capture_output=True, text=True, timeout=120
    )

    assert result.returncode == 1
    last = result.stderr.strip().splitlines()[-1]
    assert last.startswith("neurondb: ")
    assert "disk" in last
    assert "Traceback" not in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_directory_that_cannot_be_made_is_one_line(sample: Sample, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    said = refusal("--db", sample.url, "-o", str(tmp_path / "file" / "site"))

    assert str(tmp_path / "file" / "site") in said
