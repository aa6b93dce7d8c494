"""The compiler of the find language: an expression becomes one SELECT with bound parameters."""

import functools
import json
import struct
import textwrap
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any, Final, TypeVar

from neurondb.find.annotations import select_annotated_neurons
from neurondb.find.columns import (
    ResultShape,
    check_column,
    list_order_terms,
    parse_order_key,
    write_column,
    write_shown,
)
from neurondb.find.concepts import select_concept_neurons
from neurondb.find.descriptions import select_described_neurons
from neurondb.find.families import ON_CHOSEN_RUN, select_family_neurons
from neurondb.find.heads import select_head_neurons
from neurondb.find.marks import select_marked_neurons
from neurondb.find.moves import select_moved_neurons
from neurondb.find.neuron_lists import select_by_effect, select_places, write_text_condition
from neurondb.find.percentiles import list_percentiles, write_ranks, write_source
from neurondb.find.related import select_related
from neurondb.find.statement import Parameters, Statement, check_depth, check_size
from neurondb.find.terms import (
    And,
    Between,
    Compare,
    Expression,
    HasEffect,
    HasMoved,
    HasPeak,
    HasText,
    HasToken,
    InFamily,
    IsAnnotated,
    IsConcept,
    IsDescribed,
    IsMarked,
    IsRelated,
    Missing,
    MovesHead,
    Not,
    OnDataset,
    OneOf,
    Or,
    Place,
    Places,
    get_dataset_name,
    iterate_conjuncts,
)
from neurondb.find.token_neurons import ON_SHOWN_DATASET, select_token_neurons
from neurondb.schema.columns import FLOAT32_COLUMNS
from neurondb.schema.views import make_overview_on
from neurondb.sql.running import Value

# A role that is NULL means "none" once the vocabulary has been looked at, and "unknown" before.
_ROLE_OR_NONE: Final = "CASE WHEN out_kurtosis IS NOT NULL THEN COALESCE(role, 'none') END"

# A property is the same to all models; the index by property and effect has the neurons too.
_BY_PROPERTY: Final = """
    SELECT e.neuron_id
    FROM properties y
    JOIN property_effects e ON e.property_id = y.property_id
    WHERE y.name = {name} AND {strength}"""

_FLOAT32: Final = struct.Struct("<f")

_LISTED_VALUES: Final = "SELECT CAST(CAST(value AS TEXT) AS {kind}) FROM json_each({listed})"
_MAX_PARTS: Final = 100
"""Up to so many values, each value of a list is a parameter; a longer list is one parameter."""

_MAX_ITEMS: Final = 100_000
"""Items of a list that is one value; SQLite bounds how long a value is."""
_MAX_SELECTS: Final = 500
"""SELECTs that SQLite unites in one statement."""
Bind = Callable[[Value], str]
Listed = (
    HasToken
    | HasPeak
    | HasEffect
    | HasMoved
    | IsConcept
    | IsDescribed
    | IsAnnotated
    | IsRelated
    | MovesHead
    | InFamily
    | IsMarked
)
"""Terms whose neurons an index lists."""
_SELECTORS: Final[dict[type, Callable[[Any, Bind], str]]] = {
    HasToken: select_token_neurons,
    HasPeak: select_token_neurons,
    IsConcept: select_concept_neurons,
    IsMarked: select_marked_neurons,
    IsDescribed: select_described_neurons,
    IsAnnotated: select_annotated_neurons,
    IsRelated: select_related,
    MovesHead: select_head_neurons,
}
"""Kind of such a term → its SELECT, where the term alone says all of it."""
T = TypeVar("T")


@functools.singledispatch
def compile_condition(term: Expression, bind: Bind) -> str:
    """Return the SQL condition of a term, in parentheses where it needs them."""
    raise AssertionError(f"no SQL for {term!r}")


@compile_condition.register
def _compile_and(term: And, bind: Bind) -> str:
    if not term.parts:
        return "1 = 1"
    return _join(" AND ", [compile_condition(part, bind) for part in term.parts])


def _join(operator: str, conditions: Sequence[str]) -> str:
    """Return conditions joined in parentheses, as flat as possible: SQLite limits the depth."""
    while len(conditions) > _MAX_PARTS:
        conditions = [
            f"({operator.join(conditions[i : i + _MAX_PARTS])})"
            for i in range(0, len(conditions), _MAX_PARTS)
        ]
    return f"({operator.join(conditions)})"


@compile_condition.register
def _compile_or(term: Or, bind: Bind) -> str:
    list_terms = [part for part in term.parts if isinstance(part, Listed)]
    if len(list_terms) == len(term.parts):
        # One united list: for a choice between lists the planner may look at every neuron.
        return _unite([_select_neurons(part, bind) for part in dict.fromkeys(list_terms)])
    return _join(" OR ", [compile_condition(part, bind) for part in term.parts])


def _unite(lists: Sequence[str]) -> str:
    """Return the condition that a neuron is in one of the lists that SELECTs give."""
    groups = [lists[i : i + _MAX_SELECTS] for i in range(0, len(lists), _MAX_SELECTS)]
    united = ["neuron_id IN ({})".format("\n    UNION".join(group)) for group in groups]
    return united[0] if len(united) == 1 else _join(" OR ", united)


@compile_condition.register
def _compile_not(term: Not, bind: Bind) -> str:
    condition = compile_condition(term.part, bind)
    return f"NOT {condition}" if condition.startswith("(") else f"NOT ({condition})"


@compile_condition.register
def _compile_compare(term: Compare, bind: Bind) -> str:
    # 0.3 as float32 is above 0.3: what prints as 0.3 is neither above nor below it.
    choose_bound = max if term.operator in (">", "<=") else min
    value = choose_bound(_list_stored_forms(term.column, term.value))
    return f"{_write_column(term.column)} {term.operator} {bind(value)}"


@compile_condition.register
def _compile_between(term: Between, bind: Bind) -> str:
    low, high = (
        min(_list_stored_forms(term.column, term.low)),
        max(_list_stored_forms(term.column, term.high)),
    )
    return f"{_write_column(term.column)} BETWEEN {bind(low)} AND {bind(high)}"


@compile_condition.register
def _compile_one_of(term: OneOf, bind: Bind) -> str:
    values = list(
        dict.fromkeys(
            form
            for value in term.values
            for form in (
                (value,) if isinstance(value, str) else _list_stored_forms(term.column, value)
            )
        )
    )
    if len(values) == 1:
        return f"{_write_column(term.column)} = {bind(values[0])}"
    if len(values) <= _MAX_PARTS or any(isinstance(value, str) for value in values):
        return f"{_write_column(term.column)} IN ({', '.join(map(bind, values))})"
    integral = all(isinstance(value, int) for value in values)
    kind = "BIGINT" if integral else "DOUBLE PRECISION"
    lists = [
        _LISTED_VALUES.format(kind=kind, listed=bind(json.dumps(dict(enumerate(part)))))
        for part in _cut(values)
    ]
    return _join(
        " OR ", [f"{_write_column(term.column)} IN ({values_sql})" for values_sql in lists]
    )


def _list_stored_forms(column: str, value: float) -> tuple[float, ...]:
    """Return the forms of a number in a column: itself and, where that is float32, as rounded."""
    if column.strip("|") not in FLOAT32_COLUMNS:
        return (value,)
    try:
        (rounded,) = _FLOAT32.unpack(_FLOAT32.pack(value))
    except OverflowError:
        return (value,)
    return (value,) if rounded == value else (value, rounded)


def _cut(values: Sequence[T]) -> Iterator[Sequence[T]]:
    """Yield values in lists of at most `_MAX_ITEMS`."""
    for start in range(0, len(values), _MAX_ITEMS):
        yield values[start : start + _MAX_ITEMS]


@compile_condition.register
def _compile_missing(term: Missing, _bind: Bind) -> str:
    return f"{_write_column(term.column)} IS NULL"


@compile_condition.register
def _compile_place(term: Place, bind: Bind) -> str:
    if term.expert is None:
        return f"(layer = {bind(term.layer)} AND neuron = {bind(term.neuron)})"
    of_expert = f"expert = {bind(term.expert)} AND expert_neuron = {bind(term.neuron)}"
    return f"(layer = {bind(term.layer)} AND {of_expert})"


@compile_condition.register
def _compile_places(term: Places, bind: Bind) -> str:
    return _join(
        " OR ", [f"neuron_id IN ({select_places(part, bind)})" for part in _cut(term.places)]
    )


@compile_condition.register
def _compile_listed(term: Listed, bind: Bind) -> str:
    return f"neuron_id IN ({_select_neurons(term, bind)})"


def _select_neurons(term: Listed, bind: Bind) -> str:
    """Return the SELECT of the neurons that a term lists: by a token, a relation, words."""
    if isinstance(term, InFamily):
        return select_family_neurons(term, bind, lambda one: compile_condition(one, bind))
    if isinstance(term, HasMoved):
        return select_moved_neurons(term, compile_condition(term.strength, bind), bind)
    if isinstance(term, HasEffect):
        name = bind(term.property)
        return _BY_PROPERTY.format(name=name, strength=compile_condition(term.strength, bind))
    return _SELECTORS[type(term)](term, bind)


@compile_condition.register
def _compile_text(term: HasText, bind: Bind) -> str:
    return write_text_condition(term, bind)


def _write_column(column: str) -> str:
    """Return the SQL of a column that a term is on."""
    return _ROLE_OR_NONE if column == "role" else write_column(column)


def compile_find(expression: Expression, shape: ResultShape = ResultShape()) -> Statement:  # noqa: B008
    """Return the statement that finds what `expression` describes.

    Raises:
        UsageError: when a column to show or to order by does not exist.
        ExpressionError: when the expression is too long or too deep.
    """
    check_depth(expression)
    bind = Parameters()
    shown = [check_column(column) for column in shape.columns]
    keys = [parse_order_key(key) for key in shape.order]
    columns = ", ".join(map(write_shown, shown))
    order = ", ".join(list_order_terms(shape.order))
    condition = _write_where(expression, bind)
    source = write_source(list_percentiles((*shown, *keys), expression))
    if shape.limit is not None:
        # Choose the neurons first: what is shown of them is looked up for these few only.
        chosen_of = write_source(list_percentiles(keys, expression))
        first = f"SELECT neuron_id\nFROM {chosen_of}\nWHERE {condition}\nORDER BY {order}"
        selected_ids = textwrap.indent(f"{first}\nLIMIT {bind(shape.limit)}", "    ")
        condition = f"neuron_id IN (\n{selected_ids})"
        source = write_source(list_percentiles((*shown, *keys)))
    sql = f"SELECT {columns}\nFROM {source}\nWHERE {condition}\nORDER BY {order}"
    percentiles = list_percentiles((*shown, *keys), expression)
    return _finish(expression, sql, percentiles, bind)


def compile_count(expression: Expression) -> Statement:
    """Return the statement that counts what `expression` describes.

    Raises:
        ExpressionError: when it is too long or too deep.
    """
    check_depth(expression)
    bind = Parameters()
    condition = _write_where(expression, bind)
    percentiles = list_percentiles((), expression)
    sql = f"SELECT COUNT(*) AS n\nFROM {write_source(percentiles)}\nWHERE {condition}"
    return _finish(expression, sql, percentiles, bind)


def _finish(
    expression: Expression, sql: str, percentiles: Sequence[str], bind: Parameters
) -> Statement:
    """Return a statement with the common table expressions that its SELECT refers to.

    One takes the place of the view where the expression names a dataset. It is never stored, so
    that conditions reach the indexes through it as they do through the view.

    Raises:
        ExpressionError: when it is too long.
    """
    name = get_dataset_name(expression)
    tables = write_ranks(
        percentiles, expression, lambda term: compile_condition(term, bind), write_column
    )
    if name is not None:
        dataset = f"(SELECT d.dataset_id FROM dataset_rows d WHERE d.name = {bind(name)})"  # noqa: S608
        overview = textwrap.indent(make_overview_on(dataset), "    ")
        for shown in (ON_SHOWN_DATASET, ON_CHOSEN_RUN):
            sql = sql.replace(shown, f"r.dataset_id = {dataset}")
        tables.insert(0, f"neuron_overview AS NOT MATERIALIZED (\n{overview}\n)")
    if tables:
        sql = "WITH {}\n{}".format(", ".join(tables), sql)
    return check_size(Statement(sql, bind.parameters))


def _use_effect_index(term: Expression, bind: Bind) -> str | None:
    """Return the condition on an effect as a list of neurons, which an index by effect gives.

    A list cannot tell what is unknown from what does not fit, so that `not` must not stand before.
    """
    if (
        not isinstance(term, Compare | Between)
        or (selection := select_by_effect(term.column)) is None
    ):
        return None
    fits = compile_condition(replace(term, column="e.mean"), bind)
    return f"neuron_id IN ({selection.format(fits=fits)})"


def _write_where(expression: Expression, bind: Bind) -> str:
    """Return the condition of the WHERE, the parts that must all hold on a line each."""
    parts = [part for part in iterate_conjuncts(expression) if not isinstance(part, OnDataset)] or [
        And(())
    ]
    # A class, a list or a neuron has its own index, and leaves few neurons to look an effect up of.
    selective_terms = Listed | Place | Places
    few_neurons = any(isinstance(part, selective_terms) or _is_class(part) for part in parts)
    terms = (None if few_neurons else _use_effect_index(part, bind) for part in parts)
    conditions = [
        index_condition or compile_condition(part, bind)
        for index_condition, part in zip(terms, parts, strict=True)
    ]
    return (
        "\n  AND ".join(conditions) if len(conditions) <= _MAX_PARTS else _join(" AND ", conditions)
    )


def _is_class(term: Expression) -> bool:
    return isinstance(term, OneOf) and term.column == "class"
