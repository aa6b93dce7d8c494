"""What a database holds, for comparison: every row of every table, times and runs left out."""

import sqlite3
from pathlib import Path
from typing import Any

from neurondb.full_text import is_shadow

VOLATILE = {"seconds", "started_at", "finished_at", "run_id", "step_id"}
PROVENANCE = {"ingest_runs"}


def all_rows(file: Path) -> dict[str, list[tuple[Any, ...]]]:
    """Return table → its rows in order, without what differs between two runs of one job."""
    with sqlite3.connect(file) as connection:
        names = connection.execute(
            "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
        ).fetchall()
        kept = [name for (name,) in names if name not in PROVENANCE and not is_shadow(name)]
        return {name: _rows(connection, name) for name in kept}


def _rows(connection: sqlite3.Connection, table: str) -> list[tuple[Any, ...]]:
    columns = [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]
    kept = ", ".join(f'"{c}"' for c in columns if c not in VOLATILE)
    return sorted(connection.execute(f"SELECT {kept} FROM {table}").fetchall(), key=repr)
