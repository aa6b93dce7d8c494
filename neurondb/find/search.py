"""Find the neurons that an expression describes, and explain the answer.

The explanations are of an answer without rows, of columns that are NULL in every row, of classes
at another threshold than the published one (METHODS §2), and of the SQL behind the expression.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from sqlalchemy import Engine

from neurondb.database import format_url, translate_errors
from neurondb.find import empty_answers
from neurondb.find.columns import ResultShape, choose_columns
from neurondb.find.compiler import compile_count, compile_find
from neurondb.find.coverage import find_covered_models, load_models
from neurondb.find.grammar import parse
from neurondb.find.names import find_model_name, resolve_names
from neurondb.find.statement import Statement
from neurondb.find.terms import Expression, OneOf, iterate_terms
from neurondb.reading.models import Model
from neurondb.spelling import option
from neurondb.sql import Rows, run_sql
from neurondb.sql.query_files import format_query
from neurondb.taxonomy import DEFAULT_THRESHOLD


def find(
    engine: Engine,
    text: str,
    *,
    order: Sequence[str] = (),
    limit: int | None = None,
    columns: Sequence[str] | None = None,
) -> Rows:
    """Return the neurons that an expression describes; `ResultShape` explains the rest.

    Raises:
        ExpressionError: when the expression cannot be understood.
        UnknownNameError: when it names a model or token that is not there.
    """
    expression = read_expression(engine, text)
    shape = ResultShape(tuple(columns or choose_columns(order)), tuple(order), limit)
    return run_sql(engine, *compile_find(expression, shape))


def count(engine: Engine, text: str) -> int:
    """Return how many neurons an expression describes; raises as `find` does."""
    result = run_sql(engine, *compile_count(read_expression(engine, text)))
    return int(next(result.rows)[0])


def explain_empty(engine: Engine, text: str) -> list[str]:
    """Return a line for each reason why an expression may fit no neuron; raises as `find` does."""
    expression = read_expression(engine, text)
    with translate_errors(format_url(engine.url)), engine.connect() as connection:
        return empty_answers.explain_empty(connection, expression)


def explain_nulls(engine: Engine, text: str, columns: Sequence[str]) -> list[str]:
    """Return a line for each reason why columns may be NULL in all rows; raises as `find` does."""
    expression = read_expression(engine, text)
    with translate_errors(format_url(engine.url)), engine.connect() as connection:
        return empty_answers.explain_nulls(connection, expression, columns)


def read_expression(engine: Engine, text: str) -> Expression:
    """Parse an expression and look up the names in it; raises as `find` does."""
    expression = parse(text)
    with translate_errors(format_url(engine.url)), engine.connect() as connection:
        return resolve_names(expression, connection)


def explain_find(engine: Engine, text: str, shape: ResultShape) -> str:
    """Return the statement behind `find` in the form of a named query, and SQLite's plan for it.

    Raises as `find` does.
    """
    statement = compile_find(read_expression(engine, text), shape)
    return format_query(text, *statement, _explain_plan(engine, statement))


def _explain_plan(engine: Engine, statement: Statement) -> list[str]:
    """Return SQLite's plan for a statement, a step a line; no lines on PostgreSQL."""
    if engine.dialect.name != "sqlite":
        return []
    rows = run_sql(engine, f"EXPLAIN QUERY PLAN {statement.sql}", statement.parameters).rows
    depth = {0: 0}
    lines = []
    for step, parent, _, detail in rows:
        depth[step] = depth[parent] + 1
        lines.append("  " * depth[parent] + detail)
    return ["plan:", *lines]


THRESHOLD_COLUMNS: Final = frozenset(("class", "io_class", "class_a", "class_b", "weakening"))
"""Columns of an answer that depend on the threshold τ of the classes."""


def note_find_thresholds(engine: Engine, text: str, columns: Iterable[str]) -> list[str]:
    """Return a line where classes that `find` shows or asks for are not those at 0.5.

    Raises as `find` does.
    """
    expression = read_expression(engine, text)
    by_class = any(
        isinstance(term, OneOf) and term.column == "class" for term in iterate_terms(expression)
    )
    if not by_class and not THRESHOLD_COLUMNS & set(columns):
        return []
    with translate_errors(engine.url.render_as_string()), engine.connect() as connection:
        models = load_models(connection)
    return list(_format_notes(part.model for part in find_covered_models(expression, models)))


def note_query_thresholds(engine: Engine, columns: Iterable[str], model: str | None) -> list[str]:
    """Return a line where classes in the answer of a query, of a model or all, are not at 0.5."""
    if not THRESHOLD_COLUMNS & set(columns):
        return []
    with translate_errors(engine.url.render_as_string()), engine.connect() as connection:
        name = None if model is None else find_model_name(connection, model)
        models = load_models(connection)
    return list(
        _format_notes(stored_model for stored_model in models if name in (None, stored_model.name))
    )


def _format_notes(models: Iterable[Model]) -> Iterator[str]:
    """Yield a line for each threshold, other than the default, of the classes of some models."""
    names: dict[float, list[str]] = {}
    for model in models:
        if model.threshold != DEFAULT_THRESHOLD:
            names.setdefault(model.threshold, []).append(model.name)
    for threshold, model_names in names.items():
        yield (
            f"classes of {', '.join(model_names)} are those at τ = {threshold:g}, not "
            f"{DEFAULT_THRESHOLD:g}; `neurondb status` lists others, `neurondb ingest` shows them "
            f"by {option('tau')}"
        )
