"""Write a result as a table, JSON, CSV, Parquet, …: to stdout or, atomically, to a file.

A new format is a function of rows and a stream, and its line in `FORMATS`.
"""

import codecs
import csv
import json
import math
import re
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain, islice
from pathlib import Path
from typing import IO, Any, Final, NamedTuple, cast

from neurondb.atomic import open_atomic
from neurondb.errors import NeuronDBError, UsageError
from neurondb.formatting.cells import export_value, format_cell, is_numeric
from neurondb.formatting.numbers import shorten_float
from neurondb.schema.columns import FLOAT32_COLUMNS
from neurondb.sql import Rows
from neurondb.terminal.table import write_table

PARQUET_BATCH: Final = 50_000
STDOUT: Final = Path("-")


class Format(NamedTuple):
    """How to write rows; `suffixes` are the ends of file names that ask for this format."""

    write: Callable[[Rows, Any], None]
    suffixes: tuple[str, ...]
    binary: bool = False


def write_markdown(rows: Rows, stream: IO[str]) -> None:
    """Write a table in GitHub's Markdown."""
    cells = list(rows.rows)
    rules = [
        "--:" if is_numeric(row[place] for row in cells) else ":--"
        for place in range(len(rows.columns))
    ]
    for line in (
        map(_escape_markdown, rows.columns),
        rules,
        *(map(_escape_markdown, row) for row in cells),
    ):
        stream.write(f"| {' | '.join(line)} |\n")


def _escape_markdown(value: Any) -> str:
    text = format_cell(value)
    return re.sub(r"[\\|`*_<>\[\]~&#$]", r"\\\g<0>", text) if isinstance(value, str) else text


def _shorten_rows(rows: Rows) -> Iterator[tuple[Any, ...]]:
    """Return rows for a text format: what was a float32 has the digits that tell one apart."""
    places = [place for place, name in enumerate(rows.columns) if name in FLOAT32_COLUMNS]
    if not places:
        return rows.rows
    return (_shorten_row(row, places) for row in rows.rows)


def _shorten_row(row: tuple[Any, ...], places: Sequence[int]) -> tuple[Any, ...]:
    values = list(row)
    for place in places:
        if isinstance(values[place], float):
            values[place] = shorten_float(values[place])
    return tuple(values)


def write_json(rows: Rows, stream: IO[str]) -> None:
    """Write one array with an object for every row."""
    separator = "[\n"
    for line in _encode_rows(rows):
        stream.write(f"{separator}{line}")
        separator = ",\n"
    stream.write("[]\n" if separator == "[\n" else "\n]\n")


def write_ndjson(rows: Rows, stream: IO[str]) -> None:
    """Write one object a line."""
    for line in _encode_rows(rows):
        stream.write(f"{line}\n")


def _encode_rows(rows: Rows) -> Iterator[str]:
    for row in _shorten_rows(rows):
        values = dict(zip(rows.columns, map(_encode_value, row), strict=True))
        yield json.dumps(values, allow_nan=False)


def _encode_value(value: Any) -> Any:
    value = export_value(value)
    return None if isinstance(value, float) and not math.isfinite(value) else value


class _UnixLines:
    """Ends the lines of csv.writer in LF; the writer ends them in CR LF, so that it quotes both."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream

    def write(self, line: str) -> None:
        self._stream.write(line.removesuffix("\r\n") + "\n")


def write_csv(rows: Rows, stream: IO[str]) -> None:
    """Write comma-separated values with a header; NULL is empty."""
    writer = csv.writer(_UnixLines(stream))
    writer.writerow(rows.columns)
    writer.writerows(map(export_value, row) for row in _shorten_rows(rows))


_TSV_ESCAPES: Final = str.maketrans({"\\": r"\\", "\t": r"\t", "\n": r"\n", "\r": r"\r"})


def write_tsv(rows: Rows, stream: IO[str]) -> None:
    r"""Write tab-separated values with a header, one line a row: \t, \n, \r and \\ are escaped."""
    for row in chain([rows.columns], _shorten_rows(rows)):
        stream.write("\t".join(map(_escape_tsv, row)) + "\n")


def _escape_tsv(value: Any) -> str:
    if value is None:
        return ""
    return value.translate(_TSV_ESCAPES) if isinstance(value, str) else str(export_value(value))


def write_parquet(rows: Rows, stream: IO[bytes]) -> None:
    """Write Parquet, a batch in memory at a time.

    The type of a column is known only after its last row (the first thousands may be NULL), so
    batches wait in a temporary file until all were seen.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    with tempfile.TemporaryFile() as spool:
        schemas, starts = [], []
        while batch := list(islice(rows.rows, PARQUET_BATCH)):
            table = _make_arrow_table(rows.columns, batch)
            schemas.append(table.schema)
            starts.append(spool.tell())
            with pa.ipc.new_stream(spool, table.schema) as writer:
                writer.write_table(table)
        schemas = schemas or [pa.schema([(name, pa.null()) for name in rows.columns])]
        with _refuse_mixed_types("a column"):
            schema = pa.unify_schemas(schemas, promote_options="permissive")
        with pq.ParquetWriter(stream, schema) as parquet:
            for start in starts:
                spool.seek(start)
                parquet.write_table(pa.ipc.open_stream(spool).read_all().cast(schema))


def _make_arrow_table(columns: tuple[str, ...], batch: list[tuple[Any, ...]]) -> Any:
    import pyarrow as pa

    arrays = []
    for name, values in zip(columns, zip(*batch, strict=True), strict=True):
        with _refuse_mixed_types(f"column {name!r}"):
            arrays.append(pa.array(values))
    return pa.table(arrays, names=list(columns))


@contextmanager
def _refuse_mixed_types(subject: str) -> Iterator[None]:
    import pyarrow as pa

    try:
        yield
    except (pa.ArrowException, OverflowError) as error:
        reason = str(error).splitlines()[0]
        raise NeuronDBError(
            f"{subject} holds values of several types: {reason}; CAST it in SQL"
        ) from error


FORMATS: Final = {
    "table": Format(write_table, (".txt",)),
    "json": Format(write_json, (".json",)),
    "ndjson": Format(write_ndjson, (".ndjson", ".jsonl")),
    "csv": Format(write_csv, (".csv",)),
    "tsv": Format(write_tsv, (".tsv", ".tab")),
    "parquet": Format(write_parquet, (".parquet", ".pq"), binary=True),
    "markdown": Format(write_markdown, (".md",)),
}


class Destination(NamedTuple):
    """Where results go, a file or stdout, and the format if one was asked for."""

    format: str | None = None
    path: Path | None = None

    @property
    def chosen(self) -> str:
        """The format asked for; else that of the file's suffix, table on a terminal, or tsv."""
        if self.format is not None:
            return self.format
        if self.file is None:
            return "table" if sys.stdout.isatty() else "tsv"
        suffix = self.file.suffix.lower()
        return _SUFFIXES[suffix] if suffix in _SUFFIXES else _refuse_suffix(self.file)

    @property
    def file(self) -> Path | None:
        """The file to write; none for stdout, which `-` means too."""
        return None if self.path == STDOUT else self.path


_SUFFIXES: Final = {suffix: name for name, form in FORMATS.items() for suffix in form.suffixes}


def _refuse_suffix(file: Path) -> str:
    if not file.suffix:
        return "tsv"
    suffixes = ", ".join(_SUFFIXES)
    raise UsageError(
        f"{file.name}: no format has the suffix {file.suffix!r}; use {suffixes}, or say --format"
    )


def write_rows(
    rows: Rows,
    destination: Destination,
    caption: str | Sequence[str] = (),
    spare: Sequence[str] = (),
) -> int:
    """Write a result where it should go, and return how many rows it has.

    In a table, the columns called `caption` go into lines above when all rows agree on them, and
    `spare` columns are left out where the terminal is too narrow, the first ones first.

    Raises:
        UsageError: for Parquet on a terminal, or a file whose suffix says no format.
        NeuronDBError: when the file cannot be written; what was there stays.
    """
    form = FORMATS[destination.chosen]
    if form.binary and destination.file is None and sys.stdout.isatty():
        raise UsageError(
            f"{destination.chosen} is not for terminals; give a file with -o FILE, or pipe it"
        )
    counted_rows = _CountedRows(rows.rows)
    result = rows._replace(rows=iter(counted_rows))
    with open_atomic(destination.file) if destination.file else _open_stdout() as stream:
        if form.write is write_table:
            captions = (caption,) if isinstance(caption, str) else caption
            _write_captioned(result, captions, spare, _open_text(stream))
        else:
            form.write(result, stream if form.binary else _open_text(stream))
    return counted_rows.n


def write_text(text: str, destination: Destination) -> None:
    """Write a finished document where it should go.

    Raises:
        NeuronDBError: when the file cannot be written; what was there stays.
    """
    with open_atomic(destination.file) if destination.file else _open_stdout() as stream:
        _open_text(stream).write(text)


def _write_captioned(
    rows: Rows, captions: Sequence[str], spare: Sequence[str], stream: codecs.StreamWriter
) -> None:
    names = [name for name in captions if name in rows.columns]
    if names:
        rows = _write_caption(rows, names, stream)
    write_table(rows, cast("IO[str]", stream), [name for name in spare if name in rows.columns])


def _write_caption(rows: Rows, captions: Sequence[str], stream: codecs.StreamWriter) -> Rows:
    """Write the values that all rows have in common in some columns, and return the others."""
    cells = list(rows.rows)
    column_places = list(range(len(rows.columns)))
    for name in captions:
        place = rows.columns.index(name)
        values = {row[place] for row in cells}
        if len(values) == 1 and len(column_places) > 1:
            stream.write(f"{name}: {format_cell(values.pop())}\n")
            column_places.remove(place)
    if len(column_places) < len(rows.columns):
        stream.write("\n")
    columns, *rows_left = (tuple(row[i] for i in column_places) for row in (rows.columns, *cells))
    return rows._replace(columns=columns, rows=iter(rows_left))


class _CountedRows:
    """Rows that count themselves as they pass."""

    def __init__(self, rows: Iterator[tuple[Any, ...]]) -> None:
        self.n = 0
        self._rows = rows

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        for row in self._rows:
            self.n += 1
            yield row


def _open_text(stream: IO[bytes]) -> codecs.StreamWriter:
    # UTF-8 whatever the locale; unlike io.TextIOWrapper it does not close what it wraps.
    return codecs.getwriter("utf-8")(stream, "backslashreplace")


@contextmanager
def _open_stdout() -> Iterator[IO[bytes]]:
    yield sys.stdout.buffer
    sys.stdout.buffer.flush()
