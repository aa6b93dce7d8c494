"""Parquet files, a group of rows at a time, and what is wrong with one in a line.

Both rooms read such files: texts to run a model on, annotations, imports, whole databases.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # some import what follows without ever reading such a file
    from pyarrow import RecordBatch
    from pyarrow.parquet import ParquetFile

ROWS_A_BATCH = 65_536
"""Arrow's own choice."""


def read_batches(
    parquet: ParquetFile, rows: int = ROWS_A_BATCH, columns: Sequence[str] | None = None
) -> Iterator[RecordBatch]:
    """Yield a file's rows, so many at a time at most.

    Arrow keeps all that an iterator has read until it ends: each group of rows has one of its own.

    Args:
        parquet: the open file.
        rows: the most that are yielded at a time.
        columns: names; one that is not there is left out, and None is all.
    """
    chosen = None if columns is None else list(columns)
    for group in range(parquet.num_row_groups):
        yield from parquet.iter_batches(rows, row_groups=[group], columns=chosen)


def name_reason(error: Exception) -> str:
    """Return what an error says, in one line.

    Args:
        error: Arrow's, whose messages may be long or empty: then its kind is what it says.
    """
    return str(error).splitlines()[0] if str(error) else type(error).__name__
