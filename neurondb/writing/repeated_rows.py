"""Rows that repeat: neuron after neuron, each with the same lists and the same ranks in them.

SQLite takes a statement apart once and runs it for neuron after neuron: numbers of lists and ranks
stand in it, the neuron is bound once, and only what differs is bound row by row. That is half the
processor time of rows that are bound whole.
"""

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import accumulate, chain
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Table

FEWEST_NEURONS: Final = 16
"""Neurons of one pattern from which on a statement of their own pays."""
FEWEST_ROWS: Final = 16
"""Rows of a neuron likewise: below, a statement of many neurons' rows is faster."""
MOST_PARAMETERS: Final = 32_766
"""SQLite's limit of a statement."""


class Stretch(NamedTuple):
    """Rows from `start` to `stop`, of neurons with `rows` rows each; 0 where they do not repeat."""

    start: int
    stop: int
    rows: int


def divide(table: Table, columns: Mapping[str, Any]) -> list[Stretch]:
    """Return the stretches of rows in which every neuron has the same rest of its key."""
    keys = [columns.get(name) for name in table.primary_key.columns.keys()]  # noqa: SIM118
    n_rows = len(next(iter(columns.values())))
    if n_rows < FEWEST_NEURONS * FEWEST_ROWS or len(keys) < 2 or not all(map(_is_whole, keys)):
        return [Stretch(0, n_rows, 0)]
    n_values = len(columns) - len(keys)
    first, *rest = (np.asarray(key) for key in keys)
    starts = np.concatenate([[0], np.flatnonzero(np.diff(first)) + 1])
    lengths = np.diff(starts, append=n_rows)
    usable = (lengths >= FEWEST_ROWS) & (lengths * n_values < MOST_PARAMETERS)
    if not usable.any():
        return [Stretch(0, n_rows, 0)]
    return list(_join(starts, lengths, usable, _find_equal(starts, lengths, rest)))


def _is_whole(column: Any) -> bool:
    return isinstance(column, np.ndarray) and column.dtype.kind in "iu"


def _find_equal(
    starts: NDArray[np.int64], lengths: NDArray[np.int64], keys: Sequence[NDArray[Any]]
) -> NDArray[np.bool_]:
    """Tell of each neuron whether its keys are those of the neuron before it."""
    n_rows = int(lengths.sum())
    before = np.maximum(np.arange(n_rows) - np.repeat(lengths, lengths), 0)
    equal = np.ones(n_rows, np.bool_)
    for key in keys:
        equal &= key == key[before]
    same = np.logical_and.reduceat(equal, starts)
    same[0] = False
    same[1:] &= lengths[1:] == lengths[:-1]
    return np.asarray(same)


def _join(
    starts: NDArray[np.int64],
    lengths: NDArray[np.int64],
    usable: NDArray[np.bool_],
    same: NDArray[np.bool_],
) -> Iterator[Stretch]:
    """Yield stretches in the order of their rows; short ones become one that does not repeat."""
    ends = np.append(starts, starts[-1] + lengths[-1])
    runs = np.append(np.flatnonzero(~same), len(starts))
    plain_from = 0
    for i in np.flatnonzero(usable[runs[:-1]] & (np.diff(runs) >= FEWEST_NEURONS)).tolist():
        start, stop = int(ends[runs[i]]), int(ends[runs[i + 1]])
        if plain_from < start:
            yield Stretch(plain_from, start, 0)
        yield Stretch(start, stop, int(lengths[runs[i]]))
        plain_from = stop
    if plain_from < ends[-1]:
        yield Stretch(plain_from, int(ends[-1]), 0)


def load(
    cursor: sqlite3.Cursor,
    table: Table,
    columns: Mapping[str, Any],
    stretch: Stretch,
    rows_a_chunk: int,
) -> None:
    """Insert the rows of a stretch that repeats, some neurons' at a time as Python objects."""
    start, stop, n = stretch
    first, *keys = table.primary_key.columns.keys()
    chosen = {name: column[start:stop] for name, column in columns.items()}
    neurons = chosen.pop(first)[::n]
    numbers = {
        name: tuple(column[:n].tolist())
        for name, column in chosen.items()
        if name in keys or _is_one_number(column)
    }
    bound = [name for name in chosen if name not in numbers]
    in_statement = tuple(numbers.get(name) for name in chosen)
    statement = _write_statement(table.name, (first, *chosen), in_statement, n)
    step = max(rows_a_chunk // n, 1)
    for at in range(0, len(neurons), step):
        of_rows = slice(at * n, (at + step) * n)
        parts = [_list_by_neuron(chosen[name][of_rows], n) for name in bound]
        cursor.executemany(
            statement,
            [
                list(chain((neuron,), *of_neuron))
                for neuron, *of_neuron in zip(neurons[at : at + step].tolist(), *parts, strict=True)
            ],
        )


def _is_one_number(column: Any) -> bool:
    return _is_whole(column) and bool((column == column[0]).all())


def _list_by_neuron(column: Any, n: int) -> list[Any]:
    if isinstance(column, np.ndarray):
        return column.reshape(-1, n).tolist()
    return [column[i : i + n] for i in range(0, len(column), n)]


@lru_cache(maxsize=64)
def _write_statement(
    table: str, names: tuple[str, ...], numbers: tuple[tuple[int, ...] | None, ...], n: int
) -> str:
    """Return the INSERT of a neuron's rows: parameter 1 is the neuron, the others its values.

    Args:
        table: its name.
        names: of the columns, that of the neuron first.
        numbers: of each other column, what stands in the statement; None where it is bound.
        n: rows of a neuron.
    """
    first = accumulate((n if column is None else 0 for column in numbers), initial=2)
    written = [
        map(str, column) if column is not None else (f"?{i}" for i in range(place, place + n))
        for column, place in zip(numbers, first, strict=False)
    ]
    rows = (f"(?1, {', '.join(row)})" for row in zip(*written, strict=True))
    columns = ", ".join(f'"{name}"' for name in names)
    return f"INSERT INTO {table} ({columns}) VALUES {', '.join(rows)}"  # noqa: S608
