"""Which neurons go into files: those that an expression of `find` describes, of some models or all.

What `find` shows for an expression and what an export writes for it are the same neurons in the
same order; the rows come one after another, so that any number of them can be written.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Engine

from neurondb.errors import UnknownNameError
from neurondb.find.columns import ResultShape
from neurondb.find.compiler import compile_count, compile_find
from neurondb.find.names import find_model_name
from neurondb.find.search import explain_empty, read_expression
from neurondb.find.terms import And, Expression, OneOf
from neurondb.name_matching import quote_word
from neurondb.sql import run_sql


@dataclass(frozen=True)
class Choice:
    """Which neurons are chosen.

    Attributes:
        where: an expression of `find`; the empty one is every neuron.
        models: names of the models they are of; none is all models.
        order: columns to order them by, as `find` takes them; none is model, layer, neuron.
        limit: how many at most; None for all.
    """

    where: str = ""
    models: tuple[str, ...] = ()
    order: tuple[str, ...] = ()
    limit: int | None = None


def iterate_neurons(
    engine: Engine, choice: Choice, columns: Sequence[str]
) -> Iterator[dict[str, Any]]:
    """Yield the chosen neurons, each a mapping of the columns of `neuron_overview` asked for.

    Raises:
        ExpressionError: when the expression cannot be understood.
        UnknownNameError: when it names what is not there.
    """
    shape = ResultShape(tuple(columns), choice.order, choice.limit)
    names, rows = run_sql(engine, *compile_find(_read(engine, choice), shape))
    for row in rows:
        yield dict(zip(names, row, strict=True))


def count_neurons(engine: Engine, choice: Choice) -> int:
    """Return how many neurons the expression describes, whatever the limit is.

    Raises:
        ExpressionError: when the expression cannot be understood.
        UnknownNameError: when it names what is not there, or describes no neuron.
    """
    statement = compile_count(_read(engine, choice))
    count = int(next(run_sql(engine, *statement).rows)[0])
    if not count:
        reasons = explain_empty(engine, choice.where)
        because = f": {reasons[0]}" if reasons else ""
        wanted = quote_word(choice.where) if choice.where.strip() else "what was asked for"
        raise UnknownNameError(f"no neuron fits {wanted}{because}")
    return count


def _read(engine: Engine, choice: Choice) -> Expression:
    expression = read_expression(engine, choice.where)
    if not choice.models:
        return expression
    with engine.connect() as connection:
        names = tuple(find_model_name(connection, name) for name in choice.models)
    return And((OneOf("model", names), expression))
