"""Rows of examples as they are inserted: list and rank in one."""

from typing import Any


def pack_place(row: dict[str, Any]) -> dict[str, Any]:
    """Return a row of `example_rows` with a place instead of its list and its rank."""
    rest = {name: value for name, value in row.items() if name not in ("list_id", "rank")}
    return rest | {"place": find_place(row["list_id"], row["rank"])}


def find_place(list_id: int, rank: int) -> int:
    """Return the place of one of the first 16 ranks of an example list, of which there are 24."""
    assert rank < 16
    return 16 * list_id + rank - 128
