"""The neurons that an expression describes, a page at a time."""

import shlex
from dataclasses import dataclass
from typing import Any, Final

from neurondb.errors import DatabaseError, UsageError
from neurondb.explore.pages.find.headings import Heading, list_headings
from neurondb.explore.pages.find.summary import SetSummary, summarize_set
from neurondb.explore.site import Page, Request
from neurondb.explore.sql import Sql
from neurondb.find.columns import ResultShape, choose_columns
from neurondb.find.compiler import compile_count, compile_find
from neurondb.find.empty_answers import explain_empty
from neurondb.find.grammar import parse
from neurondb.find.names import resolve_names
from neurondb.find.terms import And, Expression, OneOf, get_dataset_name
from neurondb.formatting.text import quote_expression
from neurondb.reading.layers import ClassShare, count_model_classes
from neurondb.reading.models import Model, list_models
from neurondb.reading.neuron_table import NeuronLine, read_neuron_lines
from neurondb.sql import run_sql

ROWS: Final = 50
_COUNTING_S: Final = 3.0
"""A set that takes longer than so many seconds to count is shown as "many" neurons."""
_MOST_SUMMARISED: Final = 50_000
_MOST_PAGES: Final = 2_000
_USUAL_COLUMNS: Final = (
    *choose_columns(()),
    *("layer", "neuron", "neuron_id", "out_kurtosis", "io_class"),
)
"""Columns that the table has in any case, or whose content it shows in another way."""


@dataclass(frozen=True)
class ListedNeuron:
    """A neuron of the set; `more` has its values in the columns that only the order names."""

    neuron: NeuronLine
    more: tuple[Any, ...]


@dataclass(frozen=True)
class NeuronSet:
    """A set of neurons.

    Attributes:
        expression: the expression that describes it.
        order: the keys that it is ordered by, as `find --order` takes them.
        n: how many neurons; None when they are too many to count in a moment.
        more: further columns, which the order names.
        reasons: what may be missing where the set is empty.
        summary: the set beside the average of its layers; None when it is empty or large.
        command: the command that prints the same in a terminal.
    """

    expression: str
    order: str
    n: int | None
    page: int
    last_page: bool
    headings: tuple[Heading, ...]
    more: tuple[str, ...]
    neurons: tuple[ListedNeuron, ...]
    several_models: bool
    reasons: tuple[str, ...]
    summary: SetSummary | None
    sql: Sql
    command: str


def answer(request: Request) -> Page:
    """Return one page of a set.

    Raises:
        UsageError: when the expression or the order cannot be understood.
        UnknownNameError: when a model or token in it is not there.
        DatabaseError: when it takes too long.
    """
    text, order = request.query.get("q", "").strip(), request.query.get("order", "").strip()
    expression, keys = read_expression(request), read_order(request)
    number = _read_page_number(request.query.get("page", "1"))
    neurons, extra_columns, last = _list_neurons(request, expression, keys, number)
    cached = request.cached
    n = (number - 1) * ROWS + len(neurons) if last else None
    if n is None:
        n = cached(("count", text), lambda: _count_neurons(request, expression))
    summary = None
    if text and n and n <= _MOST_SUMMARISED:
        summary = cached(("summary", text), lambda: summarize_set(request, expression))
    content = NeuronSet(
        text,
        order,
        n,
        number,
        last,
        list_headings(text, order, request.site.links),
        extra_columns,
        neurons,
        len({listed_neuron.neuron.model for listed_neuron in neurons}) != 1,
        () if n else tuple(explain_empty(request.connection, expression)),
        summary,
        _make_sql(expression, keys, number),
        _make_command(text, order),
    )
    return Page("find", text or "All neurons", content)


def read_expression(request: Request) -> Expression:
    """Return the expression that an address asks for, its models and tokens looked up.

    Raises:
        UsageError: when it cannot be understood.
        UnknownNameError: when a model or token in it is not there.
    """
    return resolve_names(parse(request.query.get("q", "").strip()), request.connection)


def read_order(request: Request) -> tuple[str, ...]:
    """Return the keys by which an address orders neurons, the first one first."""
    return tuple(key.strip() for key in request.query.get("order", "").split(",") if key.strip())


def _read_page_number(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 1 <= int(text[:9]) <= _MOST_PAGES):
        raise UsageError(f"pages are numbered 1 to {_MOST_PAGES:,}; order by something else")
    return int(text)


def _list_neurons(
    request: Request, expression: Expression, keys: tuple[str, ...], number: int
) -> tuple[tuple[ListedNeuron, ...], tuple[str, ...], bool]:
    """Return the neurons of a page, the columns added to them, and whether it is the last page."""
    extra_columns = tuple(c for c in choose_columns(keys) if c not in _USUAL_COLUMNS)
    shape = ResultShape(("neuron_id", *extra_columns), keys, number * ROWS + 1)
    rows = list(run_sql(request.site.engine, *compile_find(expression, shape)).rows)
    page_rows = rows[(number - 1) * ROWS : number * ROWS]
    ids = [row[0] for row in page_rows]
    lines = read_neuron_lines(request.connection, ids, get_dataset_name(expression))
    values = {row[0]: row[1:] for row in page_rows}
    neurons = tuple(ListedNeuron(line, values[line.neuron_id]) for line in lines)
    return neurons, extra_columns, len(rows) <= number * ROWS


def _count_neurons(request: Request, expression: Expression) -> int | None:
    if (models := _find_whole_models(request, expression)) is not None:
        return sum(share.n for model in models for share in _read_class_shares(request, model))
    engine = request.site.engine.execution_options(
        time_limit_s=min(_COUNTING_S, request.site.limit_s)
    )
    try:
        return int(next(run_sql(engine, *compile_count(expression)).rows)[0])
    except DatabaseError:
        return None


def _find_whole_models(request: Request, expression: Expression) -> list[Model] | None:
    """Return the models of which every neuron fits an expression; None for other expressions."""
    models = [summary.model for summary in list_models(request.connection)]
    if isinstance(expression, And) and not expression.parts:
        return models
    if isinstance(expression, OneOf) and expression.column == "model":
        return [model for model in models if model.name in expression.values]
    return None


def _read_class_shares(request: Request, model: Model) -> tuple[ClassShare, ...]:
    """Return how many neurons of each class a model has, which are those of neuron_overview."""
    key = ("classes", model.model_id)
    return request.cached(key, lambda: count_model_classes(request.connection, model))


def _make_sql(expression: Expression, keys: tuple[str, ...], number: int) -> Sql:
    """Return the statement of a page's neurons, with the columns that the page has of them."""
    columns = (*choose_columns(keys), "out_kurtosis")
    compiled = compile_find(expression, ResultShape(columns, keys, number * ROWS))
    offset = (number - 1) * ROWS
    part = f"\nLIMIT {ROWS} OFFSET {offset}" if offset else ""
    return Sql("neurons", compiled.sql + part, compiled.parameters)


def _make_command(text: str, order: str) -> str:
    ordered = f" --order {shlex.quote(order)}" if order else ""
    return f"neurondb find {quote_expression(text)}{ordered}"
