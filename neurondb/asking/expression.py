"""Read the `find` language: `weakening freq>0.6 layer>=20 token=' dog'`. docs/find.md has it all.

expression  := conjunction ("or" conjunction)*
conjunction := negation (["and"] negation)*
negation    := "not" negation | "(" expression ")" | term
term        := key operator item ("," item)* ["@" rank] | item ("," item)*
key         := column | "|" column "|" | lists of tokens | "property." name | …
"""

import functools
from typing import Final

from neurondb.asking.lexing import END, OPERATOR, TEXT, WORD, Lexeme, lexemes
from neurondb.asking.properties import PROPERTY_KEYS, is_property_key, property_term
from neurondb.asking.spelling import did_you_mean, shown
from neurondb.asking.terms import And, Expression, Not
from neurondb.asking.tree import require_one_dataset
from neurondb.asking.values import (
    READERS,
    all_of,
    any_of,
    called,
    compared,
    like_a_place,
    negated,
    no_place,
    place_or_none,
    token_item,
)
from neurondb.asking.vocabulary import (
    ALIASES,
    BARE_WORDS,
    DATASET,
    NUMBERS,
    QUALIFIERS,
    TOKEN_KEYS,
    WORDS,
    matching,
    number_column,
    split_words,
    token_lists,
)
from neurondb.errors import ExpressionError

DEEPEST: Final = 100
"""Nesting beyond which an expression is refused rather than overflow a stack."""
CONNECTIVES: Final = ("and", "or", "not")
LONGEST_NAME: Final = max(len(entry.split()) for entry in BARE_WORDS)


def parse(text: str) -> Expression:
    """Return the meaning of an expression; the empty one holds for every neuron.

    Names of models and tokens are not looked up here, see `neurondb.asking.names`.

    Raises:
        ExpressionError: says which word, where, and what may have been meant.
    """
    parser = _Parser(lexemes(text))
    if parser.next.kind == END:
        return And(())
    expression = parser.expression(0)
    if parser.next.kind != END:
        raise ExpressionError(f"unexpected {parser.next.shown} {parser.next.where}")
    require_one_dataset(expression)
    return expression


class _Parser:
    """Descends by the grammar above; `next` is the first lexeme not read yet."""

    def __init__(self, read: list[Lexeme]) -> None:
        self._lexemes = read
        self._place = 0

    @property
    def next(self) -> Lexeme:
        return self._lexemes[self._place]

    def _ahead(self, by: int) -> Lexeme:
        return self._lexemes[min(self._place + by, len(self._lexemes) - 1)]

    def _take(self) -> Lexeme:
        taken = self.next
        self._place = min(self._place + 1, len(self._lexemes) - 1)
        return taken

    def _is_word(self, *words: str) -> bool:
        return self.next.kind == WORD and self.next.value.lower() in words

    def expression(self, depth: int) -> Expression:
        parts = [self._conjunction(depth)]
        while self._is_word("or"):
            self._take()
            parts.append(self._conjunction(depth))
        return any_of(parts)

    def _conjunction(self, depth: int) -> Expression:
        parts = [self._negation(depth)]
        while self.next.kind not in (END, ")") and not self._is_word("or"):
            if self._is_word("and"):
                self._take()
            parts.append(self._negation(depth))
        return all_of(parts)

    def _negation(self, depth: int) -> Expression:
        if depth > DEEPEST:
            raise ExpressionError(f"nested deeper than {DEEPEST} levels {self.next.where}")
        if self._is_word("not"):
            self._take()
            inner = self._negation(depth + 1)
            return inner.part if isinstance(inner, Not) else Not(inner)
        if self.next.kind != "(":
            return self._term()
        opened = self._take()
        inner = self.expression(depth + 1)
        if self.next.kind != ")":
            raise ExpressionError(f"the parenthesis {opened.where} is not closed")
        self._take()
        return inner

    def _term(self) -> Expression:
        if self.next.kind not in (WORD, TEXT) or self._is_word(*CONNECTIVES):
            found = "nothing" if self.next.kind == END else self.next.shown
            raise ExpressionError(f"expected a condition {self.next.where}, found {found}")
        if self._ahead(1).kind == OPERATOR:
            return self._comparison()
        parts = [self._name()]
        while self.next.kind == ",":
            self._take()
            parts.append(self._name())
        return any_of(parts)

    def _comparison(self) -> Expression:
        key, operator = self._take(), self._take().value
        items = [self._item()]
        while self.next.kind == ",":
            self._take()
            items.append(self._item())
        column = number_column(key.value)
        if column is not None:
            return compared(column, operator, items, None)
        word = key.value.lower().replace("-", "_")
        if word in READERS:
            return compared(word, operator, items, READERS[word])
        if is_property_key(key.value.lower()):
            return property_term(key, operator, items)
        return self._token_term(key, operator, items)

    def _item(self) -> Lexeme:
        if self.next.kind not in (WORD, TEXT):
            found = "nothing" if self.next.kind == END else self.next.shown
            raise ExpressionError(f"expected a value {self.next.where}, found {found}")
        return self._take()

    def _token_term(self, key: Lexeme, operator: str, items: list[Lexeme]) -> Expression:
        lists = _lists_of(key)
        if operator not in ("=", "!="):
            raise ExpressionError(f"{key.value} {key.where} takes = or !=, not {operator}")
        items, within = self._ranked(items) if lists else (items, None)
        return negated(operator, any_of([token_item(lists, item, within) for item in items]))

    def _ranked(self, items: list[Lexeme]) -> tuple[list[Lexeme], int | None]:
        """Return the items and the ranks after them: a word by itself, or the end of an id."""
        last = items[-1]
        token_id, at, _ = last.value.partition("@")
        if last.kind == WORD and token_id.startswith("#") and at:
            rank = last._replace(value=last.value[len(token_id) :])
            return [*items[:-1], last._replace(value=token_id)], _rank(rank)
        if self.next.kind == WORD and self.next.value.startswith("@"):
            return items, _rank(self._take())
        return items, None

    def _name(self) -> Expression:
        if self.next.kind not in (WORD, TEXT):
            raise ExpressionError(f"expected a name {self.next.where}")
        found = place_or_none(self.next.value)
        if found is not None:
            self._take()
            return found
        for length in range(LONGEST_NAME, 1, -1):
            words = self._words_ahead(length)
            if words is not None and matching(words, BARE_WORDS):
                first = self._lexemes[self._place]._replace(value=" ".join(words))
                self._place += length
                return called(words, BARE_WORDS, first, "word")
        return self._one_word()

    def _words_ahead(self, length: int) -> list[str] | None:
        """Return the next `length` plain words when they could be one name."""
        ahead = [self._ahead(i) for i in range(length)]
        if any(lexeme.kind != WORD for lexeme in ahead) or self._ahead(length).kind == OPERATOR:
            return None
        return [lexeme.value.lower() for lexeme in ahead]

    def _one_word(self) -> Expression:
        lexeme = self._take()
        words = split_words(lexeme.value)
        if matching(words, BARE_WORDS):
            return called(words, BARE_WORDS, lexeme, "word")
        if _is_key(lexeme.value):
            raise ExpressionError(f"{lexeme.value} {lexeme.where} needs a comparison")
        if like_a_place(lexeme.value):
            raise no_place(lexeme)
        known = {*(entry.replace(" ", "-") for entry in BARE_WORDS), *CONNECTIVES, *all_keys()}
        hint = did_you_mean(lexeme.value, known)
        raise ExpressionError(f"unknown word {lexeme.shown} {lexeme.where}{hint}")


def _rank(lexeme: Lexeme) -> int:
    spelled = lexeme.value[1:]
    if not spelled.isascii() or not spelled.isdigit() or not spelled.strip("0"):
        raise ExpressionError(
            f"{lexeme.shown} {lexeme.where} is not a number of places from 1, as @5"
        )
    return int(spelled) if len(spelled) < 10 else 2**31


def _is_key(word: str) -> bool:
    spelled = word.lower().replace("-", "_")
    return number_column(word) is not None or spelled in all_keys() or is_property_key(spelled)


@functools.cache
def all_keys() -> frozenset[str]:
    """Return everything that can stand before an operator, qualified tokens aside."""
    tokens = (*TOKEN_KEYS, *(f"{qualifier}.token" for qualifier in QUALIFIERS))
    return frozenset((*NUMBERS, *WORDS, *ALIASES, DATASET, *tokens, *PROPERTY_KEYS))


def _lists_of(key: Lexeme) -> tuple[int, ...]:
    """Return the token lists a key like `out.bottom.token` means; none for the LM head's."""
    spelled = key.value.lower().replace("-", "_")
    *qualifiers, last = TOKEN_KEYS.get(spelled, spelled).split(".")
    if last != "token":
        hint = did_you_mean(spelled, all_keys())
        raise ExpressionError(f"unknown key {key.shown} {key.where}{hint}")
    if "lm_head" in qualifiers:
        if len(qualifiers) > 1:
            raise ExpressionError(
                f"{key.shown} {key.where}: lm-head has one list only; write lm-head.token"
            )
        return ()
    for qualifier in qualifiers:
        if qualifier not in QUALIFIERS:
            hint = did_you_mean(qualifier, (*QUALIFIERS, "lm-head"))
            raise ExpressionError(f"unknown qualifier {shown(qualifier)} {key.where}{hint}")
    return token_lists(qualifiers)
