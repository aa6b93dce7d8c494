"""Attention heads in find expressions: the neurons that deactivate or activate one (METHODS §7).

`deactivates>=4` counts standard deviations of random directions at the head; universal-neurons §5.3
has no threshold of its own, and raw scores depend on the size of each head's queries and keys.
"""

import re
from collections.abc import Callable, Sequence
from typing import Final

from neurondb.errors import ExpressionError
from neurondb.find.lexer import Lexeme
from neurondb.find.terms import Expression, MovesHead
from neurondb.find.values import join_or, negate_if_unequal, read_number
from neurondb.reading.heads import STRONG
from neurondb.sql.running import Value

HEAD_KEYS: Final = {"deactivates": 1, "activates": -1}
"""Key → the sign of the scores that it means."""
_HEAD: Final = re.compile(r"(\d{1,6})\.(\d{1,6})")
_BY_HEAD: Final = """
    SELECT h.neuron_id
    FROM neuron_head_rows h
    WHERE {fits}"""


def is_head_key(word: str) -> bool:
    """Tell whether a word is a key of this module."""
    return word.lower() in HEAD_KEYS


def read_head_comparison(key: Lexeme, operator: str, items: Sequence[Lexeme]) -> Expression:
    """Return the meaning of `deactivates>=4`, or of `deactivates=5.0`, which names a head.

    Raises:
        ExpressionError: when the operator or what follows does not suit.
    """
    sign = HEAD_KEYS[key.value.lower()]
    if operator in ("=", "!="):
        heads = [MovesHead(sign, ">=", STRONG, _read_head(key, item)) for item in items]
        return negate_if_unequal(operator, join_or(heads))
    value = read_number(key.value, items[0])
    if operator not in (">", ">=") or len(items) > 1 or value < 0:
        raise ExpressionError(
            f"{key.value} {key.where} takes > or >= and a number from 0, standard deviations of "
            f"random directions, as {key.value}>=4; or = and a head, as {key.value}=5.0"
        )
    return MovesHead(sign, operator, value)


def _read_head(key: Lexeme, item: Lexeme) -> tuple[int, int]:
    match = _HEAD.fullmatch(item.value)
    if match is None:
        raise ExpressionError(
            f"{item.quoted} {item.where} is no head: write LAYER.HEAD, as {key.value}=5.0; for a "
            f"number write {key.value}>=4"
        )
    return int(match[1]), int(match[2])


def select_head_neurons(term: MovesHead, bind: Callable[[Value], str]) -> str:
    """Return the SELECT of the neurons that move a head as a term says."""
    if term.sign > 0:
        fits = f"h.standardised {term.operator} {bind(term.value)}"
    else:
        fits = f"h.standardised {term.operator.replace('>', '<')} {bind(-term.value)}"
    if term.head is not None:
        layer, head = term.head
        fits += f" AND h.head_layer = {bind(layer)} AND h.head = {bind(head)}"
    return _BY_HEAD.format(fits=fits)
