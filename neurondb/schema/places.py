"""A list and a rank in one integer, which takes a byte in SQLite: the place of a row.

Of every list the first 16 ranks stand side by side, list after list, from the smallest integer of
one byte on; ranks beyond them follow, rank after rank.
"""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import ColumnElement, and_, or_

FIRST: Final = -128
"""The first place: the smallest integer that SQLite stores in one byte."""
RANKS: Final = 16
"""Ranks of a list that stand side by side: as many as a list has by default."""

Ints = NDArray[np.int64]


def encode_places(list_ids: Ints, ranks: Ints, n_lists: int) -> Ints:
    """Return the places of ranks of lists, of which there are `n_lists`."""
    near, far = list_ids * RANKS + ranks, ranks * n_lists + list_ids
    return np.where(ranks < RANKS, near, far) + FIRST


def write_list(n_lists: int) -> str:
    """Return the SQL of the list that a column `place` is of."""
    return _write("/ {ranks}", "% {lists}", n_lists)


def write_rank(n_lists: int) -> str:
    """Return the SQL of the rank that a column `place` is of."""
    return _write("% {ranks}", "/ {lists}", n_lists)


def _write(near: str, far: str, n_lists: int) -> str:
    counted, numbers = f"(place + {-FIRST})", {"ranks": RANKS, "lists": n_lists}
    first_far = n_lists * RANKS + FIRST
    return (
        f"CASE WHEN place < {first_far} THEN {counted} {near.format(**numbers)} "
        f"ELSE {counted} {far.format(**numbers)} END"
    )


def write_is_of_list(rows: str, list_id: str, n_lists: int) -> str:
    """Return the SQL condition that rows are of a list, which leads to them by their key.

    Args:
        rows: what the statement calls them.
        list_id: SQL of the list.
        n_lists: how many lists there are.
    """
    start = f"({list_id}) * {RANKS} - "
    return (
        f"({rows}.place BETWEEN {start}{-FIRST} AND {start}{1 - RANKS - FIRST} "
        f"OR {rows}.place >= {n_lists * RANKS + FIRST} AND {rows}.list_id = {list_id})"
    )


def is_of_list(rows: Any, list_id: Any, n_lists: int) -> ColumnElement[bool]:
    """Return the condition of `write_is_of_list` on the columns of a table."""
    first = list_id * RANKS + FIRST
    is_far = and_(rows.place >= n_lists * RANKS + FIRST, rows.list_id == list_id)
    return or_(rows.place.between(first, first + RANKS - 1), is_far)
