"""Which table, view or column a statement may have meant by a name that the database has not."""

import re
from collections.abc import Iterator
from typing import Final

from sqlalchemy import Engine, Inspector, inspect
from sqlalchemy.exc import SQLAlchemyError

from neurondb.name_matching import suggest_names

_UNKNOWN_RELATION: Final = re.compile(
    r'no such table: (?:\w+\.)?(\w+)|relation "(?:\w+\.)?(\w+)" does not exist'
)
_UNKNOWN_COLUMN: Final = re.compile(
    r'no such column: (?:\w+\.)*(\w+)|column "?(?:\w+\.)?(\w+)"? does not exist'
)
"""What SQLite says, and what PostgreSQL does."""


def suggest_near_names(engine: Engine, sql: str, message: str) -> str:
    """Return the end of a database's message on an unknown name: near ones, or nothing.

    A column is looked for among those of the tables and views that the statement names.
    """
    unknown_relation, unknown_column = (
        p.search(message) for p in (_UNKNOWN_RELATION, _UNKNOWN_COLUMN)
    )
    found = unknown_relation or unknown_column
    if found is None:
        return ""
    word = found[1] or found[2]
    try:
        inspector = inspect(engine)
        relations = {*inspector.get_table_names(), *inspector.get_view_names()}
        if unknown_relation is not None:
            return suggest_names(word, relations)
        named = relations & set(re.findall(r"\w+", sql))
        return suggest_names(word, _list_columns(inspector, named))
    except SQLAlchemyError:  # this is only a hint: the message stands without it
        return ""


def _list_columns(inspector: Inspector, relations: set[str]) -> Iterator[str]:
    for relation in relations:
        yield from (column["name"] for column in inspector.get_columns(relation))
