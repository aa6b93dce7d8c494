"""SQLite's authorizer: reading is allowed, everything else is refused before it starts."""

import sqlite3
from typing import Final

_ALLOWED: Final = frozenset(
    {sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_FUNCTION, sqlite3.SQLITE_RECURSIVE}
)
_LOOKING: Final = frozenset(
    {
        *("table_info", "table_xinfo", "table_list", "foreign_key_list", "function_list"),
        *("index_list", "index_info", "index_xinfo", "database_list", "compile_options"),
        "data_version",  # full-text search asks it
    }
)
"""Pragmas that only tell something."""

_FORBIDDEN_FUNCTIONS: Final = frozenset({"load_extension", "fts3_tokenizer"})

_ACTIONS: Final = {
    sqlite3.SQLITE_DELETE: "DELETE from {0}",
    sqlite3.SQLITE_INSERT: "INSERT into {0}",
    sqlite3.SQLITE_UPDATE: "UPDATE {0}",
    sqlite3.SQLITE_ATTACH: "ATTACH {0}",
    sqlite3.SQLITE_DETACH: "DETACH {0}",
    sqlite3.SQLITE_PRAGMA: "set or run PRAGMA {0}",
    sqlite3.SQLITE_TRANSACTION: "{0} a transaction",
    sqlite3.SQLITE_SAVEPOINT: "{0} a savepoint",
    sqlite3.SQLITE_ANALYZE: "ANALYZE {0}",
    sqlite3.SQLITE_REINDEX: "REINDEX {0}",
    sqlite3.SQLITE_FUNCTION: "call {1}",
}
_SCHEMA: Final = "change the schema"
_SCHEMA_TABLES: Final = frozenset(
    {"sqlite_master", "sqlite_schema", "sqlite_temp_master", "sqlite_temp_schema"}
)


class ReadOnly:
    """An authorizer; `refused` tells what the last statement tried."""

    def __init__(self) -> None:
        self.refused: str | None = None

    def __call__(
        self,
        action: int,
        first: str | None,
        second: str | None,
        _database: str | None,
        _trigger: str | None,
    ) -> int:
        """Return SQLite's verdict on one action of a statement that is being prepared."""
        if self._allows(action, first, second):
            return sqlite3.SQLITE_OK
        named = _SCHEMA if first in _SCHEMA_TABLES else _ACTIONS.get(action, _SCHEMA)
        self.refused = named.format(first or "a file", second).strip()
        return sqlite3.SQLITE_DENY

    @staticmethod
    def _allows(action: int, first: str | None, second: str | None) -> bool:
        if action == sqlite3.SQLITE_UPDATE:
            # Asked when a table-valued function is declared; `query_only` stops a real update.
            return first == "sqlite_master"
        if action == sqlite3.SQLITE_FUNCTION:
            return (second or "").lower() not in _FORBIDDEN_FUNCTIONS
        if action == sqlite3.SQLITE_PRAGMA:
            return (first or "").lower() in _LOOKING
        return action in _ALLOWED
