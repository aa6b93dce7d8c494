"""Reads tables and JSON a row at a time, whatever holds them; errors are one line with the place.

CSV and TSV with a header, JSON lines and Parquet are streamed; JSON arrays are read whole. Text
files may be compressed by gzip, with `.gz` after the ending that says what they are.
"""

import csv
import gzip
import json
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any, Final, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from neurondb.errors import TextError
from neurondb.parquet_files import name_reason, read_batches
from neurondb.text_decoding import format_path

ROWS_A_BATCH: Final = 4096
_DELIMITERS: Final = {".csv": ",", ".tsv": "\t", ".tab": "\t"}
_LINES: Final = (".jsonl", ".ndjson")
_LONGEST_FIELD: Final = 1 << 24
"""Characters of a CSV's field at most."""


class PlacedRow(NamedTuple):
    """A row, and where it stands, for messages."""

    place: str
    values: Mapping[str, Any]


def list_files(path: Path, *endings: str) -> list[Path]:
    """Return a file, or a folder's files with one of these endings, by name, in all its folders.

    Raises:
        TextError: when there is none.
    """
    if not path.exists():
        raise TextError(f"{format_path(path)}: no such file or folder")
    if path.is_file():
        return [path]
    files = [file for file in path.rglob("*") if file.name.endswith(endings) and file.is_file()]
    if not files:
        raise TextError(f"{format_path(path)} has no file in it that ends in {', '.join(endings)}")
    return sorted(files, key=_sort_by_numbers)


def _sort_by_numbers(file: Path) -> list[tuple[int, int | str]]:
    """Return the key by which batch-10 comes after batch-9."""
    parts = file.as_posix().replace(".", "/").replace("-", "/").replace("_", "/").split("/")
    return [(0, int(part)) if part.isdecimal() else (1, part) for part in parts]


def find_ending(file: Path) -> str:
    """Return a file's ending, without that of its compression, in small letters."""
    name = file.name.lower().removesuffix(".gz")
    return Path(name).suffix


def read_rows(file: Path) -> Iterator[PlacedRow]:
    """Yield the rows of a table, each an object of its columns.

    Raises:
        TextError: when it cannot be read, or a row is no object.
    """
    ending = find_ending(file)
    if ending == ".parquet":
        yield from _read_parquet(file)
    elif ending in _DELIMITERS:
        yield from _read_separated(file, _DELIMITERS[ending])
    else:
        for place, value in read_json(file):
            rows = value if isinstance(value, list) else [value]
            for number, row in enumerate(rows, start=1):
                where = f"{place}, row {number}" if isinstance(value, list) else place
                if not isinstance(row, dict):
                    raise TextError(
                        f"{where}: a row must be an object, like {{'neuron': '31.9634'}}"
                    )
                yield PlacedRow(where, row)


def read_json(file: Path) -> Iterator[tuple[str, Any]]:
    """Yield each JSON value of a file with its place: a line's, or the whole file's.

    Raises:
        TextError: when it cannot be read, or is no JSON.
    """
    name = format_path(file)
    by_lines = find_ending(file) in _LINES
    try:
        with _open_text(file) as stream:
            if not by_lines:
                yield name, json.load(stream)
                return
            for number, line in enumerate(stream, start=1):
                if line.strip():
                    yield f"{name}, line {number}", _decode(line, f"{name}, line {number}")
    except json.JSONDecodeError as error:
        raise TextError(f"{name} is no JSON: {error}") from error
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise _explain(file, error) from error


def _decode(line: str, place: str) -> Any:
    try:
        return json.loads(line)
    except json.JSONDecodeError as error:
        raise TextError(f"{place} is no JSON: {error}") from error


def _open_text(file: Path) -> IO[str]:
    if file.name.lower().endswith(".gz"):
        return gzip.open(file, "rt", encoding="utf-8-sig", newline="")
    return file.open(encoding="utf-8-sig", newline="")


def _read_separated(file: Path, delimiter: str) -> Iterator[PlacedRow]:
    csv.field_size_limit(_LONGEST_FIELD)
    name = format_path(file)
    try:
        with _open_text(file) as stream:
            for number, row in enumerate(csv.DictReader(stream, delimiter=delimiter), start=1):
                if None in row:
                    raise TextError(
                        f"{name}, row {number} has more values than the header has columns; quote "
                        "what has a delimiter in it"
                    )
                yield PlacedRow(f"{name}, row {number}", row)
    except csv.Error as error:
        raise TextError(
            f"{name} is no table of values separated by {delimiter!r}: {error}"
        ) from error
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise _explain(file, error) from error


def _read_parquet(file: Path) -> Iterator[PlacedRow]:
    name, number = format_path(file), 0
    try:
        with pq.ParquetFile(file) as parquet:
            for batch in read_batches(parquet, ROWS_A_BATCH):
                for row in batch.to_pylist():
                    number += 1
                    yield PlacedRow(f"{name}, row {number}", row)
    except (OSError, pa.ArrowException) as error:
        raise _explain(file, error) from error


def _explain(file: Path, error: Exception) -> TextError:
    if isinstance(error, UnicodeDecodeError):
        reason = "it is not UTF-8; save it as UTF-8"
    elif isinstance(error, OSError) and error.strerror:
        reason = error.strerror
    else:
        reason = name_reason(error)
    return TextError(f"{format_path(file)} cannot be read: {reason}")
