"""Some rows of a table as columns, and the checksum of rows in any order.

A row's hash is made of its values, whatever engine or file they were read from: integers and truth
values as 64-bit integers, reals to the last bit of a float64, text as UTF-8. What engines store
alike counts alike: NULL and NaN, 0.0 and −0.0, U+0000 and U+2400 (`neurondb.database`). The hashes
of rows are added modulo 2⁶⁴, so that no order matters and sums of parts add up.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Table

from neurondb.database import NUL_SHOWN
from neurondb.transfer.relations import Kind, find_kind, is_numeric

NUMERIC_ROWS: Final = 65_536
TEXT_ROWS: Final = 4_096
"""Rows of a chunk; texts can be long."""

Values: TypeAlias = NDArray[Any] | list[Any]
"""Numbers as an array, where NaN stands for NULL; text and blobs as a list with None."""

_GOLDEN: Final = np.uint64(0x9E3779B97F4A7C15)
_FIRST: Final = np.uint64(0xBF58476D1CE4E5B9)
_SECOND: Final = np.uint64(0x94D049BB133111EB)
_NULL: Final = np.uint64(0x7FF8000000000000)


@dataclass(frozen=True)
class Chunk:
    """Rows of a table: equally long columns by name."""

    columns: dict[str, Values]

    @property
    def n_rows(self) -> int:
        """The number of rows."""
        return len(next(iter(self.columns.values())))


def choose_size(table: Table) -> int:
    """Return how many rows of a table are in memory at a time."""
    return NUMERIC_ROWS if is_numeric(table) else TEXT_ROWS


def make_chunk(table: Table, rows: Sequence[Sequence[Any]]) -> Chunk:
    """Return rows, whose values are in the order of the table's columns, as columns."""
    values = zip(*rows, strict=True)
    return Chunk(
        {c.name: _pack(find_kind(c), one) for c, one in zip(table.columns, values, strict=True)}
    )


def _pack(kind: Kind, values: tuple[Any, ...]) -> Values:
    if kind == "text":
        return list(values)
    if kind == "blob":
        return [None if value is None else bytes(value) for value in values]
    if kind == "integer":
        try:
            return np.array(values, dtype=np.int64)
        except TypeError:  # there are NULLs: no id or count is too large for a float64
            pass
    return np.array(values, dtype=np.float64)


def list_values(kind: Kind, values: Values) -> list[Any]:
    """Return a column as Python's own values, None for NULL."""
    if isinstance(values, list):
        return values
    if values.dtype.kind != "f":
        found: list[Any] = values.tolist()
        return found
    convert: Callable[[float], Any] = int if kind == "integer" else float
    # NaN is the only value unequal to itself
    return [convert(value) if value == value else None for value in values.tolist()]


def compute_checksum(table: Table, chunk: Chunk) -> int:
    """Return the sum of the hashes of rows, modulo 2⁶⁴; that of no rows is 0."""
    hashes = np.full(chunk.n_rows, _GOLDEN, dtype=np.uint64)
    for column in sorted(table.columns, key=lambda column: str(column.name)):
        words = _hash_column(find_kind(column), chunk.columns[column.name])
        hashes = _mix(hashes + _GOLDEN ^ words)
    return int(hashes.sum(dtype=np.uint64))


def add_checksums(checksums: Iterable[int]) -> int:
    """Return the checksum of parts that have these."""
    return sum(checksums) % 2**64


def _hash_column(kind: Kind, values: Values) -> NDArray[np.uint64]:
    if isinstance(values, list):
        return np.array([_hash_text(value) for value in values], dtype=np.uint64)
    if kind == "real":
        reals = values.astype(np.float64) + 0.0  # which makes 0.0 of −0.0
        return np.where(np.isnan(reals), _NULL, reals.view(np.uint64))
    if values.dtype.kind != "f":
        return values.astype(np.int64).view(np.uint64)
    absent = np.isnan(values)
    return np.where(absent, _NULL, np.where(absent, 0, values).astype(np.int64).view(np.uint64))


def _hash_text(value: str | bytes | None) -> int:
    if value is None:
        return int(_NULL)
    if isinstance(value, str):
        value = value.replace("\0", NUL_SHOWN).encode("utf-8", "surrogatepass")
    return int.from_bytes(blake2b(value, digest_size=8).digest(), "little")


def _mix(words: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Return the words with their bits spread: the last steps of SplitMix64, a bijection."""
    words = (words ^ (words >> np.uint64(30))) * _FIRST
    words = (words ^ (words >> np.uint64(27))) * _SECOND
    return words ^ (words >> np.uint64(31))
