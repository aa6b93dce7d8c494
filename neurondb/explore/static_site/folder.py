"""A folder that appears, or takes an earlier one's place, only when all of it is written."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from neurondb.errors import NeuronDBError

MARK: Final = ".neurondb-static"
"""A file that says that a folder was written here and may be replaced."""


@contextmanager
def replace_folder(folder: Path, *, force: bool) -> Iterator[Path]:
    """Yield a folder to fill, which gets its name at the end; a failure leaves what was there.

    Raises:
        NeuronDBError: when the folder is there and may not be replaced, or cannot be written.
    """
    folder = folder.resolve()
    _refuse(folder, force=force)
    partial = folder.with_name(f".{folder.name}.part")
    shutil.rmtree(partial, ignore_errors=True)  # left by a run that was killed
    try:
        partial.mkdir(parents=True)
        (partial / MARK).touch()
        yield partial
        _put(partial, folder)
    except OSError as error:
        raise NeuronDBError(f"cannot write {folder}: {error.strerror or error}") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _refuse(folder: Path, *, force: bool) -> None:
    if not folder.exists():
        return
    if not folder.is_dir() or not (folder / MARK).exists():
        raise NeuronDBError(f"{folder} is there already; give a new folder")
    if not force:
        raise NeuronDBError(f"{folder} is there already; --force replaces the site in it")


def _put(partial: Path, folder: Path) -> None:
    before = folder.with_name(f".{folder.name}.before")
    shutil.rmtree(before, ignore_errors=True)
    if folder.exists():
        folder.rename(before)
    partial.rename(folder)
    shutil.rmtree(before, ignore_errors=True)
