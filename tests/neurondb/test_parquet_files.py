"""Batches of a Parquet file: all of its rows in order, a group of them in memory at most."""

from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from neurondb.parquet_files import name_reason, read_batches

GROUPS = [7_000, 1, 0, 13_000, 5]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file of several groups, one of which is empty."""
    path = tmp_path / "rows.parquet"
    schema = pa.schema([("number", pa.int64()), ("text", pa.string())])
    first = 0
    with pq.ParquetWriter(path, schema) as writer:
        for n in GROUPS:
            numbers = list(range(first, first + n))
            writer.write_table(pa.table([numbers, list(map(str, numbers))], schema=schema))
            first += n
    return path


@pytest.mark.parametrize("rows", [1_000, 65_536])
@pytest.mark.parametrize("columns", [None, ("text",), ("text", "of another file")])
def test_all_rows_come_in_order(file: Path, rows: int, columns: tuple[str, ...] | None) -> None:
    with pq.ParquetFile(file) as parquet:
        batches = list(read_batches(parquet, rows, columns))
    assert max(batch.num_rows for batch in batches) <= rows
    found = pa.Table.from_batches(batches)
    assert found.column_names == (["number", "text"] if columns is None else ["text"])
    assert found["text"].to_pylist() == list(map(str, range(sum(GROUPS))))


def test_a_group_is_forgotten_when_the_next_is_read(tmp_path: Path) -> None:
    path = tmp_path / "groups.parquet"
    table = pa.table([np.random.default_rng(0).normal(size=1_000_000)], ["number"])
    pq.write_table(table, path, row_group_size=50_000)

    def find_most(read: Callable[[pq.ParquetFile], Iterable[object]]) -> int:
        before = pa.total_allocated_bytes()
        with pq.ParquetFile(path) as parquet:
            most: int = max(pa.total_allocated_bytes() - before for _ in read(parquet))
        return most

    assert find_most(read_batches) < find_most(lambda parquet: parquet.iter_batches()) / 2


def test_a_reason_is_one_line() -> None:
    assert name_reason(pa.ArrowInvalid("not a file\nin detail")) == "not a file"
    assert name_reason(ValueError()) == "ValueError"
