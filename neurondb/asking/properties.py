"""Terms on properties of tokens: `property.year<-1`, `suppresses.property=year`."""

from collections.abc import Sequence
from typing import Final

from neurondb.asking.lexing import Lexeme
from neurondb.asking.terms import Between, Compare, Expression, HasEffect, Missing, OneOf
from neurondb.asking.tree import terms
from neurondb.asking.values import any_of, compared, negated
from neurondb.errors import ExpressionError

WEAKEST: Final = 0.5
"""Effects below it, in standard deviations, are not stored (`vocabulary.property_effects`)."""
PREFIX: Final = "property."
EFFECT: Final = "effect"

PROPERTY_KEYS: Final[dict[str, Expression]] = {
    "property": Compare(f"|{EFFECT}|", ">=", WEAKEST),
    "promotes.property": Compare(EFFECT, ">=", WEAKEST),
    "suppresses.property": Compare(EFFECT, "<=", -WEAKEST),
}
"""What may stand before the name of a property; besides, the name after `property.` is a number."""


def is_property_key(spelled: str) -> bool:
    """Tell whether a key, or a word without a comparison, is about a property of tokens."""
    return spelled in PROPERTY_KEYS or spelled.strip("|").startswith(PREFIX)


def property_term(key: Lexeme, operator: str, items: Sequence[Lexeme]) -> Expression:
    """Return the meaning of a comparison whose key `is_property_key`.

    Raises:
        ExpressionError: when the operator does not suit, or the number is one that effects too weak
            to be stored would fit.
    """
    strength = PROPERTY_KEYS.get(key.value.lower())
    if strength is None:
        return _compared(key, operator, items)
    if operator not in ("=", "!="):
        raise ExpressionError(
            f"{key.value} {key.where} takes = or !=, not {operator}; "
            "for a number write property.NAME, as property.year<-1"
        )
    return negated(operator, any_of([HasEffect(item.value, strength) for item in items]))


def _compared(key: Lexeme, operator: str, items: Sequence[Lexeme]) -> Expression:
    bars = "|" if key.value.startswith("|") else ""
    name = key.value.strip("|")[len(PREFIX) :]
    if not name:
        raise ExpressionError(f"{key.shown} {key.where} lacks a name, as in property.year<-1")
    column = f"{bars}{EFFECT}{bars}"
    strength = compared(column, "=" if operator == "!=" else operator, items, None)
    if not all(map(_is_strong, terms(strength))):
        raise ExpressionError(
            f"{key.value} {key.where}: effects weaker than {WEAKEST:g} are not stored; ask for "
            f"{WEAKEST:g} or more, -{WEAKEST:g} or less, or for `not` such a term"
        )
    return negated(operator, HasEffect(name, strength))


def _is_strong(term: Expression) -> bool:
    """Tell whether no effect too weak to be stored fits a term."""
    match term:
        case Compare(_, (">" | ">="), value):
            return value >= WEAKEST
        case Compare(column, _, value):
            return value <= -WEAKEST and not column.startswith("|")
        case Between(_, low, high):
            return low >= WEAKEST or high <= -WEAKEST
        case OneOf(_, values):
            return all(isinstance(value, str) or abs(value) >= WEAKEST for value in values)
        case Missing(_):
            return False
    return True
