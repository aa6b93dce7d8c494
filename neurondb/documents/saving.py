"""A document's files in a folder of its own: a page, Markdown, and the Markdown's figures.

All files are written before the first of them takes its place, so that what fails or is stopped
leaves the folder as it was. A folder with anything else in it is refused, since the files of an
earlier document that this one has not are removed.
"""

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Final, NamedTuple

from neurondb.documents.html import write_html
from neurondb.documents.markdown import FIGURES_FOLDER, write_markdown
from neurondb.documents.markup import Document
from neurondb.errors import NeuronDBError

_FIGURE: Final = re.compile(rf"\]\(({FIGURES_FOLDER}/[\w.-]+)\)")


class Saved(NamedTuple):
    """A document that was written.

    Attributes:
        page: the HTML page.
        n_bytes: its size.
        markdown: the Markdown, whose figures are in a folder beside it.
    """

    page: Path
    n_bytes: int
    markdown: Path


def require_folder(directory: Path, name: str) -> None:
    """Look whether a document can be written to a folder, before anything is computed for it.

    Args:
        directory: where it goes; it need not exist.
        name: name of the document's files without their suffixes.

    Raises:
        NeuronDBError: when it is no folder, or holds what no document of this name has written.
    """
    if directory.exists() and not directory.is_dir():
        raise NeuronDBError(f"{directory} is a file; give a folder")
    others = sorted(set(_list_files(directory)) - _list_earlier(directory, name))
    if others:
        more = f" and {len(others) - 1} more" if others[1:] else ""
        raise NeuronDBError(
            f"{directory} holds other files ({others[0]}{more}); give a new folder, or one with an "
            f"earlier {name}"
        )


def save_document(document: Document, directory: Path, name: str) -> Saved:
    """Write a document's files, or replace those of an earlier one.

    Raises:
        NeuronDBError: as `require_folder` does, and when a file cannot be written.
    """
    require_folder(directory, name)
    markdown = write_markdown(document)
    files = {
        f"{name}.html": write_html(document).encode(),
        f"{name}.md": markdown.text.encode(),
        **markdown.figures,
    }
    outdated = _list_earlier(directory, name) - files.keys()
    try:
        with _make_stage(directory) as stage:
            for path, content in files.items():
                (stage / path).parent.mkdir(exist_ok=True)
                (stage / path).write_bytes(content)
            _move(stage, directory, list(files))
        for path in outdated:
            (directory / path).unlink(missing_ok=True)
    except OSError as cause:
        raise NeuronDBError(f"cannot write to {directory}: {cause.strerror or cause}") from cause
    return Saved(directory / f"{name}.html", len(files[f"{name}.html"]), directory / f"{name}.md")


@contextmanager
def _make_stage(directory: Path) -> Iterator[Path]:
    """Yield a new hidden folder on the disk of the document's, removed at the end."""
    place = directory if directory.is_dir() else directory.absolute().parent
    place.mkdir(parents=True, exist_ok=True)
    stage = place / f".{directory.absolute().name}.{os.getpid()}.part"
    stage.mkdir()
    try:
        yield stage
    finally:
        shutil.rmtree(stage, ignore_errors=True)


def _move(stage: Path, directory: Path, paths: list[str]) -> None:
    """Put files in their place: a new folder in one step, the files of an old one by renaming."""
    if not directory.exists():
        stage.rename(directory)
        return
    (directory / FIGURES_FOLDER).mkdir(exist_ok=True)
    for path in reversed(paths):  # the page last
        (stage / path).replace(directory / path)


def _list_files(directory: Path) -> Iterator[str]:
    if directory.is_dir():
        for path in directory.rglob("*"):
            if not path.is_dir():
                yield str(PurePosixPath(path.relative_to(directory)))


def _list_earlier(directory: Path, name: str) -> set[str]:
    """Return the paths of an earlier document's files: what its Markdown names."""
    page, markdown = directory / f"{name}.html", directory / f"{name}.md"
    if not (page.is_file() and markdown.is_file()):
        return set()
    text = markdown.read_text(encoding="utf-8", errors="replace")
    return {page.name, markdown.name, *_FIGURE.findall(text)}
