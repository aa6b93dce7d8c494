"""Files appear whole or not at all, and nothing is left beside them."""

import errno
import os
import re
import threading
from pathlib import Path

import pytest

from neurondb.atomic import open_atomic, replace_at_end, sync_to_disk, write_atomic
from neurondb.errors import IngestError, NeuronDBError


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def test_the_new_content_takes_the_place_of_the_old_one(tmp_path: Path) -> None:
    file = tmp_path / "a.txt"
    file.write_text("old")
    with replace_at_end(file) as part:
        part.write_text("new")
        assert file.read_text() == "old"
    assert file.read_text() == "new"
    assert names(tmp_path) == ["a.txt"]


@pytest.mark.parametrize("stop", [KeyboardInterrupt, SystemExit, ValueError, OSError])
def test_what_stops_the_writing_leaves_the_old_content(
    tmp_path: Path, stop: type[BaseException]
) -> None:
    file = tmp_path / "a.txt"
    file.write_text("old")

    def write_half() -> None:
        with replace_at_end(file) as part:
            part.write_text("half")
            raise stop

    with pytest.raises(stop):
        write_half()
    assert file.read_text() == "old"
    assert names(tmp_path) == ["a.txt"]


def test_text_is_utf_8_and_bytes_are_bytes(tmp_path: Path) -> None:
    write_atomic(tmp_path / "a", "ä\n")
    write_atomic(tmp_path / "b", b"\xff\r\n")
    assert (tmp_path / "a").read_bytes() == b"\xc3\xa4\n"
    assert (tmp_path / "b").read_bytes() == b"\xff\r\n"


def test_permissions_are_those_of_a_file_that_is_opened(tmp_path: Path) -> None:
    (tmp_path / "plain").touch()
    write_atomic(tmp_path / "ours", "")
    assert (tmp_path / "ours").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_a_failure_is_one_line_of_the_error_that_was_asked_for(tmp_path: Path) -> None:
    with pytest.raises(NeuronDBError, match=r"/a/b\b.*No such file"):
        write_atomic(tmp_path / "a" / "b", "")
    with (
        pytest.raises(IngestError, match=r"/a\b.*No space left"),
        open_atomic(tmp_path / "a", IngestError),
    ):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert names(tmp_path) == []


def test_a_directory_is_not_replaced(tmp_path: Path) -> None:
    with pytest.raises(NeuronDBError, match=re.escape(str(tmp_path))):
        write_atomic(tmp_path, "")
    assert names(tmp_path) == []


def test_a_pipe_is_written_to_as_it_is(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    content: list[bytes] = []
    reader = threading.Thread(target=lambda: content.append(pipe.read_bytes()))
    reader.start()
    write_atomic(pipe, b"through")
    reader.join()
    assert content == [b"through"]
    assert names(tmp_path) == ["pipe"]


def test_two_threads_do_not_write_into_each_others_half(tmp_path: Path) -> None:
    file, both = tmp_path / "a", threading.Barrier(2)

    def write(content: str) -> None:
        with replace_at_end(file) as part:
            both.wait()
            part.write_text(content)
            both.wait()

    threads = [threading.Thread(target=write, args=(letter * 10,)) for letter in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert file.read_text() in ("a" * 10, "b" * 10)
    assert names(tmp_path) == ["a"]


def test_a_fixed_name_overwrites_what_a_killed_run_left(tmp_path: Path) -> None:
    file, left = tmp_path / "a", tmp_path / "a.tmp"
    left.write_text("half of a killed run")
    with replace_at_end(file, part=left) as part:
        part.write_text("whole")
    assert file.read_text() == "whole"
    assert names(tmp_path) == ["a"]


def test_a_file_is_synced_where_it_lies(tmp_path: Path) -> None:
    write_atomic(tmp_path / "a", "x")
    sync_to_disk(tmp_path / "a")
    assert (tmp_path / "a").read_text() == "x"
