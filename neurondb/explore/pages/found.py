"""The neurons that an expression describes, a page at a time."""

import shlex
from dataclasses import dataclass
from typing import Any, Final

from neurondb.asking.absences import reasons
from neurondb.asking.compiling import Shape, compile_count, compile_find, default_columns
from neurondb.asking.expression import parse
from neurondb.asking.names import resolved
from neurondb.asking.statements import run_sql
from neurondb.asking.terms import And, Expression, OneOf
from neurondb.asking.tree import dataset_asked
from neurondb.errors import DatabaseError, UsageError
from neurondb.explore.page import Ask, Page, Sql
from neurondb.explore.set_summary import SetSummary, set_summary
from neurondb.explore.sorting import Heading, headings
from neurondb.reading.layer_table import ClassShare, class_shares
from neurondb.reading.models import Model, list_models
from neurondb.reading.neuron_lines import NeuronLine, neuron_lines

ROWS: Final = 50
_COUNTING_S: Final = 3.0
"""Seconds after which a set is "many"."""
_MOST_SUMMARISED: Final = 50_000
_MOST_PAGES: Final = 2_000


@dataclass(frozen=True)
class FoundNeuron:
    """A neuron of the set; `more` has its values in the columns of the order that are no usual."""

    neuron: NeuronLine
    more: tuple[Any, ...]


@dataclass(frozen=True)
class Found:
    """A set of neurons.

    Attributes:
        expression: what describes it.
        order: keys by which it is ordered, as `find --order` takes them.
        n: neurons; None when they are too many to count in a moment.
        more: columns besides the usual ones, which the order names.
        reasons: of an empty set, what may be missing.
        summary: the set beside the average of its layers; None when it is empty or large.
        command: what gives the same in a terminal.
    """

    expression: str
    order: str
    n: int | None
    page: int
    last_page: bool
    headings: tuple[Heading, ...]
    more: tuple[str, ...]
    neurons: tuple[FoundNeuron, ...]
    several_models: bool
    reasons: tuple[str, ...]
    summary: SetSummary | None
    sql: Sql
    command: str


def answer(ask: Ask) -> Page:
    """Return one page of a set.

    Raises:
        UsageError: the expression or the order cannot be understood.
        UnknownNameError: a model or token in it is not there.
        DatabaseError: when it takes too long.
    """
    asked, order = ask.query.get("q", "").strip(), ask.query.get("order", "").strip()
    expression = resolved(parse(asked), ask.connection)
    number = _page_number(ask.query.get("page", "1"))
    found, more, last = _neurons(ask, expression, _keys(order), number)
    known = ask.site.remembered
    n = (number - 1) * ROWS + len(found) if last else None
    if n is None:
        n = known(("count", asked), lambda: _count(ask, expression))
    summarised = asked and n and n <= _MOST_SUMMARISED
    content = Found(
        asked,
        order,
        n,
        number,
        last,
        headings(asked, order, ask.site.links),
        more,
        found,
        len({one.neuron.model for one in found}) != 1,
        () if n else tuple(reasons(ask.connection, expression)),
        known(("summary", asked), lambda: set_summary(ask, expression)) if summarised else None,
        _sql(expression, _keys(order)),
        _command(asked, order),
    )
    return Page("found", asked or "All neurons", content)


def _keys(order: str) -> tuple[str, ...]:
    return tuple(key.strip() for key in order.split(",") if key.strip())


def _page_number(spelled: str) -> int:
    if not (spelled.isascii() and spelled.isdigit() and 1 <= int(spelled[:9]) <= _MOST_PAGES):
        raise UsageError(f"pages are numbered 1 to {_MOST_PAGES:,}; order by something else")
    return int(spelled)


def _neurons(
    ask: Ask, expression: Expression, keys: tuple[str, ...], number: int
) -> tuple[tuple[FoundNeuron, ...], tuple[str, ...], bool]:
    """Return the neurons of a page, the columns added to them, and whether it is the last page."""
    more = tuple(c for c in default_columns(keys) if c not in _USUAL)
    shape = Shape(("neuron_id", *more), keys, number * ROWS + 1)
    rows = list(run_sql(ask.site.engine, *compile_find(expression, shape)).rows)
    shown = rows[(number - 1) * ROWS : number * ROWS]
    ids = [row[0] for row in shown]
    lines = neuron_lines(ask.connection, ids, dataset_asked(expression))
    values = {row[0]: row[1:] for row in shown}
    found = tuple(FoundNeuron(line, values[line.neuron_id]) for line in lines)
    return found, more, len(rows) <= number * ROWS


_USUAL: Final = (
    *default_columns(()),
    *("layer", "neuron", "neuron_id", "out_kurtosis", "io_class"),
)
"""Columns that the table has anyway, or says in another way."""


def _count(ask: Ask, expression: Expression) -> int | None:
    if (whole := _models(ask, expression)) is not None:
        return sum(share.n for model in whole for share in _shares(ask, model))
    engine = ask.site.engine.execution_options(time_limit_s=min(_COUNTING_S, ask.site.limit_s))
    try:
        return int(next(run_sql(engine, *compile_count(expression)).rows)[0])
    except DatabaseError:
        return None


def _models(ask: Ask, expression: Expression) -> list[Model] | None:
    """Return the models whose neurons, all of them, an expression describes; else None."""
    every = [one.model for one in list_models(ask.connection)]
    if isinstance(expression, And) and not expression.parts:
        return every
    if isinstance(expression, OneOf) and expression.column == "model":
        return [model for model in every if model.name in expression.values]
    return None


def _shares(ask: Ask, model: Model) -> tuple[ClassShare, ...]:
    """Return the classes of a model; neuron_overview has the neurons that are classified."""
    key = ("classes", model.model_id)
    return ask.site.remembered(key, lambda: class_shares(ask.connection, model))


def _sql(expression: Expression, keys: tuple[str, ...]) -> Sql:
    columns = (*default_columns(keys), "out_kurtosis")
    compiled = compile_find(expression, Shape(columns, keys, ROWS))
    return Sql("neurons", compiled.sql, compiled.parameters)


def _command(asked: str, order: str) -> str:
    ordered = f" --order {shlex.quote(order)}" if order else ""
    return f"neurondb find {shlex.quote(asked)}{ordered}"
