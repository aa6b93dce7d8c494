"""Turn an expression into one SELECT on neuron_overview with bound parameters."""

import functools
import struct
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, NamedTuple

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
    Value,
)
from neurondb.asking.tree import conjuncts, dataset_asked
from neurondb.asking.vocabulary import NUMBERS, WORDS, number_column
from neurondb.errors import UsageError
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
_MOST_UNITED: Final = 500
"""SELECTs that SQLite unites in one statement."""


@dataclass
class _Binder:
    """Hands out a parameter for each value."""

    parameters: dict[str, Value] = field(default_factory=dict)

    def __call__(self, value: Value) -> str:
        name = f"p{len(self.parameters) + 1}"
        self.parameters[name] = value
        return f":{name}"


Bind = Callable[[Value], str]


@functools.singledispatch
def condition(term: Expression, bind: Bind) -> str:
    """Return the SQL condition of a term, in parentheses where it needs them."""
    raise AssertionError(f"no SQL for {term!r}")


@condition.register
def _and(term: And, bind: Bind) -> str:
    if not term.parts:
        return "1 = 1"
    return f"({' AND '.join(condition(part, bind) for part in term.parts)})"


@condition.register
def _or(term: Or, bind: Bind) -> str:
    listed = [part for part in term.parts if isinstance(part, HasToken | HasEffect)]
    if len(listed) == len(term.parts):
        # One list of neurons: of a choice of lists the planner may look at every neuron instead.
        return _united([_neurons(part, bind) for part in dict.fromkeys(listed)])
    return f"({' OR '.join(condition(part, bind) for part in term.parts)})"


def _united(lists: Sequence[str]) -> str:
    parts = [lists[i : i + _MOST_UNITED] for i in range(0, len(lists), _MOST_UNITED)]
    united = ["neuron_id IN ({})".format("\n    UNION".join(part)) for part in parts]
    return united[0] if len(united) == 1 else f"({' OR '.join(united)})"


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
    return f"{_sql(term.column)} IN ({', '.join(map(bind, values))})"


def _as_stored(column: str, value: float) -> tuple[float, ...]:
    """Return a number, and as float32 has it where a column is float32."""
    if column.strip("|") not in SINGLE:
        return (value,)
    try:
        (rounded,) = _FLOAT32.unpack(_FLOAT32.pack(value))
    except OverflowError:
        return (value,)
    return (value,) if rounded == value else (value, rounded)


@condition.register
def _missing(term: Missing, _bind: Bind) -> str:
    return f"{_sql(term.column)} IS NULL"


@condition.register
def _place(term: Place, bind: Bind) -> str:
    return f"(layer = {bind(term.layer)} AND neuron = {bind(term.neuron)})"


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
        UsageError: when a column to show or to order by does not exist.
    """
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
    return Compiled(_on_dataset(expression, sql, bind), bind.parameters)


def compile_count(expression: Expression) -> Compiled:
    """Return the statement that counts what `expression` describes."""
    bind = _Binder()
    where = _where(expression, bind)
    sql = f"SELECT COUNT(*) AS n\nFROM neuron_overview\nWHERE {where}"
    return Compiled(_on_dataset(expression, sql, bind), bind.parameters)


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
    few = any(isinstance(part, HasToken | HasEffect | Place) or _is_class(part) for part in parts)
    terms = (None if few else _from_index(part, bind) for part in parts)
    return "\n  AND ".join(
        known or condition(part, bind) for known, part in zip(terms, parts, strict=True)
    )


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
