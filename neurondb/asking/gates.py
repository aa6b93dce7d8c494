"""What only a gate has, and what to ask of neurons without one instead."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from neurondb.asking.terms import (
    Between,
    Compare,
    Expression,
    HasToken,
    OneOf,
)
from neurondb.asking.tree import terms
from neurondb.asking.vocabulary import DEAD
from neurondb.reading.models import Model
from neurondb.schema.codes import TOKEN_LISTS
from neurondb.schema.views import CASE_COLUMNS

INSTEAD: Final = {
    "gate_in": "in_out",
    "gate_out": "in_out",
    "freq": "post_positive",
    **dict.fromkeys(CASE_COLUMNS.values(), "post_positive"),
    "gate_norm": "in_norm",
}
"""Columns that are NULL of neurons without a gate → what these have that comes nearest."""
UNGATED_CLASSES: Final = ("strengthening", "weakening", "orthogonal output")
_GATE_LISTS: Final = frozenset(code for code, vector, *_ in TOKEN_LISTS if vector == "gate")
GATED_VALUES: Final = frozenset(
    ("gate", "gate_in", "gate_out", *CASE_COLUMNS, "hook_pre_linear", "swish")
)
"""Values of parameters of named queries for which neurons without a gate have no rows."""
UNGATED_VALUES: Final = frozenset(("in+", "in-"))
"""Those for which neurons with one have none."""


def missing_gates(
    found: Sequence[Expression], asked: Sequence[Model], values: Iterable[str] = ()
) -> Iterator[str]:
    """Yield a line for each kind of terms that no neuron without a gate fits, and the other way.

    Nothing is said where models of both kinds are asked: those that can be meant are.

    `found` are the terms of a question, those of `dead` left out, which means both kinds of
    neurons. `values` are those that a named query was given.
    """
    ungated = [model.name for model in asked if not model.gated]
    gated = [model.name for model in asked if model.gated]
    given = dict.fromkeys(values)
    if ungated and not gated:
        yield from _without(ungated, found, [value for value in given if value in GATED_VALUES])
    cases = [value for value in given if value in UNGATED_VALUES]
    if gated and cases and not ungated:
        names, have, _ = _who(gated)
        yield f"{names} {have} gates: {', '.join(cases)} are sign cases of neurons without one"


def without_gates(asked: Sequence[Model]) -> Iterator[str]:
    """Yield a line that says which models a question about gates has no answer for."""
    if not any(model.gated for model in asked):
        who, have, _ = _who([model.name for model in asked])
        yield f"{who} {have} no gates, which the question is about"


def _without(
    names: Sequence[str], found: Sequence[Expression], values: Sequence[str]
) -> Iterator[str]:
    who, have, their = _who(names)
    columns = [column for column in map(_column, found) if column is not None]
    needed = dict.fromkeys(columns)
    if any(isinstance(term, HasToken) and _of_gate_only(term) for term in found):
        needed["tokens of gate"] = None
    nearest = dict.fromkeys(INSTEAD.get(name, "in.token") for name in needed)
    if needed:
        yield (
            f"{who} {have} no gates: {their} neurons have no {_listed(needed, 'or')}; "
            f"ask for {_listed(nearest, 'or')} instead"
        )
    if values:
        chosen = _listed(values, "or")
        yield f"{who} {have} no gates: there is no {chosen} of {their} neurons"
    if any(isinstance(term, OneOf) and _is_gated_class(term) for term in found):
        yield f"{who} {have} no gates: {their} neurons are {_listed(UNGATED_CLASSES, 'or')}"


def _column(term: Expression) -> str | None:
    if not isinstance(term, Compare | Between | OneOf):
        return None
    column = term.column.strip("|")
    return column if column in INSTEAD else None


def _of_gate_only(term: HasToken) -> bool:
    return bool(term.lists) and set(term.lists) <= _GATE_LISTS


def _is_gated_class(term: OneOf) -> bool:
    possible = (*UNGATED_CLASSES, "undefined")
    return term.column == "class" and not any(value in possible for value in term.values)


def terms_but_dead(expression: Expression) -> Iterator[Expression]:
    """Return the terms of an expression, but for those that spell `dead` out."""
    hidden = set(map(id, _below_dead(expression)))
    return (term for term in terms(expression) if id(term) not in hidden)


def _below_dead(expression: Expression) -> Iterator[Expression]:
    if expression == DEAD:
        yield from terms(expression)
    elif hasattr(expression, "parts"):
        for part in expression.parts:
            yield from _below_dead(part)
    elif hasattr(expression, "part"):
        yield from _below_dead(expression.part)


def _who(names: Sequence[str]) -> tuple[str, str, str]:
    one = len(names) == 1
    return ", ".join(names), "has" if one else "have", "its" if one else "their"


def _listed(words: Iterable[str], last: str) -> str:
    *before, end = words
    return f"{', '.join(before)} {last} {end}" if before else end
