"""Files of objects: JSON, JSON lines, or tab-separated values with a header, read alike."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from neurondb.errors import TextError
from neurondb.text_decoding import format_path, read_text, replace_surrogates


def read_objects(file: Path) -> list[Mapping[str, Any]]:
    """Return the objects of a file: a JSON array, an object a line, or rows under a header.

    Raises:
        TextError: when it cannot be read or holds something else.
    """
    content = read_json(file) if file.suffix.lower() == ".json" else _by_suffix(file)
    if not isinstance(content, list) or not all(isinstance(row, dict) for row in content):
        raise TextError(f"{format_path(file)}: not a list of objects")
    if not content:
        raise TextError(f"{format_path(file)}: nothing in it")
    return content


def read_json(file: Path) -> Any:
    """Return what a JSON file holds; TextError when it cannot be read."""
    try:
        return replace_surrogates(json.loads(read_text(file)))
    except (ValueError, RecursionError) as error:
        raise TextError(f"{format_path(file)}: not JSON ({error})") from error


def _by_suffix(file: Path) -> list[Any]:
    reader = _READERS.get(file.suffix.lower())
    if reader is None:
        endings = ", ".join((".json", *_READERS))
        raise TextError(
            f"{file}: cannot read {file.suffix or 'a file without ending'!r}; {endings}"
        )
    return reader(file)


def _lines(file: Path) -> list[Any]:
    rows = []
    for number, line in enumerate(read_text(file).split("\n"), start=1):
        if line.strip():
            try:
                rows.append(replace_surrogates(json.loads(line)))
            except (ValueError, RecursionError) as error:
                raise TextError(
                    f"{format_path(file)}, line {number}: not JSON ({error})"
                ) from error
    return rows


def _tsv(file: Path) -> list[Any]:
    lines = (line for line in read_text(file).split("\n") if line.strip())
    return list(csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE, restval=""))


_READERS: Final[dict[str, Callable[[Path], list[Any]]]] = {
    ".jsonl": _lines,
    ".ndjson": _lines,
    ".tsv": _tsv,
    ".tab": _tsv,
}
