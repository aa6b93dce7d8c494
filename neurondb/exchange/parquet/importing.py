"""A folder of Parquet as a source of rows: what `export parquet` wrote, back into a database."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.parquet as pq
from sqlalchemy import Table

from neurondb.errors import NeuronDBError
from neurondb.exchange.parquet.conversion import read_batch
from neurondb.exchange.parquet.layout import is_by_layer, name_relation
from neurondb.exchange.parquet.manifest import RelationFiles, read_manifest
from neurondb.parquet_files import name_reason, read_batches
from neurondb.transfer.chunks import Chunk, choose_size
from neurondb.transfer.reading import Position

_LAYER: Final = "layer="


class ParquetSource:
    """The rows of all tables in a folder; a position is a file's number and rows read of it."""

    def __init__(self, folder: Path) -> None:
        """Open a folder.

        Raises:
            NeuronDBError: when it is none that was exported, is of another version, or lacks
                relations or files.
        """
        manifest = read_manifest(folder)
        if not manifest.complete:
            raise NeuronDBError(
                f"{folder} has some relations only ({', '.join(manifest.relations)}); export all "
                "of them to import them again"
            )
        _refuse_missing_files(folder, manifest.relations.values())
        self.name = str(folder)
        self._folder = folder
        self._relations = manifest.relations

    def count(self, table: Table) -> int:
        """Return how many rows the folder has of a table."""
        return self._find(table).rows

    def checksum(self, table: Table) -> int:
        """Return the checksum that a table's rows had when they were exported."""
        return int(self._find(table).checksum, 16)

    def chunks(self, table: Table, after: Position = None) -> Iterator[tuple[Chunk, Position]]:
        """Yield the rows of a table, file by file.

        Raises:
            NeuronDBError: when a file is missing or cannot be read.
        """
        first, n_read = after or (0, 0)
        for place, file in enumerate(self._find(table).files[first:], first):
            for batch in self._read(file, table, n_read):
                n_read += batch.num_rows
                yield read_batch(table, batch, _find_layer(file, table)), [place, n_read]
            n_read = 0

    def _find(self, table: Table) -> RelationFiles:
        return self._relations.get(name_relation(table), RelationFiles())

    def _read(self, name: str, table: Table, n_skipped: int) -> Iterator[pa.Table]:
        file = self._folder / name
        try:
            with pq.ParquetFile(file) as parquet:
                for batch in read_batches(parquet, choose_size(table)):
                    rows = min(n_skipped, batch.num_rows)
                    n_skipped -= rows
                    if rows < batch.num_rows:
                        yield pa.Table.from_batches([batch.slice(rows)])
        except (OSError, pa.ArrowException) as error:
            raise NeuronDBError(f"cannot read {file}: {name_reason(error)}") from error


def _refuse_missing_files(folder: Path, relations: Iterable[RelationFiles]) -> None:
    """Look for all files now, rather than when a part of a database is made of the others."""
    files = [file for relation in relations for file in relation.files]
    missing = [file for file in files if not (folder / file).is_file()]
    if missing:
        raise NeuronDBError(
            f"{folder} lacks {len(missing):,} of its {len(files):,} files, the first of them "
            f"{missing[0]}; copy, download or export it again"
        )


def _find_layer(file: str, table: Table) -> int | None:
    """Return the layer that a file's path says."""
    if not is_by_layer(table):
        return None
    return int(next(part for part in file.split("/") if part.startswith(_LAYER))[len(_LAYER) :])
