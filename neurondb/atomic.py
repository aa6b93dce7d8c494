"""Files that appear only when all of them is written.

A file is written beside its place, under a hidden name that ends in `.part`, and renamed to it at
the end, which is one step for the file system. Whoever reads sees the old content or the new one,
never a half. When writing fails, or is stopped with Ctrl-C, the half is removed and what was there
before stays. What no file can be renamed to, like `/dev/stdout` or a pipe, is written to directly.
"""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from neurondb.errors import NeuronDBError


@contextmanager
def replace_at_end(path: Path, *, part: Path | None = None) -> Iterator[Path]:
    """Yield the path of a new file, which takes its place at `path` when the block ends.

    Args:
        path: Where the file goes.
        part: Where it is written until then, on the same disk. None is a name of this process and
            thread. A fixed name lets the next run overwrite what a killed one left behind, and is
            for files that only one process writes.

    Raises:
        OSError: when the file cannot be renamed; errors of the block pass through as they are.
    """
    if path.exists() and not path.is_file():
        yield path
        return
    part = part or path.with_name(f".{path.name}.{os.getpid()}-{threading.get_ident()}.part")
    try:
        yield part
        part.replace(path)
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)


@contextmanager
def open_atomic(path: Path, error: type[NeuronDBError] = NeuronDBError) -> Iterator[IO[bytes]]:
    """Open a file to write bytes to; it takes its place at `path` when the block ends.

    Raises:
        NeuronDBError: of the class `error`, when it cannot be written; what was there stays.
    """
    try:
        with replace_at_end(path) as part, part.open("wb") as stream:
            yield stream
    except OSError as cause:
        raise error(f"cannot write {path}: {cause.strerror or cause}") from cause


def write_atomic(path: Path, content: bytes | str) -> None:
    """Write a whole file, or replace it; text becomes UTF-8.

    Raises:
        NeuronDBError: when it cannot be written; what was there stays.
    """
    with open_atomic(path) as stream:
        stream.write(content.encode() if isinstance(content, str) else content)


def sync_to_disk(path: Path) -> None:
    """Wait until a file's content is on the disk, so that it outlives a loss of power."""
    with path.open("rb") as stream:
        os.fsync(stream.fileno())
