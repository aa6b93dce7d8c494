"""Relations → a folder of Parquet, which appears when all of it is there.

A row group of numbers has some 260,000 rows, some megabytes; a chunk is in memory at a time beside
the row group that it goes into. Columns that the schema calls float32 are float32 in the files,
unless a value is met that is none: then the relation is written again with float64.
"""

import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import quote

import pyarrow as pa
import pyarrow.parquet as pq
from sqlalchemy import ColumnElement, Table

from neurondb.contracts.progress import Advance, Progress
from neurondb.errors import NeuronDBError, UsageError
from neurondb.exchange.parquet.card import write_card
from neurondb.exchange.parquet.conversion import Names, find_wide, make_batch
from neurondb.exchange.parquet.layout import (
    TABLES,
    find_neuron_column,
    is_by_layer,
    is_by_model,
    list_float32,
    make_schema,
)
from neurondb.exchange.parquet.manifest import Manifest, RelationFiles
from neurondb.exchange.parquet.overview import OVERVIEW, write_overview
from neurondb.name_matching import suggest_names
from neurondb.reading.models import MODEL_COLUMNS, Model, match_neurons
from neurondb.schema import tables
from neurondb.transfer.chunks import Chunk, add_checksums, compute_checksum
from neurondb.transfer.databases import DatabaseSource
from neurondb.transfer.reading import read_chunks

GROUP_ROWS: Final = 262_144
GROUP_BYTES: Final = 64_000_000
RELATIONS: Final = (*TABLES, OVERVIEW)
"""What can be exported: every table under its public name, and the view of all neurons."""


@dataclass(frozen=True)
class Exported:
    """What was exported: models, and the rows of each relation that has any."""

    models: tuple[str, ...]
    rows: dict[str, int]


class _NotFloat32Error(Exception):
    """A value of a column is no float32."""

    def __init__(self, columns: frozenset[str]) -> None:
        super().__init__()
        self.columns = columns


def _keep(_table: Table, chunk: Chunk) -> Chunk:
    return chunk


def export_parquet(
    source: DatabaseSource,
    folder: Path,
    relations: Sequence[str],
    progress: Progress,
    *,
    write_card: Callable[[Path, Manifest, dict[str, int]], None] = write_card,
    change: Callable[[Table, Chunk], Chunk] = _keep,
) -> Exported:
    """Write relations of the models of a source into a new folder.

    Args:
        source: the models.
        folder: the folder to make.
        relations: the relations to write; none is all.
        progress: who is told how far it is.
        write_card: writes README.md of the folder, its manifest and the rows of each relation.
        change: what rows become before they are written and summed.

    Raises:
        UsageError: when there is no such relation.
        NeuronDBError: when the folder is there, or cannot be written.
    """
    for name in relations:
        if name not in RELATIONS:
            raise UsageError(f"no relation {name!r}{suggest_names(name, RELATIONS)}")
    chosen = [name for name in RELATIONS if not relations or name in relations]
    models = source.list_models()
    with write_folder(folder) as partial:
        writer = _Exporter(source, partial, models, change)
        total = sum(source.count(TABLES[name]) for name in chosen if name in TABLES)
        with progress.stage("exporting", total, "rows") as advance:
            for name in chosen:
                if name in TABLES:
                    writer.export(name, advance)
        manifest = writer.manifest
        manifest.complete = all(name in chosen for name in TABLES)
        rows = {name: one.rows for name, one in manifest.relations.items() if one.rows}
        if OVERVIEW in chosen:
            progress.note(f"writing {OVERVIEW}")
            rows[OVERVIEW] = write_overview(source.connection, models, partial)
        manifest.write(partial)
        write_card(partial, manifest, rows)
    return Exported(tuple(model.name for model in models), rows)


@contextmanager
def write_folder(folder: Path) -> Iterator[Path]:
    """Yield a folder to fill, which gets its name at the end; a failure leaves nothing.

    Raises:
        NeuronDBError: when the folder is there already, or cannot be written.
    """
    if folder.exists():
        raise NeuronDBError(f"{folder} is there already; give a new folder")
    partial = folder.resolve().with_name(f".{folder.resolve().name}.part")
    shutil.rmtree(partial, ignore_errors=True)  # left by a run that was killed
    try:
        partial.mkdir(parents=True)
        yield partial
        partial.rename(folder)
    except OSError as error:
        raise NeuronDBError(f"cannot write {folder}: {error.strerror or error}") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


class _Exporter:
    """Writes relations into a folder, and notes in a manifest what it wrote."""

    def __init__(
        self,
        source: DatabaseSource,
        folder: Path,
        models: list[Model],
        change: Callable[[Table, Chunk], Chunk],
    ) -> None:
        self._source = source
        self._change = change
        self._folder = folder
        self._models = models
        # sets of neurons and matches can name neurons of models that are not exported
        every = source.connection.execute(tables.models.select().with_only_columns(*MODEL_COLUMNS))
        self._every_model = [Model(*row) for row in every]
        self._tokens: dict[int, pa.Array] = {}
        self.manifest = Manifest(source.read_fingerprints())

    def export(self, name: str, advance: Advance) -> None:
        """Write a relation; where a value needs float64, once more from its beginning."""
        float32 = list_float32(TABLES[name])
        while True:
            try:
                self.manifest.relations[name] = self._write(name, float32, advance)
            except _NotFloat32Error as error:
                shutil.rmtree(self._folder / name, ignore_errors=True)
                float32 -= error.columns
            else:
                return

    def _write(self, name: str, float32: frozenset[str], advance: Advance) -> RelationFiles:
        found, checksum, table = RelationFiles(), 0, TABLES[name]
        schema = make_schema(table, float32)
        for path, model, where in self._list_parts(name, table):
            names = Names(self._every_model, self._read_tokens(table, model))
            with _RowGroups(self._folder / path, schema) as groups:
                for found_chunk, _ in read_chunks(self._source.connection, table, where):
                    chunk = self._change(table, found_chunk)
                    wide = find_wide(table, chunk, float32)
                    if wide:
                        raise _NotFloat32Error(wide)
                    groups.add(make_batch(table, chunk, schema, names))
                    checksum = add_checksums((checksum, compute_checksum(table, chunk)))
                    advance(chunk.n_rows, name)
            if groups.n_rows:
                found.files.append(path)
                found.rows += groups.n_rows
        found.checksum = f"{checksum:016x}"
        return found

    def _list_parts(
        self, name: str, table: Table
    ) -> Iterator[tuple[str, Model | None, ColumnElement[bool] | None]]:
        """Yield each file of a relation, its model, and the condition for its rows."""
        selected = self._source.restrict(table)
        if not is_by_model(table):
            yield f"{name}/data.parquet", None, selected
            return
        for model in self._models:
            folder = f"{name}/model={quote(model.name, safe='')}"
            if not is_by_layer(table):
                ours = table.c.model_id == model.model_id
                yield f"{folder}/data.parquet", model, _both(selected, ours)
                continue
            neuron_id = find_neuron_column(table)
            assert neuron_id is not None
            for layer in range(model.n_layers):
                ours = match_neurons(neuron_id, model, layer)
                yield f"{folder}/layer={layer}/data.parquet", model, _both(selected, ours)

    def _read_tokens(self, table: Table, model: Model | None) -> pa.Array | None:
        """Return the texts of a model's tokens by id, for tables that have ids of tokens."""
        if model is None or "token_id" not in table.c:
            return None
        if model.model_id not in self._tokens:
            t, texts = tables.tokens, [None] * model.d_vocab
            for chunk, _ in read_chunks(self._source.connection, t, t.c.model_id == model.model_id):
                for token_id, token in zip(
                    chunk.columns["token_id"], chunk.columns["token"], strict=True
                ):
                    texts[token_id] = token
            self._tokens = {model.model_id: pa.array(texts, pa.string())}
        return self._tokens[model.model_id]


def _both(one: ColumnElement[bool] | None, other: ColumnElement[bool]) -> ColumnElement[bool]:
    return other if one is None else one & other


class _RowGroups:
    """Gathers batches until they make a row group; a file without rows is not written."""

    def __init__(self, file: Path, schema: pa.Schema) -> None:
        self._file = file
        self._schema = schema
        self._writer: pq.ParquetWriter | None = None
        self._waiting: list[pa.Table] = []
        self.n_rows = 0

    def __enter__(self) -> "_RowGroups":
        return self

    def __exit__(self, kind: object, *_details: object) -> None:
        if self._waiting and kind is None:
            self._write()
        if self._writer is not None:
            self._writer.close()

    def add(self, batch: pa.Table) -> None:
        """Take some rows."""
        self._waiting.append(batch)
        self.n_rows += batch.num_rows
        n_rows = sum(one.num_rows for one in self._waiting)
        if n_rows >= GROUP_ROWS or sum(one.nbytes for one in self._waiting) >= GROUP_BYTES:
            self._write()

    def _write(self) -> None:
        if self._writer is None:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            self._writer = pq.ParquetWriter(self._file, self._schema, compression="zstd")
        table = pa.concat_tables(self._waiting)
        self._writer.write_table(table, row_group_size=max(GROUP_ROWS, table.num_rows))
        self._waiting = []
