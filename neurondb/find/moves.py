"""Neurons that moved between two compared models, or over a series, as find asks for them.

`moved>0.2` holds for a neuron if it moved so far in any stored comparison of its model,
`moved.NAME>0.2` in the one with the model NAME; a series is such comparisons (`compare A B C`).
"""

import shlex
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from sqlalchemy import Connection, or_, select

from neurondb.errors import ExpressionError
from neurondb.find.lexer import Lexeme
from neurondb.find.terms import Expression, HasMoved
from neurondb.find.values import negate_if_unequal, read_comparison
from neurondb.reading.models import Model
from neurondb.schema import tables
from neurondb.sql.running import Value

MOVED_KEY: Final = "moved"
"""What stands before a number, after it and a dot the model that a neuron was compared with."""

_BY_MOVE: Final = """
    SELECT m.first_neuron_id + r.layer * m.d_mlp + r.neuron
    FROM comparisons c
    JOIN models m ON m.model_id IN (c.model_a, c.model_b)
    JOIN models o ON o.model_id IN (c.model_a, c.model_b) AND o.model_id <> m.model_id{other}
    JOIN comparison_neurons r ON r.comparison_id = c.comparison_id
    WHERE {strength}"""


def is_moved_key(text: str) -> bool:
    """Tell whether a key is about how far a neuron moved."""
    return text.lower() == MOVED_KEY or text.lower().startswith(f"{MOVED_KEY}.")


def read_moved_comparison(key: Lexeme, operator: str, items: Sequence[Lexeme]) -> Expression:
    """Return the meaning of a comparison whose key `is_moved_key`.

    Raises:
        ExpressionError: when a value is no number, or no model follows the dot.
    """
    _, dot, other = key.value.partition(".")
    if dot and not other:
        raise ExpressionError(f"{key.quoted} {key.where} lacks a model, as in moved.MODEL>0.2")
    strength = read_comparison(MOVED_KEY, "=" if operator == "!=" else operator, items, None)
    return negate_if_unequal(operator, HasMoved(strength, other or None))


def select_moved_neurons(term: HasMoved, strength: str, bind: Callable[[Value], str]) -> str:
    """Return the SELECT of the neurons that moved so far; `strength` is the condition on it."""
    other = "" if term.other is None else f" AND o.name = {bind(term.other)}"
    return _BY_MOVE.format(other=other, strength=strength)


def explain_missing_moves(
    connection: Connection, terms: Sequence[Expression], models: Sequence[Model]
) -> Iterator[str]:
    """Yield a line for each model that was not compared with the one that a term names."""
    c, o = tables.comparisons.c, tables.models.c
    for term in (term for term in terms if isinstance(term, HasMoved)):
        for model in models:
            if model.name == term.other:
                continue
            with_model = select(c.comparison_id).where(
                or_(c.model_a == model.model_id, c.model_b == model.model_id)
            )
            if term.other is not None:
                named = select(o.model_id).where(o.name == term.other).scalar_subquery()
                with_model = with_model.where(or_(c.model_a == named, c.model_b == named))
            if connection.execute(with_model.limit(1)).first() is None:
                names = f"{shlex.quote(model.name)} {shlex.quote(term.other or 'OTHER')}"
                what = "another model" if term.other is None else term.other
                yield f"{model.name} was not compared with {what}: run `neurondb compare {names}`"


def explain_missing_series(connection: Connection, series: Value | None) -> list[str]:
    """Return a line where no series of this number is stored; None is any series."""
    s = tables.series.c.series_id
    rows = select(s) if series is None else select(s).where(s == series)
    if connection.execute(rows.limit(1)).first() is not None:
        return []
    number = "" if series is None else f" {series}"
    return [f"no series{number} of models is stored: run `neurondb compare A B C`"]
