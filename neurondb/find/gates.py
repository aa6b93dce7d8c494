"""What only gated neurons have, and what to ask for instead where there are no gates."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from neurondb.find.case_columns import parse_case_column
from neurondb.find.condition_columns import parse_condition_column
from neurondb.find.keywords import DEAD
from neurondb.find.percentiles import get_base_column
from neurondb.find.terms import (
    Between,
    Compare,
    Expression,
    HasPeak,
    HasToken,
    OneOf,
    iterate_terms,
)
from neurondb.interventions import Condition
from neurondb.reading.models import Model
from neurondb.schema.codes import PEAK_PLACES, SIGN_CASES, TOKEN_LISTS
from neurondb.schema.views import CASE_COLUMNS

NEAREST_UNGATED_COLUMN: Final = {
    "gate_in": "in_out",
    "gate_out": "in_out",
    "freq": "post_positive",
    **dict.fromkeys(CASE_COLUMNS.values(), "post_positive"),
    "gate_norm": "in_norm",
    "jaccard": "in.token",
    "nearest_gate": "nearest_in",
    "opposite_gate": "opposite_in",
}
"""Columns that are NULL for neurons without a gate → their column that comes nearest to it."""
UNGATED_CLASSES: Final = ("strengthening", "weakening", "orthogonal output")
_GATE_LISTS: Final = frozenset(code for code, vector, *_ in TOKEN_LISTS if vector == "gate")
GATED_VALUES: Final = frozenset(
    ("gate", "gate_in", "gate_out", *CASE_COLUMNS, "hook_pre_linear", "swish")
)
"""Values of parameters of named queries for which neurons without a gate have no rows."""
UNGATED_VALUES: Final = frozenset(("in+", "in-"))
"""Values of such parameters for which neurons with a gate have no rows."""


def explain_missing_gates(
    terms: Sequence[Expression], models: Sequence[Model], values: Iterable[str] = ()
) -> Iterator[str]:
    """Yield a line for each kind of term that no neuron fits for want of a gate, or for having one.

    Where models of both kinds are covered no line is yielded: the question means those that have
    what it asks for.

    Args:
        terms: The terms of a question, but for those of `dead`, which any neuron may fit.
        models: The models that the question covers.
        values: The values that a named query was given.
    """
    ungated = [model.name for model in models if not model.gated]
    gated = [model.name for model in models if model.gated]
    distinct = dict.fromkeys((*values, *_list_cases(terms)))
    if ungated and not gated:
        yield from _explain_ungated(
            ungated, terms, [value for value in distinct if value in GATED_VALUES]
        )
    cases = [value for value in distinct if value in UNGATED_VALUES]
    if gated and cases and not ungated:
        names, verb, _ = _describe_models(gated)
        yield f"{names} {verb} gates: {', '.join(cases)} are sign cases of neurons without one"


def _list_cases(terms: Iterable[Expression]) -> Iterator[str]:
    """Yield the sign cases that terms name: of peak tokens, but for those of all; of columns."""
    for term in terms:
        if isinstance(term, HasPeak) and len(term.lists) < len(SIGN_CASES):
            yield from (SIGN_CASES[code // len(PEAK_PLACES)] for code in term.lists)
        elif isinstance(term, Compare | Between | OneOf):
            case = parse_case_column(get_base_column(term.column))
            yield from () if case is None else (case.case,)


def explain_no_gates(models: Sequence[Model]) -> Iterator[str]:
    """Yield a line that says that no model has gates, where a question is about them."""
    if not any(model.gated for model in models):
        subject, verb, _ = _describe_models([model.name for model in models])
        yield f"{subject} {verb} no gates, which the question is about"


def _explain_ungated(
    names: Sequence[str], terms: Sequence[Expression], values: Sequence[str]
) -> Iterator[str]:
    """Yield a line for everything a question asks for that models without gates do not have."""
    subject, verb, possessive = _describe_models(names)
    columns = [column for column in map(_get_gated_column, terms) if column is not None]
    gated_columns = dict.fromkeys(columns)
    if any(isinstance(term, HasToken) and _needs_gate(term) for term in terms):
        gated_columns["tokens of gate"] = None
    nearest = dict.fromkeys(_find_nearest_column(name) for name in gated_columns)
    if gated_columns:
        yield (
            f"{subject} {verb} no gates: {possessive} neurons have no "
            f"{_join_words(gated_columns, 'or')}; "
            f"ask for {_join_words(nearest, 'or')} instead"
        )
    if values:
        values_text = _join_words(values, "or")
        yield f"{subject} {verb} no gates: there is no {values_text} of {possessive} neurons"
    if any(isinstance(term, OneOf) and _names_gated_class(term) for term in terms):
        classes = _join_words(UNGATED_CLASSES, "or")
        yield f"{subject} {verb} no gates: {possessive} neurons are {classes}"


def _get_gated_column(term: Expression) -> str | None:
    """Return the column that a term is on where only neurons with a gate have it."""
    if not isinstance(term, Compare | Between | OneOf):
        return None
    column = get_base_column(term.column)
    effect = parse_condition_column(column)
    needs_gate = column in NEAREST_UNGATED_COLUMN or (effect and effect.condition.gate)
    return column if needs_gate else None


def _find_nearest_column(column: str) -> str:
    """Return the column of neurons without a gate that comes nearest to one of a gate."""
    effect = parse_condition_column(column)
    if effect is None:
        return NEAREST_UNGATED_COLUMN.get(column, "in.token")
    post = effect.condition.post
    nearest = f"[{Condition(0, post)}]" if post else ""
    return f"{effect.name}{nearest}.{effect.metric}"


def _needs_gate(term: HasToken) -> bool:
    return bool(term.lists) and set(term.lists) <= _GATE_LISTS


def _names_gated_class(term: OneOf) -> bool:
    possible = (*UNGATED_CLASSES, "undefined")
    return term.column == "class" and not any(value in possible for value in term.values)


def iterate_terms_but_dead(expression: Expression) -> Iterator[Expression]:
    """Yield the terms of an expression, but for those that `dead` stands for."""
    hidden = set(map(id, _iterate_dead_terms(expression)))
    return (term for term in iterate_terms(expression) if id(term) not in hidden)


def _iterate_dead_terms(expression: Expression) -> Iterator[Expression]:
    if expression == DEAD:
        yield from iterate_terms(expression)
    elif hasattr(expression, "parts"):
        for part in expression.parts:
            yield from _iterate_dead_terms(part)
    elif hasattr(expression, "part"):
        yield from _iterate_dead_terms(expression.part)


def _describe_models(names: Sequence[str]) -> tuple[str, str, str]:
    """Return the names of models, and the verb and pronoun that go with them."""
    single = len(names) == 1
    return ", ".join(names), "has" if single else "have", "its" if single else "their"


def _join_words(words: Iterable[str], last: str) -> str:
    """Return `a, b or c`, where `last` is the word before the last one."""
    *others, end = words
    return f"{', '.join(others)} {last} {end}" if others else end
