"""Read the right-hand side of a comparison: numbers, ranges, lists, names, tokens."""

import math
import re
from collections.abc import Callable, Sequence
from typing import Any, Final

from neurondb.asking.lexing import TEXT, Lexeme
from neurondb.asking.spelling import did_you_mean, shown
from neurondb.asking.terms import (
    And,
    Between,
    Compare,
    Expression,
    HasToken,
    Missing,
    Not,
    OnDataset,
    OneOf,
    Or,
    Place,
    Places,
)
from neurondb.asking.vocabulary import (
    CLASS_WORDS,
    DATASET,
    PLACES,
    ROLE_WORDS,
    SHARES,
    matching,
    split_words,
)
from neurondb.errors import ExpressionError
from neurondb.neurons import match_neuron, match_number

NULL: Final = "null"
_NUMBER = r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?%?"
_RANGE = re.compile(rf"(?P<low>{_NUMBER})?\.\.(?P<high>{_NUMBER})?")
_LIKE_A_PLACE = re.compile(r"(?=.*\d)[\W\d_]+")


def number(column: str, lexeme: Lexeme) -> float:
    """Return the number a lexeme spells; `60%` is 0.6.

    Raises:
        ExpressionError: when it is none, or none that the column could ever have.
    """
    return _number(column, lexeme.value, lexeme)


def _number(column: str, spelled: str, lexeme: Lexeme) -> float:
    value = _plain_number(spelled, lexeme)
    name = column.strip("|")
    if name in PLACES and (value < 0 or value != int(value)):
        raise ExpressionError(
            f"{name} is a whole number from 0, not {shown(spelled)} {lexeme.where}"
        )
    if name in SHARES and not 0 <= value <= 1:
        hint = f"; did you mean {spelled}%?" if 1 < value <= 100 else ""
        said = f"{name} is a share between 0 and 1, not {shown(spelled)} {lexeme.where}{hint}"
        raise ExpressionError(said)
    return value


def _plain_number(spelled: str, lexeme: Lexeme) -> float:
    plain = spelled.replace("−", "-")
    if not re.fullmatch(_NUMBER, plain):
        raise ExpressionError(f"{lexeme.shown} {lexeme.where} is not a number")
    value = float(plain[:-1]) / 100 if plain.endswith("%") else float(plain)
    if not math.isfinite(value):
        raise ExpressionError(f"{lexeme.shown} {lexeme.where} is too large")
    return int(value) if value.is_integer() and abs(value) <= 2**53 else value


def one_number(column: str, lexeme: Lexeme) -> Expression:
    """Read an item of `column=…`: a number, a range `0.2..0.6`, or null."""
    spelled = lexeme.value.replace("−", "-")
    if spelled.lower() == NULL:
        return Missing(column)
    found = _RANGE.fullmatch(spelled)
    if found is None:
        return OneOf(column, (number(column, lexeme),))
    low, high = (None if end is None else _number(column, end, lexeme) for end in found.group(1, 2))
    if low is not None and high is not None:
        if low > high:
            raise ExpressionError(
                f"{lexeme.shown} {lexeme.where} is turned round; "
                f"write {found['high']}..{found['low']}"
            )
        return Between(column, low, high)
    if low is not None:
        return Compare(column, ">=", low)
    if high is not None:
        return Compare(column, "<=", high)
    raise ExpressionError(f"'..' {lexeme.where} needs a number before or after it")


def class_called(column: str, lexeme: Lexeme) -> Expression:
    """Read a class, a group of classes, or null."""
    if lexeme.value.lower() == NULL:
        return Missing(column)
    return called(split_words(lexeme.value), CLASS_WORDS, lexeme, "class")


def role_called(_column: str, lexeme: Lexeme) -> Expression:
    """Read a role."""
    return called(split_words(lexeme.value), ROLE_WORDS, lexeme, "role")


def called(
    words: Sequence[str], known: dict[str, Expression], lexeme: Lexeme, what: str
) -> Expression:
    """Return the meaning of a word or its abbreviation.

    Raises:
        ExpressionError: when it is unknown, or could be several.
    """
    entries = matching(words, known)
    if len(entries) == 1:
        return known[entries[0]]
    hyphened = [entry.replace(" ", "-") for entry in entries or known]
    if entries:
        raise ExpressionError(
            f"{lexeme.shown} {lexeme.where} could be {', '.join(hyphened)}; write more of it"
        )
    hint = did_you_mean("-".join(words), hyphened)
    raise ExpressionError(f"unknown {what} {lexeme.shown} {lexeme.where}{hint}")


def text_itself(column: str, lexeme: Lexeme) -> Expression:
    """Read a name or a token as it stands, or an unquoted null."""
    if lexeme.kind != TEXT and lexeme.value.lower() == NULL:
        return Missing(column)
    return OneOf(column, (lexeme.value,))


def place(_column: str, lexeme: Lexeme) -> Expression:
    """Read `31.9634`."""
    found = place_or_none(lexeme.value)
    if found is None:
        raise no_place(lexeme)
    return found


def no_place(lexeme: Lexeme) -> ExpressionError:
    """Return the error that says that something is no neuron."""
    return ExpressionError(
        f"{lexeme.shown} {lexeme.where} is not a neuron; write layer.neuron, as 31.9634"
    )


def like_a_place(spelled: str) -> bool:
    """Tell whether something is of digits and signs only, as a neuron is."""
    return _LIKE_A_PLACE.fullmatch(spelled) is not None


def place_or_none(spelled: str) -> Place | None:
    """Return the neuron that `31.9634` names."""
    found = match_neuron(spelled)
    return None if found is None else Place(*found)


def dataset_called(_column: str, lexeme: Lexeme) -> Expression:
    """Read the name of a dataset."""
    return OnDataset(lexeme.value)


Reader = Callable[[str, Lexeme], Expression]
"""Reads one item of `column=item,…`."""

READERS: Final[dict[str, Reader]] = {
    "model": text_itself,
    "class": class_called,
    "io_class": class_called,
    "role": role_called,
    "name": place,
    "top_out_token": text_itself,
    DATASET: dataset_called,
}
"""How the items of each column that is not a number are read."""


def token_item(lists: tuple[int, ...], lexeme: Lexeme, within: int | None) -> Expression:
    """Read a token: by its text, or by its id as `#1234`."""
    if lexeme.kind == TEXT or not lexeme.value.startswith("#"):
        return HasToken(lexeme.value, lists, within)
    spelled = lexeme.value[1:]
    token_id = match_number(spelled)
    if token_id is None:
        raise ExpressionError(f"{lexeme.shown} {lexeme.where} is not a token id, as #1234")
    return HasToken(token_id, lists, within)


def compared(
    column: str, operator: str, items: Sequence[Lexeme], reader: Reader | None
) -> Expression:
    """Return the meaning of `column operator items`; `reader` None for a number.

    Raises:
        ExpressionError: when an item or the operator does not suit the column.
    """
    if operator in ("=", "!="):
        parts = tuple((reader or one_number)(column, item) for item in items)
        return negated(operator, any_of(parts))
    if reader is not None:
        raise ExpressionError(
            f"{column} {items[0].where} takes = or !=, not {operator}: it is not a number"
        )
    if len(items) > 1:
        raise ExpressionError(f"a list {items[1].where} needs =, not {operator}")
    return Compare(column, operator, number(column, items[0]))


def negated(operator: str, expression: Expression) -> Expression:
    """Return the expression, or its negation under `!=`."""
    return Not(expression) if operator == "!=" else expression


def any_of(parts: Sequence[Expression]) -> Expression:
    """Return the parts joined by or; neurons, and values of one column, become one list each."""
    lists: dict[object, dict[Any, None]] = {}
    merged: dict[object, Expression] = {}
    for number, part in enumerate(parts):
        key: object = number
        match part:
            case Place() | Places():
                key = Place
                lists.setdefault(key, {}).update(dict.fromkeys(_places(part)))
            case OneOf(column, values):
                key = column
                lists.setdefault(key, {}).update(dict.fromkeys(values))
        merged.setdefault(key, part)
    joined = tuple(
        _one_list(part, tuple(lists[key])) if key in lists else part for key, part in merged.items()
    )
    return joined[0] if len(joined) == 1 else Or(joined)


def _one_list(first: Expression, items: tuple[Any, ...]) -> Expression:
    if isinstance(first, OneOf):
        return OneOf(first.column, items)
    return items[0] if len(items) == 1 else Places(items)


def _places(part: Expression) -> tuple[Place, ...]:
    match part:
        case Place():
            return (part,)
        case Places(places):
            return places
    return ()


def all_of(parts: Sequence[Expression]) -> Expression:
    """Return the parts joined by and."""
    return parts[0] if len(parts) == 1 else And(tuple(parts))
