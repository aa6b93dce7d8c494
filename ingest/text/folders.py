"""A directory of texts: which of its files are read, and in which order.

Files come in the order of their names, whatever order the disk keeps them in. What is hidden is
left out at any depth: version control, caches and editors keep their own things there.
"""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from ingest.text.files import detect_format, read_part
from ingest.text.rows import LabelledText, LabelledTexts
from neurondb.errors import TextError
from neurondb.text_decoding import format_path

DESCRIPTIONS: Final = frozenset({"dataset_info.json", "state.json"})
"""What `datasets` writes beside Arrow files."""
SPLITS: Final = "dataset_dict.json"
"""What it writes beside the folders of several splits."""


def read_folder(root: Path, label_field: str) -> LabelledTexts:
    """Read the files of a directory: rows of files of rows, of others one text each.

    Their label is that of the row, else the folder that the file is in, seen from `root`.

    Raises:
        TextError: when a folder or file cannot be read, or is no text.
    """
    for file in list_visible_files(root):
        folder = file.parent.relative_to(root)
        folder_label = format_path(folder.as_posix()) if label_field and folder != Path() else None
        for row in read_part(file, label_field):
            yield row and LabelledText(row.text, row.label or folder_label)


def list_visible_files(root: Path) -> Iterator[Path]:
    """Yield the files below a directory that are not hidden, by name.

    A link to a folder is followed where that lies elsewhere, so that each text is read once and no
    loop is entered.

    Raises:
        TextError: when a folder cannot be listed, or a link leads nowhere.
    """
    return _walk(root, os.path.realpath(root), set())


def _walk(folder: Path, root: str, seen: set[str]) -> Iterator[Path]:
    real_path = os.path.realpath(folder)
    if real_path in seen:
        return
    seen.add(real_path)
    try:
        paths = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
        kinds = [(path, path.is_dir(), path.is_file()) for path in paths]
    except OSError as error:
        raise TextError(f"{format_path(folder)}: {error.strerror or error}") from error
    left_out = _find_left_out(folder, [path for path, _, is_file in kinds if is_file])
    for path, is_folder, is_file in kinds:
        if is_folder:
            if not path.is_symlink() or _lies_elsewhere(path, root):
                yield from _walk(path, root, seen)
        elif is_file:
            if path.name not in left_out:
                yield path
        elif path.is_symlink():
            raise TextError(
                f"{format_path(path)}: a link that leads to no file; remove it or mend it"
            )


def _lies_elsewhere(link: Path, root: str) -> bool:
    real_path = os.path.realpath(link)
    return os.path.commonpath([real_path, root]) not in (real_path, root)


def _find_left_out(folder: Path, files: list[Path]) -> set[str]:
    """Return the names of files that describe the dataset of a folder, or are left over in it."""
    names = {path.name for path in files}
    arrow = {path.name for path in files if detect_format(path) == ".arrow"}
    left_out = set()
    if SPLITS in names and isinstance(_field(folder / SPLITS, "splits"), list):
        left_out.add(SPLITS)
    if arrow:
        left_out |= DESCRIPTIONS & names
    listed = _field(folder / "state.json", "_data_files") if "state.json" in names else None
    if arrow and isinstance(listed, list):
        # Others are caches of what was once computed from the dataset.
        left_out |= arrow - {entry.get("filename") for entry in listed if isinstance(entry, dict)}
    return left_out


def _field(file: Path, name: str) -> object:
    try:
        content = json.loads(file.read_bytes())
    except (ValueError, OSError, RecursionError):
        return None
    return content.get(name) if isinstance(content, dict) else None
