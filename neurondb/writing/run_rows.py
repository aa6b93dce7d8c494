"""What the writers of runs on a model share: each run is there whole or not at all, and once."""

from collections.abc import Sequence
from typing import Any, TypeAlias

from sqlalchemy import Connection, Table, insert, select

from neurondb import __version__
from neurondb.contracts.concept import RunOrigin
from neurondb.writing.rows import format_utc_now

Rows: TypeAlias = list[dict[str, Any]]
"""Rows of a table of what came of a run, without its id."""


def forget_same_request(
    connection: Connection, runs: Table, parts: Sequence[Table], request: str
) -> None:
    """Delete the run that was asked for in the same way, if there is one.

    Args:
        connection: a writing transaction.
        runs: the table of such runs.
        parts: the tables of what came of them.
        request: the sha256 over what was asked for.
    """
    of_request = select(runs.c.run_id).where(runs.c.request == request)
    for table in parts:
        connection.execute(table.delete().where(table.c.run_id.in_(of_request)))
    connection.execute(runs.delete().where(runs.c.request == request))


def insert_rows(connection: Connection, table: Table, run_id: int, rows: Rows) -> None:
    """Insert what came of a run; NaN becomes NULL."""
    if rows:
        # NaN, the only value unequal to itself, is NULL.
        kept = [{k: v if v == v else None for k, v in row.items()} for row in rows]
        connection.execute(insert(table), [{"run_id": run_id} | row for row in kept])


def describe_origin(origin: RunOrigin) -> dict[str, Any]:
    """Return what made a run, as its row has it, with this version and the time that it is now."""
    return {**vars(origin), "tool_version": __version__, "created_at": format_utc_now()}
