"""Comparisons: their values (numbers, ranges, lists, names, tokens) become terms of the tree.

Comparisons with token properties are among them: `property.year<-1`, `suppresses.property=year`.
"""

import math
import re
from collections.abc import Callable, Sequence
from typing import Any, Final

from neurondb.errors import ExpressionError
from neurondb.find.columns import PLACE_COLUMNS, SHARE_COLUMNS
from neurondb.find.keywords import CLASS_WORDS, DATASET_KEY, ROLE_WORDS
from neurondb.find.lexer import TEXT, Lexeme
from neurondb.find.percentiles import get_ranked_key
from neurondb.find.terms import (
    And,
    Between,
    Compare,
    Expression,
    HasEffect,
    Missing,
    Not,
    OnDataset,
    OneOf,
    Or,
    Place,
    Places,
    iterate_terms,
)
from neurondb.name_matching import match_names, quote_word, split_words, suggest_names
from neurondb.neurons import match_neuron, match_number

NULL_WORD: Final = "null"
_NUMBER = r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?%?"
_RANGE = re.compile(rf"(?P<low>{_NUMBER})?\.\.(?P<high>{_NUMBER})?")
_LIKE_A_PLACE = re.compile(r"(?=.*\d)[\W\d_]+")
WEAKEST_EFFECT: Final = 0.5
"""Effects on properties that are weaker, in standard deviations, are not stored."""
_PROPERTY_PREFIX: Final = "property."
_EFFECT: Final = "effect"

PROPERTY_KEYS: Final[dict[str, Expression]] = {
    "property": Compare(f"|{_EFFECT}|", ">=", WEAKEST_EFFECT),
    "promotes.property": Compare(_EFFECT, ">=", WEAKEST_EFFECT),
    "suppresses.property": Compare(_EFFECT, "<=", -WEAKEST_EFFECT),
}
"""What may stand before the name of a property; besides, the name after `property.` is a number."""


def read_number(column: str, lexeme: Lexeme) -> float:
    """Return the number that a lexeme spells for a column; `60%` is 0.6.

    Raises:
        ExpressionError: when it is none, or none that the column could ever have.
    """
    return _check_number(column, lexeme.value, lexeme)


def _check_number(column: str, text: str, lexeme: Lexeme) -> float:
    value = _parse_number(text, lexeme)
    name = column.strip("|")
    is_share = name in SHARE_COLUMNS or get_ranked_key(name) is not None
    if name in PLACE_COLUMNS and (value < 0 or value != int(value)):
        raise ExpressionError(
            f"{name} is a whole number from 0, not {quote_word(text)} {lexeme.where}"
        )
    if is_share and not 0 <= value <= 1:
        hint = f"; did you mean {text}%?" if 1 < value <= 100 else ""
        message = f"{name} is a share between 0 and 1, not {quote_word(text)} {lexeme.where}{hint}"
        raise ExpressionError(message)
    return value


def _parse_number(text: str, lexeme: Lexeme) -> float:
    ascii_text = text.replace("−", "-")
    if not re.fullmatch(_NUMBER, ascii_text):
        raise ExpressionError(f"{lexeme.quoted} {lexeme.where} is not a number")
    value = float(ascii_text[:-1]) / 100 if ascii_text.endswith("%") else float(ascii_text)
    if not math.isfinite(value):
        raise ExpressionError(f"{lexeme.quoted} {lexeme.where} is too large")
    return int(value) if value.is_integer() and abs(value) <= 2**53 else value


def read_number_item(column: str, lexeme: Lexeme) -> Expression:
    """Read an item of `column=…`: a number, a range `0.2..0.6`, or null."""
    text = lexeme.value.replace("−", "-")
    if text.lower() == NULL_WORD:
        return Missing(column)
    match = _RANGE.fullmatch(text)
    if match is None:
        return OneOf(column, (read_number(column, lexeme),))
    low, high = (
        None if end is None else _check_number(column, end, lexeme) for end in match.group(1, 2)
    )
    if low is not None and high is not None:
        if low > high:
            raise ExpressionError(
                f"{lexeme.quoted} {lexeme.where} is turned round; "
                f"write {match['high']}..{match['low']}"
            )
        return Between(column, low, high)
    if low is not None:
        return Compare(column, ">=", low)
    if high is not None:
        return Compare(column, "<=", high)
    raise ExpressionError(f"'..' {lexeme.where} needs a number before or after it")


def read_class(column: str, lexeme: Lexeme) -> Expression:
    """Read a class, a group of classes, or null."""
    if lexeme.value.lower() == NULL_WORD:
        return Missing(column)
    return read_word(split_words(lexeme.value), CLASS_WORDS, lexeme, "class")


def read_role(_column: str, lexeme: Lexeme) -> Expression:
    """Read a role, or an abbreviation of one."""
    return read_word(split_words(lexeme.value), ROLE_WORDS, lexeme, "role")


def read_word(
    words: Sequence[str], meanings: dict[str, Expression], lexeme: Lexeme, kind: str
) -> Expression:
    """Return the meaning of words that are, or abbreviate, one of those known.

    Raises:
        ExpressionError: when it is unknown, or could be several.
    """
    entries = match_names(words, meanings)
    if len(entries) == 1:
        return meanings[entries[0]]
    hyphened = [entry.replace(" ", "-") for entry in entries or meanings]
    if entries:
        raise ExpressionError(
            f"{lexeme.quoted} {lexeme.where} could be {', '.join(hyphened)}; write more of it"
        )
    hint = suggest_names("-".join(words), hyphened)
    raise ExpressionError(f"unknown {kind} {lexeme.quoted} {lexeme.where}{hint}")


def read_text(column: str, lexeme: Lexeme) -> Expression:
    """Read a name or a token as it stands, or an unquoted null."""
    if lexeme.kind != TEXT and lexeme.value.lower() == NULL_WORD:
        return Missing(column)
    return OneOf(column, (lexeme.value,))


def read_place(_column: str, lexeme: Lexeme) -> Expression:
    """Read a neuron, as `31.9634`.

    Raises:
        ExpressionError: when it is not written so.
    """
    neuron = parse_place(lexeme.value)
    if neuron is None:
        raise make_place_error(lexeme)
    return neuron


def make_place_error(lexeme: Lexeme) -> ExpressionError:
    """Return the error that says that a lexeme is not a neuron."""
    return ExpressionError(
        f"{lexeme.quoted} {lexeme.where} is not a neuron; write layer.neuron, as 31.9634"
    )


def looks_like_place(text: str) -> bool:
    """Tell whether a word consists of digits and signs only, as a neuron does."""
    return _LIKE_A_PLACE.fullmatch(text) is not None


def parse_place(text: str) -> Place | None:
    """Return the neuron that a word like `31.9634` names; None for other words."""
    place = match_neuron(text)
    return None if place is None else Place(*place)


def read_dataset(_column: str, lexeme: Lexeme) -> Expression:
    """Read the name of a dataset."""
    return OnDataset(lexeme.value)


Reader = Callable[[str, Lexeme], Expression]
"""Reads one item of `column=item,…`."""

READERS: Final[dict[str, Reader]] = {
    "model": read_text,
    "class": read_class,
    "io_class": read_class,
    "role": read_role,
    "name": read_place,
    "top_out_token": read_text,
    DATASET_KEY: read_dataset,
}
"""How the items of each column that is not a number are read."""


def read_token(make: Callable[[str | int], Expression], lexeme: Lexeme) -> Expression:
    """Read a token, by its text or by its id as `#1234`; `make` makes the term on it."""
    if lexeme.kind == TEXT or not lexeme.value.startswith("#"):
        return make(lexeme.value)
    token_id = match_number(lexeme.value[1:])
    if token_id is None:
        raise ExpressionError(f"{lexeme.quoted} {lexeme.where} is not a token id, as #1234")
    return make(token_id)


def read_comparison(
    column: str, operator: str, items: Sequence[Lexeme], reader: Reader | None
) -> Expression:
    """Return the meaning of `column operator items`; `reader` None for a number.

    Raises:
        ExpressionError: when an item or the operator does not suit the column.
    """
    if operator in ("=", "!="):
        parts = tuple((reader or read_number_item)(column, item) for item in items)
        return negate_if_unequal(operator, join_or(parts))
    if reader is not None:
        raise ExpressionError(
            f"{column} {items[0].where} takes = or !=, not {operator}: it is not a number"
        )
    if len(items) > 1:
        raise ExpressionError(f"a list {items[1].where} needs =, not {operator}")
    return Compare(column, operator, read_number(column, items[0]))


def negate_if_unequal(operator: str, expression: Expression) -> Expression:
    """Return the expression, or its negation under `!=`."""
    return Not(expression) if operator == "!=" else expression


def join_or(parts: Sequence[Expression]) -> Expression:
    """Return the parts joined by `or`; neurons, and values of one column, become one list each."""
    lists: dict[object, dict[Any, None]] = {}
    merged: dict[object, Expression] = {}
    for number, part in enumerate(parts):
        key: object = number
        match part:
            case Place() | Places():
                key = Place
                lists.setdefault(key, {}).update(dict.fromkeys(_list_places(part)))
            case OneOf(column, values):
                key = column
                lists.setdefault(key, {}).update(dict.fromkeys(values))
        merged.setdefault(key, part)
    joined = tuple(
        _make_list(part, tuple(lists[key])) if key in lists else part
        for key, part in merged.items()
    )
    return joined[0] if len(joined) == 1 else Or(joined)


def _make_list(first: Expression, items: tuple[Any, ...]) -> Expression:
    if isinstance(first, OneOf):
        return OneOf(first.column, items)
    return items[0] if len(items) == 1 else Places(items)


def _list_places(part: Expression) -> tuple[Place, ...]:
    match part:
        case Place():
            return (part,)
        case Places(places):
            return places
    return ()


def join_and(parts: Sequence[Expression]) -> Expression:
    """Return the parts joined by `and`; a single part stays as it is."""
    return parts[0] if len(parts) == 1 else And(tuple(parts))


def is_property_key(text: str) -> bool:
    """Tell whether a key, or a word without a comparison, is about a property of tokens."""
    return text in PROPERTY_KEYS or text.strip("|").startswith(_PROPERTY_PREFIX)


def read_property_comparison(key: Lexeme, operator: str, items: Sequence[Lexeme]) -> Expression:
    """Return the meaning of a comparison whose key `is_property_key`.

    Raises:
        ExpressionError: when the operator does not suit, or the number is one that effects too weak
            to be stored would fit.
    """
    strength = PROPERTY_KEYS.get(key.value.lower())
    if strength is None:
        return _read_effect_comparison(key, operator, items)
    if operator not in ("=", "!="):
        raise ExpressionError(
            f"{key.value} {key.where} takes = or !=, not {operator}; "
            "for a number write property.NAME, as property.year<-1"
        )
    return negate_if_unequal(operator, join_or([HasEffect(item.value, strength) for item in items]))


def _read_effect_comparison(key: Lexeme, operator: str, items: Sequence[Lexeme]) -> Expression:
    bars = "|" if key.value.startswith("|") else ""
    name = key.value.strip("|")[len(_PROPERTY_PREFIX) :]
    if not name:
        raise ExpressionError(f"{key.quoted} {key.where} lacks a name, as in property.year<-1")
    column = f"{bars}{_EFFECT}{bars}"
    strength = read_comparison(column, "=" if operator == "!=" else operator, items, None)
    if not all(map(_is_stored, iterate_terms(strength))):
        raise ExpressionError(
            f"{key.value} {key.where}: effects weaker than {WEAKEST_EFFECT:g} are not stored; "
            f"ask for {WEAKEST_EFFECT:g} or more, -{WEAKEST_EFFECT:g} or less, "
            "or for `not` such a term"
        )
    return negate_if_unequal(operator, HasEffect(name, strength))


def _is_stored(term: Expression) -> bool:
    """Tell whether every effect that fits a term is strong enough to be stored."""
    match term:
        case Compare(_, (">" | ">="), value):
            return value >= WEAKEST_EFFECT
        case Compare(column, _, value):
            return value <= -WEAKEST_EFFECT and not column.startswith("|")
        case Between(_, low, high):
            return low >= WEAKEST_EFFECT or high <= -WEAKEST_EFFECT
        case OneOf(_, values):
            return all(isinstance(value, str) or abs(value) >= WEAKEST_EFFECT for value in values)
        case Missing(_):
            return False
    return True
