"""Named queries as the statements behind panels."""

from functools import cache

from neurondb.asking.named import NamedQuery, load
from neurondb.explore.page import Sql


def named_sql(name: str, **given: str) -> Sql:
    """Return a named query with these parameters, the others at their defaults."""
    query = _loaded(name)
    return Sql(query.title, body(query), query.bindings(given))


@cache
def _loaded(name: str) -> NamedQuery:
    return load(name)


def body(query: NamedQuery) -> str:
    """Return a query's SQL without its header."""
    lines = query.sql.splitlines()
    while lines and lines[0].startswith("--"):
        lines.pop(0)
    return "\n".join(lines)
