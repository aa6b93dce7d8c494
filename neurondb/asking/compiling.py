"""Turn an expression into one SELECT on neuron_overview with bound parameters."""

import functools
import json
import struct
import textwrap
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, NamedTuple, TypeVar

from neurondb.asking.effects import EFFECT_ALIASES, listed_effects
from neurondb.asking.spelling import did_you_mean, shown
from neurondb.asking.terms import (
    And,
    Between,
    Compare,
    Expression,
    HasEffect,
    HasToken,
    Missing,
    Not,
    OnDataset,
    OneOf,
    Or,
    Place,
    Places,
    Value,
)
from neurondb.asking.tree import conjuncts, dataset_asked, depth
from neurondb.asking.vocabulary import NUMBERS, WORDS, number_column
from neurondb.errors import ExpressionError, UsageError
from neurondb.schema.precision import SINGLE
from neurondb.schema.views import overview_on


class Compiled(NamedTuple):
    """A statement, and the values of its parameters `:p1`, `:p2` and so on."""

    sql: str
    parameters: dict[str, Value]


COLUMNS: Final = (
    *("model", "name", "class", "gate_in", "gate_out", "in_out", "freq", "role"),
    "top_out_token",
)
"""Columns that `find` shows unless told otherwise."""

# A role that is NULL means "none" once the vocabulary has been looked at, and "unknown" before.
_ROLE: Final = "CASE WHEN out_kurtosis IS NOT NULL THEN COALESCE(role, 'none') END"

_IN_LISTS: Final = """
    SELECT r.neuron_id
    FROM tokens t
    JOIN models m ON m.model_id = t.model_id
    JOIN top_token_rows r ON r.token_id = t.token_id AND r.list_id IN ({lists}){rank}
     AND r.neuron_id >= m.first_neuron_id
     AND r.neuron_id < m.first_neuron_id + m.n_layers * m.d_mlp
    WHERE t.{column} = {token}"""

_IN_HEAD: Final = """
    SELECT h.neuron_id
    FROM tokens t
    JOIN models m ON m.model_id = t.model_id
    JOIN lm_head_tokens h ON h.token_id = t.token_id
     AND h.neuron_id >= m.first_neuron_id
     AND h.neuron_id < m.first_neuron_id + m.n_layers * m.d_mlp
    WHERE t.{column} = {token}"""


# A property is the same to all models; the index by property and effect has the neurons too.
_AFFECTING: Final = """
    SELECT e.neuron_id
    FROM properties y
    JOIN property_effects e ON e.property_id = y.property_id
    WHERE y.name = {name} AND {strength}"""

_FLOAT32: Final = struct.Struct("<f")
# One value however long the list is: {"31.9634": 31000009634, …}, which SQLite and PostgreSQL read
# alike. The second number is layer · 10⁹ + neuron.
_PLACED: Final = """
    SELECT m.first_neuron_id + l.layer * m.d_mlp + l.neuron
    FROM (
        SELECT place / {base} AS layer, place % {base} AS neuron
        FROM (SELECT CAST(CAST(value AS TEXT) AS BIGINT) AS place FROM json_each({listed})) AS p
    ) AS l
    JOIN models m ON l.layer < m.n_layers AND l.neuron < m.d_mlp"""
_BASE: Final = 10**9

_AMONG: Final = "SELECT CAST(CAST(value AS TEXT) AS {kind}) FROM json_each({listed})"
_MOST_NAMED: Final = 100
"""Values of a list that are parameters of their own; longer ones are one parameter."""

_MOST_LISTED: Final = 100_000
"""Items of a list that is one value; SQLite bounds how long a value is."""
_MOST_UNITED: Final = 500
"""SELECTs that SQLite unites in one statement."""
_LONGEST: Final = 900_000
"""Characters of a statement; SQLite takes a few more."""
_MOST_PARAMETERS: Final = 30_000
_DEEPEST: Final = 12
"""Alternations of and, or and not: the stack of SQLite's parser has a hundred places."""


@dataclass
class _Binder:
    """Hands out a parameter for each value."""

    parameters: dict[str, Value] = field(default_factory=dict)

    def __call__(self, value: Value) -> str:
        name = f"p{len(self.parameters) + 1}"
        self.parameters[name] = value
        return f":{name}"


Bind = Callable[[Value], str]
T = TypeVar("T")


@functools.singledispatch
def condition(term: Expression, bind: Bind) -> str:
    """Return the SQL condition of a term, in parentheses where it needs them."""
    raise AssertionError(f"no SQL for {term!r}")


@condition.register
def _and(term: And, bind: Bind) -> str:
    if not term.parts:
        return "1 = 1"
    return _joined(" AND ", [condition(part, bind) for part in term.parts])


def _joined(operator: str, conditions: Sequence[str]) -> str:
    """Return conditions in parentheses, nested as flat as can be: SQLite bounds the depth."""
    while len(conditions) > _MOST_NAMED:
        conditions = [
            f"({operator.join(conditions[i : i + _MOST_NAMED])})"
            for i in range(0, len(conditions), _MOST_NAMED)
        ]
    return f"({operator.join(conditions)})"


@condition.register
def _or(term: Or, bind: Bind) -> str:
    listed = [part for part in term.parts if isinstance(part, HasToken | HasEffect)]
    if len(listed) == len(term.parts):
        # One list of neurons: of a choice of lists the planner may look at every neuron instead.
        return _united([_neurons(part, bind) for part in dict.fromkeys(listed)])
    return _joined(" OR ", [condition(part, bind) for part in term.parts])


def _united(lists: Sequence[str]) -> str:
    parts = [lists[i : i + _MOST_UNITED] for i in range(0, len(lists), _MOST_UNITED)]
    united = ["neuron_id IN ({})".format("\n    UNION".join(part)) for part in parts]
    return united[0] if len(united) == 1 else _joined(" OR ", united)


@condition.register
def _not(term: Not, bind: Bind) -> str:
    inner = condition(term.part, bind)
    return f"NOT {inner}" if inner.startswith("(") else f"NOT ({inner})"


@condition.register
def _compare(term: Compare, bind: Bind) -> str:
    # 0.3 as float32 is above 0.3: what prints as 0.3 is neither above nor below it.
    outer = max if term.operator in (">", "<=") else min
    value = outer(_as_stored(term.column, term.value))
    return f"{_sql(term.column)} {term.operator} {bind(value)}"


@condition.register
def _between(term: Between, bind: Bind) -> str:
    low, high = min(_as_stored(term.column, term.low)), max(_as_stored(term.column, term.high))
    return f"{_sql(term.column)} BETWEEN {bind(low)} AND {bind(high)}"


@condition.register
def _one_of(term: OneOf, bind: Bind) -> str:
    values = list(
        dict.fromkeys(
            form
            for value in term.values
            for form in ((value,) if isinstance(value, str) else _as_stored(term.column, value))
        )
    )
    if len(values) == 1:
        return f"{_sql(term.column)} = {bind(values[0])}"
    if len(values) <= _MOST_NAMED or any(isinstance(value, str) for value in values):
        return f"{_sql(term.column)} IN ({', '.join(map(bind, values))})"
    whole = all(isinstance(value, int) for value in values)
    kind = "BIGINT" if whole else "DOUBLE PRECISION"
    lists = [
        _AMONG.format(kind=kind, listed=bind(json.dumps(dict(enumerate(part)))))
        for part in _parts(values)
    ]
    return _joined(" OR ", [f"{_sql(term.column)} IN ({listed})" for listed in lists])


def _as_stored(column: str, value: float) -> tuple[float, ...]:
    """Return a number, and as float32 has it where a column is float32."""
    if column.strip("|") not in SINGLE:
        return (value,)
    try:
        (rounded,) = _FLOAT32.unpack(_FLOAT32.pack(value))
    except OverflowError:
        return (value,)
    return (value,) if rounded == value else (value, rounded)


def _parts(values: Sequence[T]) -> Iterator[Sequence[T]]:
    for start in range(0, len(values), _MOST_LISTED):
        yield values[start : start + _MOST_LISTED]


@condition.register
def _missing(term: Missing, _bind: Bind) -> str:
    return f"{_sql(term.column)} IS NULL"


@condition.register
def _place(term: Place, bind: Bind) -> str:
    return f"(layer = {bind(term.layer)} AND neuron = {bind(term.neuron)})"


@condition.register
def _places(term: Places, bind: Bind) -> str:
    return _joined(
        " OR ", [f"neuron_id IN ({_placed(part, bind)})" for part in _parts(term.places)]
    )


def _placed(places: Sequence[Place], bind: Bind) -> str:
    codes = {
        f"{place.layer}.{place.neuron}": place.layer * _BASE + place.neuron
        for place in places
        if max(place.layer, place.neuron) < _BASE  # no model is larger
    }
    return _PLACED.format(base=_BASE, listed=bind(json.dumps(codes)))


@condition.register
def _listed(term: HasToken | HasEffect, bind: Bind) -> str:
    return f"neuron_id IN ({_neurons(term, bind)})"


def _neurons(term: HasToken | HasEffect, bind: Bind) -> str:
    """Return the SELECT of the neurons that have a token in a list, or an effect."""
    if isinstance(term, HasEffect):
        name = bind(term.property)
        return _AFFECTING.format(name=name, strength=condition(term.strength, bind))
    column = "token_id" if isinstance(term.token, int) else "token"
    if not term.lists:
        return _IN_HEAD.format(column=column, token=bind(term.token))
    lists = ", ".join(map(str, term.lists))
    rank = "" if term.within is None else f" AND r.rank < {bind(term.within)}"
    return _IN_LISTS.format(lists=lists, rank=rank, column=column, token=bind(term.token))


def _sql(column: str) -> str:
    if column.startswith("|"):
        return f"ABS({column.strip('|')})"
    return _ROLE if column == "role" else column


class Shape(NamedTuple):
    """What of the matching neurons to show: which columns, in which order, how many.

    An order key is a column, or `|column|` for its absolute value; `-` in front turns it round.
    Neurons for which the key is unknown come last.
    """

    columns: Sequence[str] = COLUMNS
    order: Sequence[str] = ()
    limit: int | None = None


def compile_find(expression: Expression, shape: Shape = Shape()) -> Compiled:  # noqa: B008
    """Return the statement that finds what `expression` describes.

    Raises:
        UsageError: when a column to show or to order by does not exist, or it is too long or deep.
    """
    _check_depth(expression)
    bind = _Binder()
    columns = ", ".join(_shown(column) for column in shape.columns)
    order = ", ".join(_order(shape.order))
    where = _where(expression, bind)
    if shape.limit is not None:
        # Choose the neurons first: what is shown of them is looked up for these few only.
        first = f"SELECT neuron_id\nFROM neuron_overview\nWHERE {where}\nORDER BY {order}"
        chosen = textwrap.indent(f"{first}\nLIMIT {bind(shape.limit)}", "    ")
        where = f"neuron_id IN (\n{chosen})"
    sql = f"SELECT {columns}\nFROM neuron_overview\nWHERE {where}\nORDER BY {order}"
    return _of_a_size(Compiled(_on_dataset(expression, sql, bind), bind.parameters))


def _check_depth(expression: Expression) -> None:
    if depth(expression) > _DEEPEST:
        raise ExpressionError(
            f"and, or and not stand within one another more than {_DEEPEST} deep; "
            "write it flatter, or ask with `neurondb sql`"
        )


def _of_a_size(compiled: Compiled) -> Compiled:
    if len(compiled.sql) > _LONGEST or len(compiled.parameters) > _MOST_PARAMETERS:
        raise ExpressionError(
            f"the expression has too many conditions ({len(compiled.parameters):,}); list neurons "
            "or numbers with commas, or ask for fewer at a time"
        )
    return compiled


def compile_count(expression: Expression) -> Compiled:
    """Return the statement that counts what `expression` describes."""
    _check_depth(expression)
    bind = _Binder()
    where = _where(expression, bind)
    sql = f"SELECT COUNT(*) AS n\nFROM neuron_overview\nWHERE {where}"
    return _of_a_size(Compiled(_on_dataset(expression, sql, bind), bind.parameters))


def _on_dataset(expression: Expression, sql: str, bind: Bind) -> str:
    """Return a statement with activations on the dataset that an expression names, if it does.

    A common table expression takes the place of the view. It is never stored, so that conditions
    reach the indexes through it as they do through the view.
    """
    name = dataset_asked(expression)
    if name is None:
        return sql
    dataset = f"(SELECT d.dataset_id FROM dataset_rows d WHERE d.name = {bind(name)})"  # noqa: S608
    overview = textwrap.indent(overview_on(dataset), "    ")
    return f"WITH neuron_overview AS NOT MATERIALIZED (\n{overview}\n)\n{sql}"


def _from_index(term: Expression, bind: Bind) -> str | None:
    """Return the condition on an effect as a list of neurons, which an index by effect gives.

    A list cannot tell what is unknown from what does not fit, so that `not` must not stand before.
    """
    if not isinstance(term, Compare | Between) or (listed := listed_effects(term.column)) is None:
        return None
    fits = condition(replace(term, column="e.mean"), bind)
    return f"neuron_id IN ({listed.format(fits=fits)})"


def _where(expression: Expression, bind: Bind) -> str:
    parts = [part for part in conjuncts(expression) if not isinstance(part, OnDataset)] or [And(())]
    # A class, a list or a neuron has its own index, and leaves few neurons to look an effect up of.
    listed = HasToken | HasEffect | Place | Places
    few = any(isinstance(part, listed) or _is_class(part) for part in parts)
    terms = (None if few else _from_index(part, bind) for part in parts)
    found = [known or condition(part, bind) for known, part in zip(terms, parts, strict=True)]
    return "\n  AND ".join(found) if len(found) <= _MOST_NAMED else _joined(" AND ", found)


def _is_class(term: Expression) -> bool:
    return isinstance(term, OneOf) and term.column == "class"


def default_columns(order: Sequence[str], usual: tuple[str, ...] = COLUMNS) -> tuple[str, ...]:
    """Return the columns shown unless told otherwise: besides the usual ones, those of the order.

    What is no column is left to `compile_find` to refuse.
    """
    names = (key.removeprefix("-") for key in order)
    columns = ((number_column(name) or name).strip("|") for name in names)
    return (*usual, *(c for c in dict.fromkeys(columns) if c not in usual))


def _shown(column: str) -> str:
    known = (*NUMBERS, *WORDS)
    column = EFFECT_ALIASES.get(column, column)
    if column not in known:
        raise UsageError(f"unknown column {shown(column)}{did_you_mean(column, known)}")
    return column


def _order(keys: Sequence[str]) -> list[str]:
    terms = [term for key in keys for term in _order_terms(key)]
    return [*terms, "neuron_id"]


def _order_terms(key: str) -> list[str]:
    direction = " DESC" if key.startswith("-") else ""
    name = key.removeprefix("-")
    if name == "name":  # as numbers: 2.10 comes before 10.2
        return [f"layer{direction}", f"neuron{direction}"]
    column = number_column(name) or _shown(name)
    sql = f"ABS({column.strip('|')})" if column.startswith("|") else column
    return [f"{sql}{direction} NULLS LAST"]
