"""Files of texts, one reader a format; those of text may be compressed.

`.txt` is split at `<|endoftext|>` where that occurs and otherwise at blank lines; `.jsonl`,
`.ndjson` and `.json` hold objects with a field `text`, one a line or in one array; `.parquet` and
`.arrow` (stream or file, as `datasets` saves them) have a column `text`.
"""

import json
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from ingest.text.rows import LabelledText, LabelledTexts, read_row
from neurondb.errors import TextError
from neurondb.parquet_files import read_batches
from neurondb.text_decoding import decode, format_path

END_OF_TEXT: Final = "<|endoftext|>"
CHUNK_BYTES: Final = 2**24
"""So much of a file of lines is held at a time."""
COMPRESSIONS: Final = {".gz": "gzip", ".bz2": "bz2", ".zst": "zstd"}


def detect_format(path: Path) -> str:
    """Return a file's ending in lower case, the one before that of a compression."""
    *others, last = [suffix.lower() for suffix in path.suffixes] or [""]
    return others[-1] if others and last in COMPRESSIONS else last


def read_file(path: Path, label_field: str) -> LabelledTexts:
    """Read a file of texts by its ending.

    Raises:
        TextError: when the ending is none of ours, or it cannot be read.
    """
    ending = detect_format(path)
    compressed = path.suffix.lower() in COMPRESSIONS
    if ending in TABLES and not compressed:
        return TABLES[ending](path, label_field)
    if ending in LINES:
        return _from_lines(path, label_field)
    if ending not in TEXTS:
        endings = ", ".join((*TEXTS, *TABLES))
        raise TextError(
            f"{format_path(path)}: cannot read {path.suffix or 'a file without ending'!r}; "
            f"give one of {endings}, a directory, or a hub dataset id"
        )
    return TEXTS[ending](read_content(path), format_path(path), label_field)


def read_part(path: Path, label_field: str) -> LabelledTexts:
    """Read a file of a directory: rows where it is a file of rows, else one text.

    A `.json` is one of rows where it begins with an object that has a field `text`.
    """
    ending = detect_format(path)
    if ending == ".json":
        content = read_content(path)
        if _begins_with_row(content):
            return _from_json(content, format_path(path), label_field)
        return iter([LabelledText(content)])
    if ending in (*TABLES, *ROWS):
        return read_file(path, label_field)
    return iter([LabelledText(read_content(path))])


def read_content(path: Path) -> str:
    """Return the text of a file, decompressed where its ending says so; TextError for none."""
    with _open(path) as stream:
        return decode(stream.read(), format_path(path))


@contextmanager
def _open(path: Path) -> Iterator[Any]:
    """Open a file to be read as bytes, decompressed where its ending says so."""
    compression = COMPRESSIONS.get(path.suffix.lower())
    try:
        with path.open("rb") as file:
            if compression is None:
                yield file
                return
            import pyarrow

            with pyarrow.input_stream(file, compression=compression) as stream:
                yield stream
    except OSError as error:
        raise TextError(f"{format_path(path)}: {_reason(error)}") from error


def _from_text(content: str, _name: str, _label_field: str) -> LabelledTexts:
    if END_OF_TEXT in content:
        return map(LabelledText, content.split(END_OF_TEXT))
    return map(LabelledText, re.split(r"\n[ \t]*\n", content))


def _from_json(content: str, name: str, label_field: str) -> LabelledTexts:
    rows = _entries(content, name)
    return _read_rows(_lines(content, name) if rows is None else rows, label_field)


def _read_rows(rows: Iterable[tuple[str, Any]], label_field: str) -> LabelledTexts:
    """Yield the texts of rows, each of which comes with where it is."""
    for where, row in rows:
        if not isinstance(row, dict) or "text" not in row:
            content_found = (
                f"its fields are {', '.join(row)}" if isinstance(row, dict) else repr(row)[:40]
            )
            raise TextError(f"{where}: not an object with a field 'text' ({content_found})")
        yield read_row(row, label_field, where)


def _from_lines(path: Path, label_field: str) -> LabelledTexts:
    """Read a file of an object a line, some megabytes at a time; one of an array as a whole."""
    name, n_lines = format_path(path), 0
    for chunk in _read_chunks(path):
        if n_lines == 0 and chunk.lstrip().startswith("["):
            yield from _from_json(read_content(path), name, label_field)
            return
        yield from _read_rows(_lines(chunk, name, n_lines + 1), label_field)
        n_lines += chunk.count("\n")


def _read_chunks(path: Path) -> Iterator[str]:
    """Yield the content of a file, cut behind ends of lines."""
    with _open(path) as stream:
        rest = b""
        while block := stream.read(CHUNK_BYTES):
            lines, end, rest = (rest + block).rpartition(b"\n")
            if end:
                yield _decode_chunk(lines + end, path)
    yield _decode_chunk(rest, path)


def _decode_chunk(data: bytes, path: Path) -> str:
    try:
        return decode(data, format_path(path))
    except TextError:
        read_content(path)  # says where in the file it is
        raise


def _entries(content: str, name: str) -> list[tuple[str, Any]] | None:
    """Return the entries of a file that is one array, with where they are; None for others."""
    if not content.lstrip().startswith("["):
        return None
    try:
        entries = json.loads(content)
    except (ValueError, RecursionError):
        return None  # lines that are arrays: refused with the first one's number
    return [(f"{name}, entry {number}", entry) for number, entry in enumerate(entries, start=1)]


def _lines(content: str, name: str, first: int = 1) -> Iterator[tuple[str, Any]]:
    """Yield the objects of lines, numbered from `first`, with where they are."""
    for number, line in enumerate(content.split("\n"), start=first):
        if not line.strip():
            continue
        where = f"{name}, line {number}"
        try:
            yield where, json.loads(line)
        except (ValueError, RecursionError) as error:
            raise TextError(f"{where}: not an object with a field 'text' ({error})") from error


def _begins_with_row(content: str) -> bool:
    try:
        first = next(iter(_entries(content, "") or _lines(content, "")), ("", None))[1]
    except TextError:
        return False
    return isinstance(first, dict) and "text" in first


def _from_parquet(path: Path, label_field: str) -> LabelledTexts:
    from pyarrow import parquet

    # Opened by Python, whose names of files may be of any bytes.
    with _read_as("Parquet", path), path.open("rb") as opened:
        file = parquet.ParquetFile(opened)
        _check_columns(file.schema_arrow.names, path)
        # A column that is not there is left out, one with dots is read without its siblings.
        batches = read_batches(file, columns=["text", label_field])
        yield from _from_batches(batches, path, label_field)


def _from_arrow(path: Path, label_field: str) -> LabelledTexts:
    import pyarrow

    with _read_as("Arrow", path), path.open("rb") as opened:
        is_file = opened.read(6) == b"ARROW1"
        opened.seek(0)
        reader: Any
        if is_file:
            reader = pyarrow.ipc.open_file(opened)
            batches = (reader.get_batch(number) for number in range(reader.num_record_batches))
        else:
            batches = reader = pyarrow.ipc.open_stream(opened)
        names = reader.schema.names
        _check_columns(names, path)
        columns = {"text", label_field, label_field.split(".")[0]} & set(names)
        yield from _from_batches(
            (batch.select(sorted(columns)) for batch in batches), path, label_field
        )


def _from_batches(batches: Iterable[Any], path: Path, label_field: str) -> LabelledTexts:
    name, before = format_path(path), 0
    for batch in batches:
        for number, row in enumerate(_rows(batch, name, before), start=before + 1):
            yield read_row(row, label_field, f"{name}, row {number}")
        before += batch.num_rows


def _rows(batch: Any, name: str, before: int) -> list[dict[str, Any]]:
    try:
        rows: list[dict[str, Any]] = batch.to_pylist()
    except UnicodeDecodeError as error:
        number = before + 1
        for number in range(before + 1, before + batch.num_rows + 1):
            try:
                batch.slice(number - before - 1, 1).to_pylist()
            except UnicodeDecodeError:
                break
        raise TextError(f"{name}, row {number}: holds bytes that are no UTF-8") from error
    return rows


def _check_columns(names: list[str], path: Path) -> None:
    if "text" not in names:
        raise TextError(
            f"{format_path(path)}: no column 'text'; it has {', '.join(names) or 'none'}"
        )


@contextmanager
def _read_as(kind: str, path: Path) -> Iterator[None]:
    import pyarrow

    try:
        yield
    except (pyarrow.ArrowException, OSError) as error:
        raise TextError(
            f"{format_path(path)}: cannot be read as {kind} ({_reason(error)})"
        ) from error


def _reason(error: Exception) -> str:
    message = getattr(error, "strerror", None) or str(error).strip()
    return (message.splitlines() or [type(error).__name__])[0]


FromText = Callable[[str, str, str], LabelledTexts]
"""Content, name for messages, label field → texts."""
ROWS: Final[dict[str, FromText]] = dict.fromkeys((".jsonl", ".ndjson", ".json"), _from_json)
LINES: Final = (".jsonl", ".ndjson")
"""Those of the files of rows that are read without holding all of them."""
TEXTS: Final[dict[str, FromText]] = {".txt": _from_text, **ROWS}
TABLES: Final[dict[str, Callable[[Path, str], LabelledTexts]]] = {
    ".parquet": _from_parquet,
    ".pq": _from_parquet,
    ".arrow": _from_arrow,
}
