"""Annotations from a file: labels and scores that somebody made elsewhere, stored in one go.

A file is CSV or TSV with a header, a JSON array of objects, or JSON lines; sqlite-utils reads each
of them, and writes the rows. A Parquet file, which may be large, is read batch by batch. A row says
which neuron it is of by `neuron`, as `31.9634`, or by `layer` and `neuron`, and may name its
`model`. What it says stands in one of two forms:

- `key` and `value`: one annotation a row, with `note` and `source` if there are such columns;
- any other columns: each is a key, and what stands in it a value; where nothing does, nothing is
  said.

An annotation of the same neuron, source and key replaces the stored one, so that a file that was
corrected is simply read again. A neuron can be on many lists: of the key `list` each value stands
beside the others.
"""

import csv
import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, astuple
from io import BytesIO
from pathlib import Path
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection, select
from sqlalchemy.exc import SQLAlchemyError

from neurondb.contracts.annotations import LIST_KEY, compute_digest
from neurondb.database import (
    check_revision,
    connect,
    explain_database_error,
    get_driver_connection,
    get_sqlite_path,
    parse_url,
)
from neurondb.errors import DatabaseError, TextError, UnknownNameError, UsageError
from neurondb.neurons import match_neuron, match_number
from neurondb.parquet_files import name_reason, read_batches
from neurondb.reading.models import Model, find_model, find_neuron_id
from neurondb.schema import tables
from neurondb.spelling import option
from neurondb.sqlite_files import check_readable
from neurondb.text_decoding import format_path
from neurondb.writing.annotation_rows import AnnotationStore, Said
from neurondb.writing.annotations import NewAnnotation
from neurondb.writing.removed_annotations import (
    forget_removals,
    format_utc_moment,
    record_removal,
)

PLACE_COLUMNS: Final = ("model", "layer", "neuron")
"""Columns that say which neuron a row is of."""
ANNOTATION_COLUMNS: Final = ("source", "key", "value", "note")
"""Columns of a file that has one annotation in each row."""
_SUFFIXES: Final = {
    ".csv": "CSV",
    ".tsv": "TSV",
    ".tab": "TSV",
    ".json": "JSON",
    ".jsonl": "NL",
    ".ndjson": "NL",
}
"""Ending of a file → its format, as sqlite-utils calls it."""
PARQUET: Final = ".parquet"
_ROWS_PER_BATCH: Final = 4096
_NEURONS_PER_STATEMENT: Final = 500
"""How many neurons one statement asks for."""

Row = Mapping[str, Any]
_Identity = tuple[int, str, str, str | None]


class AnnotationsReport(NamedTuple):
    """How many annotations of a file were new, changed and unchanged."""

    n_new: int
    n_changed: int
    n_same: int
    """How many were stored already, word for word."""


def import_annotations(
    location: str | None, file: Path, *, model: str | None = None, source: str | None = None
) -> AnnotationsReport:
    """Store the annotations of a file, all of them or none; stored ones are replaced.

    Args:
        location: Path or URL of an SQLite database; None is the default database.
        file: What is read; the ending says its form, else what stands in it does.
        model: The model of rows that name none.
        source: Who says it, in place of what rows say; None is what they say, else the file's name
            without its ending.

    Raises:
        TextError: when the file cannot be read, or a row says nothing that can be stored.
        UnknownNameError: when the database has no such model or neuron.
        DatabaseError: when it cannot be written, or is none of SQLite.
    """
    streamed = file.suffix.lower() == PARQUET
    rows = [] if streamed else _read_rows(file)
    url = parse_url(location)
    path = get_sqlite_path(url)
    if path is None:
        raise DatabaseError("annotations are read into SQLite databases only, as the site is")
    check_readable(path)
    engine = connect(url, writing=True)
    try:
        check_revision(engine)
        with engine.begin() as connection:
            if streamed:
                return _store_parquet(connection, file, model, source)
            return _store(connection, _make_annotations(connection, file, rows, model, source))
    except (SQLAlchemyError, sqlite3.Error) as error:
        raise DatabaseError(f"no annotation was stored: {explain_database_error(error)}") from error
    finally:
        engine.dispose()


def _store_parquet(
    connection: Connection, file: Path, model: str | None, source: str | None
) -> AnnotationsReport:
    """Store a Parquet file batch by batch, however large it is."""
    store, models = AnnotationStore(connection), dict[str, Model]()
    for number, row in enumerate(_read_parquet(file), start=1):
        place = f"{format_path(file)}, row {number}"
        for one in _read_annotations(connection, row, place, file, models, model, source):
            store.add(Said(one.neuron_id, one.source, one.key, one.value, one.note, place))
    return AnnotationsReport(*astuple(store.finish()))


def _read_parquet(file: Path) -> Iterator[Row]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(file) as parquet:
            head = dict.fromkeys(parquet.schema_arrow.names)
            _refuse_header([head], format_path(file))
            if not head or not parquet.metadata.num_rows:
                raise TextError(f"{format_path(file)} has no rows")
            for batch in read_batches(parquet, _ROWS_PER_BATCH):
                yield from batch.to_pylist()
    except (OSError, pa.ArrowException) as error:
        reason = name_reason(error)
        raise TextError(f"{format_path(file)} cannot be read as Parquet: {reason}") from error


def _read_rows(file: Path) -> list[Row]:
    """Return the rows of a file."""
    from sqlite_utils.utils import Format, RowError, RowsFromFileError, rows_from_file

    format_name, path_text = _SUFFIXES.get(file.suffix.lower()), format_path(file)
    try:
        # The file is read whole: sqlite-utils leaves one open when it has to detect its format.
        parsed, _ = rows_from_file(
            BytesIO(file.read_bytes()), format=None if format_name is None else Format[format_name]
        )
        rows: list[Row] = list(parsed)
    except OSError as error:
        raise TextError(f"{path_text}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise TextError(
            f"{path_text} is not UTF-8 (byte {error.start}); save it as UTF-8"
        ) from error
    except RowError as error:
        raise TextError(
            f"{path_text}: a row has more values than the header has columns; "
            f"quote what has a comma in it ({' '.join(str(error).split())})"
        ) from error
    except (RowsFromFileError, csv.Error, ValueError) as error:
        message = " ".join(str(error).split())
        raise TextError(f"{path_text} is no CSV, TSV, JSON or JSON lines: {message}") from error
    _refuse_header(rows, path_text)
    if not rows:
        raise TextError(f"{path_text} has no rows; CSV and TSV begin with the names of the columns")
    if not all(isinstance(row, Mapping) for row in rows):
        raise TextError(f"{path_text}: each row must be an object, like {{'neuron': '31.9634', …}}")
    return rows


def _refuse_header(rows: Sequence[Any], path_text: str) -> None:
    """Refuse a table whose header names no neurons, or nothing that is said of them."""
    columns = list(rows[0]) if rows and isinstance(rows[0], Mapping) else []
    if not columns:
        return
    if "neuron" not in columns:
        raise TextError(
            f"{path_text} has no column 'neuron'; its columns are {', '.join(map(repr, columns))}"
        )
    if not set(columns) - set(PLACE_COLUMNS) - {"source", "note"}:
        raise TextError(f"{path_text} says nothing of its neurons; add a column, such as label")
    if "key" in columns and "value" not in columns:
        raise TextError(f"{path_text} has a column 'key' and none 'value'")


def _make_annotations(
    connection: Connection, file: Path, rows: Iterable[Row], model: str | None, source: str | None
) -> list[NewAnnotation]:
    """Return the annotations of all rows; refuse two of one neuron, source and key."""
    models: dict[str, Model] = {}
    rows_of: dict[_Identity, int] = {}
    annotations = []
    for number, row in enumerate(rows, start=1):
        place = f"{format_path(file)}, row {number}"
        row_annotations = _read_annotations(connection, row, place, file, models, model, source)
        for annotation in row_annotations:
            identity = _identify(annotation)
            if identity in rows_of:
                raise TextError(
                    f"{place}: row {rows_of[identity]} says the {annotation.key} of it already"
                )
            rows_of[identity] = number
        annotations += row_annotations
    return annotations


def _read_annotations(
    connection: Connection,
    row: Row,
    place: str,
    file: Path,
    models: dict[str, Model],
    model: str | None,
    source: str | None,
) -> list[NewAnnotation]:
    """Return what a row says; errors begin with its place."""
    try:
        key = _find_neuron(connection, row, models, model)
        return list(_read_row(row, key, source, format_path(file.stem)))
    except UsageError as error:
        raise TextError(f"{place}: {error}") from error
    except UnknownNameError as error:
        raise UnknownNameError(f"{place}: {error}") from error


def _find_neuron(
    connection: Connection, row: Row, models: dict[str, Model], model: str | None
) -> int:
    """Return the id of the neuron that a row is of."""
    name = str(row.get("model") or model or "")
    if not name:
        raise UsageError(f"it names no model; add a column model, or give {option('model')}")
    if name not in models:
        models[name] = find_model(connection, name)
    layer, neuron = row.get("layer"), row.get("neuron")
    if layer in (None, ""):
        # A JSON number would have lost its last zeros: 27.8000 and 27.8 are the same number.
        place = match_neuron(neuron) if isinstance(neuron, str) else None
        if place is None:
            raise UsageError(f"neuron is {neuron!r}, not text like '31.9634'")
        return find_neuron_id(models[name], *place)
    at, number = (match_number(str(value).strip()) for value in (layer, neuron))
    if at is None or number is None:
        raise UsageError(f"layer and neuron are {layer!r} and {neuron!r}, not two numbers from 0")
    return find_neuron_id(models[name], at, number)


def _read_row(row: Row, key: int, source: str | None, stem: str) -> Iterator[NewAnnotation]:
    """Yield the annotations that one row holds."""
    texts = {name: _format_text(value) for name, value in row.items() if name not in PLACE_COLUMNS}
    annotator = source or texts.get("source") or stem
    if not {"key", "value"} <= texts.keys():
        values = {name: text for name, text in texts.items() if name not in ("source", "note")}
        for name, text in values.items():
            if text.strip():
                yield NewAnnotation(key, annotator, name, text, texts.get("note", ""))
        return
    extra_columns = [name for name in texts if name not in ANNOTATION_COLUMNS]
    if extra_columns:
        raise UsageError(f"beside key and value there is no column {extra_columns[0]!r}")
    yield NewAnnotation(key, annotator, texts["key"], texts["value"], texts.get("note", ""))


def _format_text(value: object) -> str:
    """Return a value as the text that is stored; lists and objects become JSON."""
    if value is None:
        return ""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    if any("\ud800" <= character <= "\udfff" for character in text):
        raise UsageError("half of a surrogate pair stands in it, which is no character")
    return text


def _store(connection: Connection, annotations: list[NewAnnotation]) -> AnnotationsReport:
    import sqlite_utils

    neurons = sorted({annotation.neuron_id for annotation in annotations})
    _refuse_unknown(connection, neurons)
    stored_rows = _load_stored(connection, neurons)
    new_rows, changed, now = [], [], format_utc_moment()
    for annotation in annotations:
        row = asdict(annotation) | {"note": annotation.note or None, "made_at": now}
        stored_row = stored_rows.get(_identify(annotation))
        if stored_row is None:
            new_rows.append(row)
        elif (stored_row.value, stored_row.note) != (row["value"], row["note"]):
            changed.append(row | {"annotation_id": stored_row.annotation_id})
            said_before = (stored_row.source, stored_row.key, stored_row.value, stored_row.note)
            record_removal(connection, row["neuron_id"], compute_digest(*said_before), now)
    forget_removals(connection, ((one.neuron_id, one.digest) for one in annotations))
    # It takes part in the transaction that is open; plugins of the user's stay outside.
    file = sqlite_utils.Database(get_driver_connection(connection), execute_plugins=False)
    file.table(tables.annotations.name).insert_all(new_rows)
    file.table(tables.annotations.name).upsert_all(changed, pk="annotation_id")
    return AnnotationsReport(
        len(new_rows), len(changed), len(annotations) - len(new_rows) - len(changed)
    )


def _refuse_unknown(connection: Connection, neurons: Sequence[int]) -> None:
    column = tables.neurons.c.neuron_id
    stored_ids: set[int] = set()
    for batch in _split_ids(neurons):
        stored_ids.update(connection.scalars(select(column).where(column.in_(batch))))
    if missing := set(neurons) - stored_ids:
        raise UnknownNameError(
            f"the weights of {len(missing):,} of these {len(neurons):,} neurons are not ingested, "
            f"such as neuron_id {min(missing)}"
        )


def _identify(annotation: Any) -> _Identity:
    """Return what an annotation replaces: its like by source and key, and on a list by its name."""
    name = annotation.value if annotation.key == LIST_KEY else None
    return annotation.neuron_id, annotation.source, annotation.key, name


def _load_stored(connection: Connection, neurons: Sequence[int]) -> dict[_Identity, Any]:
    """Return the stored annotations of these neurons; where two are of one key, the later one."""
    a = tables.annotations.c
    query = select(a.annotation_id, a.neuron_id, a.source, a.key, a.value, a.note)
    stored_rows = {}
    for batch in _split_ids(neurons):
        rows = query.where(a.neuron_id.in_(batch)).order_by(a.annotation_id)
        for row in connection.execute(rows):
            stored_rows[_identify(row)] = row
    return stored_rows


def _split_ids(ids: Sequence[int]) -> Iterator[Sequence[int]]:
    for start in range(0, len(ids), _NEURONS_PER_STATEMENT):
        yield ids[start : start + _NEURONS_PER_STATEMENT]
