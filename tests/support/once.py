"""What takes minutes is made once a session of tests, by however many processes it is run."""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_VARIABLE = "NEURONDB_TESTS_SHARED"
"""Names the directory that the processes of a session share; the first of them sets it."""


@contextmanager
def once_a_session(name: str) -> Iterator[tuple[Path, bool]]:
    """Yield a directory, and whether it is empty: the first who asks fills it, others wait.

    Where filling it fails it is emptied, so that whoever waits tries again.
    """
    directory = Path(os.environ[_VARIABLE], name)
    directory.mkdir(exist_ok=True)
    with directory.with_suffix(".lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        is_first = not any(directory.iterdir())
        try:
            yield directory, is_first
        except BaseException:
            if is_first:
                shutil.rmtree(directory)
                directory.mkdir()
            raise


def make_shared_directory() -> None:
    """Make the directory, of which processes that are started from here on know."""
    os.environ[_VARIABLE] = tempfile.mkdtemp(prefix="neurondb-tests-shared-")


def remove_shared_directory() -> None:
    """Remove it with all that is in it."""
    shutil.rmtree(os.environ.pop(_VARIABLE), ignore_errors=True)
