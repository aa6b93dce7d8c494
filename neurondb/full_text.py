"""The full-text index over texts, annotations and descriptions: made, kept, asked, made again.

SQLite: tables of FTS5 whose content stands in the tables that they index, made by sqlite-utils,
with triggers that keep them in step with every insert, change and deletion. PostgreSQL: indexes on
the words of a function of ours, so that both databases take the same things for words.
"""

import sqlite3
from collections.abc import Callable, Sequence
from typing import Any, Final

from sqlalchemy import Connection
from sqlalchemy.exc import DatabaseError as SQLDatabaseError

from neurondb.database import get_driver_connection
from neurondb.phrases import Phrase

INDEXED: Final = {
    "texts": ("text",),
    "annotations": ("value", "note"),
    "descriptions": ("text",),
}
"""Table → the columns that can be searched."""
TOKENIZER: Final = "unicode61 remove_diacritics 0"
"""Words are runs of letters and digits, in any case; an accent tells two words apart."""
_TRIGGERS: Final = ("_ai", "_ad", "_au")
"""The triggers that sqlite-utils makes, after an insert, a deletion and a change, end so."""

_WORDS_FUNCTION: Final = r"""
CREATE OR REPLACE FUNCTION neurondb_words(said text) RETURNS tsvector
LANGUAGE sql IMMUTABLE PARALLEL SAFE COST 1000 AS $$
    SELECT to_tsvector('simple'::regconfig, regexp_replace(left(said, 100000),
        '[\u0001-\u002f\u003a-\u0040\u005b-\u0060\u007b-\u00a9\u00ab-\u00b1\u00b4\u00b6-\u00b8'
        '\u00bb\u00bf\u00d7\u00f7\u2000-\u206f\u3000-\u3003\u3008-\u3020]+', ' ', 'g'))
$$"""
"""PostgreSQL's own parser would take addresses, versions and words with hyphens for one word. More
characters than these could make a value that it refuses, and with it the text."""
_SERVER_VALUES: Final = {
    "texts": "{alias}text",
    "annotations": "({alias}value || ' ' || coalesce({alias}note, ''))",
    "descriptions": "{alias}text",
}
"""Table → what PostgreSQL indexes of it."""
_KEYS: Final = {
    "texts": "text_id",
    "annotations": "annotation_id",
    "descriptions": "neuron_id",
}

Bind = Callable[[str], str]
"""Takes the value of a parameter, and returns how the statement refers to it."""


def create_full_text(connection: Connection, *names: str) -> None:
    """Make the indexes over these tables, filled; in the transaction that is open."""
    if connection.dialect.name == "sqlite":
        for table in names:
            _create_table(connection, table)
        return
    connection.exec_driver_sql(_WORDS_FUNCTION)
    for table in names:
        value = _SERVER_VALUES[table]
        connection.exec_driver_sql(
            f"CREATE INDEX IF NOT EXISTS ix_{table}_words ON {table} "
            f"USING gin (neurondb_words({value.format(alias='')}))"
        )


def drop_full_text(connection: Connection, *names: str) -> None:
    """Remove the indexes over these tables, and what keeps them in step.

    The function behind them goes with the index over texts, which was the first.
    """
    for table in names:
        if connection.dialect.name == "sqlite":
            _drop_table(connection, table)
        else:
            connection.exec_driver_sql(f"DROP INDEX IF EXISTS ix_{table}_words")
    if connection.dialect.name != "sqlite" and "texts" in names:
        connection.exec_driver_sql("DROP FUNCTION IF EXISTS neurondb_words(text)")


def rebuild_full_text(connection: Connection, table: str) -> None:
    """Make a table's index anew, from what stands in the table."""
    if connection.dialect.name == "sqlite":
        _drop_table(connection, table)
        _create_table(connection, table)
        return
    connection.exec_driver_sql(f"DROP INDEX IF EXISTS ix_{table}_words")
    create_full_text(connection, table)


def optimize_full_text(connection: Connection) -> None:
    """Merge the pieces that SQLite's indexes grew in, so that each is as small as it can be."""
    if connection.dialect.name == "sqlite":
        for table in INDEXED:
            _open_utils(connection).table(table).optimize()


def _create_table(connection: Connection, table: str) -> None:
    _open_utils(connection).table(table).enable_fts(
        INDEXED[table], create_triggers=True, tokenize=TOKENIZER
    )


def _drop_table(connection: Connection, table: str) -> None:
    for suffix in _TRIGGERS:
        connection.exec_driver_sql(f'DROP TRIGGER IF EXISTS "{table}{suffix}"')
    connection.exec_driver_sql(f'DROP TABLE IF EXISTS "{table}_fts"')


def _open_utils(connection: Connection) -> Any:
    """Return sqlite-utils' database on a connection; it stays within the open transaction."""
    import sqlite_utils

    class Database(sqlite_utils.Database):
        """Runs scripts a statement at a time: the driver commits before it runs a whole one."""

        def executescript(self, sql: str) -> sqlite3.Cursor:
            cursor = self.conn.cursor()
            statement = ""
            for line in f"{sql.rstrip().removesuffix(';')};".splitlines(keepends=True):
                statement += line
                if sqlite3.complete_statement(statement):
                    cursor.execute(statement)
                    statement = ""
            return cursor

    return Database(
        get_driver_connection(connection), execute_plugins=False, recursive_triggers=False
    )


def is_shadow(name: str) -> bool:
    """Tell whether a table of SQLite is one of a full-text index, or holds a part of one."""
    return any(name == f"{table}_fts" or name.startswith(f"{table}_fts_") for table in INDEXED)


def list_missing(connection: Connection) -> list[str]:
    """Return the indexed tables whose index, or what keeps it in step, is not there."""
    if connection.dialect.name == "sqlite":
        rows = connection.exec_driver_sql(
            "SELECT name FROM sqlite_master WHERE type IN ('table', 'trigger')"
        )
        parts: tuple[str, ...] = ("_fts", *_TRIGGERS)
    else:
        rows = connection.exec_driver_sql("SELECT indexname FROM pg_indexes")
        parts = ("_words",)
    prefix = "" if connection.dialect.name == "sqlite" else "ix_"
    there = {name for (name,) in rows}
    return [t for t in INDEXED if not {f"{prefix}{t}{part}" for part in parts} <= there]


def count_strays(connection: Connection, table: str) -> int:
    """Return how many rows of a table SQLite's index lacks, and how many it has that are gone."""
    key = _KEYS[table]
    lacking = f"SELECT {key} FROM {table} EXCEPT SELECT id FROM {table}_fts_docsize"
    gone = f"SELECT id FROM {table}_fts_docsize EXCEPT SELECT {key} FROM {table}"
    counted = (f"(SELECT count(*) FROM ({rows}))" for rows in (lacking, gone))
    return int(connection.exec_driver_sql(f"SELECT {' + '.join(counted)}").scalar_one())


def count_changed_words(connection: Connection, table: str) -> int:
    """Return of how many words SQLite's index has another number of rows than the table has.

    The words of the table are indexed anew, in memory, for comparison. FTS5's own check is for
    those who may write only.
    """
    run, columns = connection.exec_driver_sql, ", ".join(INDEXED[table])
    forbidden = run("PRAGMA query_only").scalar_one()
    run("PRAGMA query_only = OFF")  # temporary tables count as writing
    try:
        run(
            f"CREATE VIRTUAL TABLE temp.fresh_words USING fts5({columns}, content='', "
            f"detail=none, tokenize='{TOKENIZER}')"
        )
        run("CREATE VIRTUAL TABLE temp.fresh USING fts5vocab(temp, fresh_words, row)")
        run(f"CREATE VIRTUAL TABLE temp.kept USING fts5vocab(main, {table}_fts, row)")
        run(
            f"INSERT INTO temp.fresh_words (rowid, {columns}) "
            f"SELECT {_KEYS[table]}, {columns} FROM {table}"
        )
        one, other = (f"SELECT term, doc FROM temp.{name}" for name in ("fresh", "kept"))
        return int(
            run(
                f"SELECT count(DISTINCT term) FROM (SELECT * FROM ({one} EXCEPT {other}) "
                f"UNION ALL SELECT * FROM ({other} EXCEPT {one}))"
            ).scalar_one()
        )
    finally:
        if not connection.invalidated:  # Ctrl-C closes it
            for name in ("fresh", "kept", "fresh_words"):
                run(f"DROP TABLE IF EXISTS temp.{name}")
            run(f"PRAGMA query_only = {forbidden}")


def find_fault(connection: Connection, table: str, *, quick: bool = False) -> str:
    """Return what is wrong with the index of a table; '' where nothing is.

    Unless `quick` is set, every word of the table is looked at, at 50 ms a megabyte.
    """
    if table in list_missing(connection):
        return "is missing or incomplete"
    if connection.dialect.name != "sqlite":
        return ""
    try:
        if n := count_strays(connection, table):
            return f"is out of step by {n:,} row{'s' * (n > 1)}"
        n = 0 if quick else count_changed_words(connection, table)
    except SQLDatabaseError as error:
        if "interrupted" in str(error):
            raise
        return f"cannot be read ({error.orig})"
    return f"is out of step by {n:,} word{'s' * (n > 1)}" if n else ""


def write_condition(
    table: str, alias: str, phrases: Sequence[Phrase], bind: Bind, *, server: bool
) -> str:
    """Return the SQL condition that a row of a table contains all of some phrases.

    Args:
        table: One of `INDEXED`.
        alias: What the statement calls the table.
        phrases: What to look for, at least one.
        bind: Takes a value, and returns the parameter that stands for it.
        server: Whether it is for PostgreSQL, not for SQLite.
    """
    worded = [phrase for phrase in phrases if not phrase.stands]
    value = _SERVER_VALUES[table].format(alias=f"{alias}.")
    conditions = []
    if worded and server:
        query = bind(" & ".join(map(_write_server_phrase, worded)))
        conditions.append(f"neurondb_words({value}) @@ to_tsquery('simple', {query})")
    elif worded:
        query = bind(" AND ".join(map(_write_sqlite_phrase, worded)))
        found = f"SELECT rowid FROM {table}_fts WHERE {table}_fts MATCH {query}"
        conditions.append(f"{alias}.{_KEYS[table]} IN ({found})")
    place = "strpos" if server else "instr"
    conditions += [
        f"{place}({value}, {bind(phrase.text)}) > 0" for phrase in phrases if phrase.stands
    ]
    return " AND ".join(conditions)


def _write_sqlite_phrase(phrase: Phrase) -> str:
    """Return a phrase as FTS5 reads it: within quotes nothing is an operator."""
    quoted = phrase.text.replace('"', '""')
    return f'"{quoted}" *' if phrase.prefix else f'"{quoted}"'


def _write_server_phrase(phrase: Phrase) -> str:
    """Return a phrase as PostgreSQL reads it; words have no sign in them that means something."""
    words = " <-> ".join(f"'{word}'" for word in phrase.words)
    return f"({words}{':*' if phrase.prefix else ''})"
