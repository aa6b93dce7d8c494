"""Find neurons by an expression."""

from collections.abc import Sequence

from sqlalchemy import Engine

from neurondb.asking import absences, named
from neurondb.asking.compiling import Compiled, Shape, compile_count, compile_find, default_columns
from neurondb.asking.expression import parse
from neurondb.asking.names import resolved
from neurondb.asking.statements import Rows, run_sql
from neurondb.asking.terms import Expression
from neurondb.database import called, translated


def find(
    engine: Engine,
    text: str,
    *,
    order: Sequence[str] = (),
    limit: int | None = None,
    columns: Sequence[str] | None = None,
) -> Rows:
    """Return the neurons that an expression describes; see `Shape` for the rest.

    Raises:
        ExpressionError: when the expression cannot be understood.
        UnknownNameError: when it names a model or token that is not there.
    """
    expression = understood(engine, text)
    shape = Shape(tuple(columns or default_columns(order)), tuple(order), limit)
    return run_sql(engine, *compile_find(expression, shape))


def count(engine: Engine, text: str) -> int:
    """Return how many neurons an expression describes; raises as `find` does."""
    result = run_sql(engine, *compile_count(understood(engine, text)))
    return int(next(result.rows)[0])


def why_empty(engine: Engine, text: str) -> list[str]:
    """Return what may have kept an expression from fitting any neuron; raises as `find` does."""
    expression = understood(engine, text)
    with translated(called(engine.url)), engine.connect() as connection:
        return absences.reasons(connection, expression)


def why_unknown(engine: Engine, text: str, columns: Sequence[str]) -> list[str]:
    """Return why columns may be NULL of all neurons that fit an expression; raises as `find`."""
    expression = understood(engine, text)
    with translated(called(engine.url)), engine.connect() as connection:
        return absences.unknown(connection, expression, columns)


def understood(engine: Engine, text: str) -> Expression:
    """Parse an expression and look up the names in it; raises as `find` does."""
    expression = parse(text)
    with translated(called(engine.url)), engine.connect() as connection:
        return resolved(expression, connection)


def explained(engine: Engine, text: str, shape: Shape) -> str:
    """Return the statement behind `find` in the form of a named query, and SQLite's plan for it.

    Raises as `find` does.
    """
    compiled = compile_find(understood(engine, text), shape)
    return named.write(text, *compiled, _plan(engine, compiled))


def _plan(engine: Engine, compiled: Compiled) -> list[str]:
    if engine.dialect.name != "sqlite":
        return []
    rows = run_sql(engine, f"EXPLAIN QUERY PLAN {compiled.sql}", compiled.parameters).rows
    depth = {0: 0}
    lines = []
    for step, parent, _, what in rows:
        depth[step] = depth[parent] + 1
        lines.append("  " * depth[parent] + what)
    return ["plan:", *lines]
