"""The grammar of the find language: `weakening freq>0.6 layer>=20 token=' dog'`.

expression  := conjunction ("or" conjunction)*
conjunction := negation (["and"] negation)*
negation    := "not" negation | "(" expression ")" | term
term        := key operator item ("," item)* ["@" rank] | item ("," item)*
key         := column | "|" column "|" | lists of tokens | "property." name | …

`keywords` and `columns` have the words, `values` reads the items; docs/find.md is for users.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Final

from neurondb.errors import ExpressionError
from neurondb.find.annotations import (
    ANNOTATION_KEYS,
    is_annotation_key,
    read_annotation_comparison,
)
from neurondb.find.columns import COLUMN_ALIASES, NUMBER_COLUMNS, OTHER_COLUMNS, parse_number_column
from neurondb.find.descriptions import (
    DESCRIPTION_KEYS,
    is_description_key,
    read_description_comparison,
)
from neurondb.find.example_texts import CONTAINS, TEXT_KEY, is_text_key, read_text_comparison
from neurondb.find.families import (
    attach_scores,
    is_family_key,
    read_family_comparison,
    read_score_comparison,
)
from neurondb.find.heads import HEAD_KEYS, is_head_key, read_head_comparison
from neurondb.find.keywords import (
    BARE_WORDS,
    CASE_QUALIFIERS,
    CONCEPT_KEY,
    DATASET_KEY,
    FAMILY_KEY,
    PEAK_KEYS,
    QUALIFIERS,
    SCORE_KEY,
    TOKEN_KEYS,
    choose_peak_lists,
    choose_token_lists,
)
from neurondb.find.lexer import END, OPERATOR, TEXT, WORD, Lexeme, split_lexemes
from neurondb.find.marks import MARK_KEYS, is_mark_key, read_mark_comparison
from neurondb.find.moves import MOVED_KEY, is_moved_key, read_moved_comparison
from neurondb.find.related import RELATIONS, is_related_word, parse_related
from neurondb.find.terms import (
    And,
    Expression,
    HasPeak,
    HasToken,
    IsConcept,
    Not,
    require_one_dataset,
)
from neurondb.find.values import (
    PROPERTY_KEYS,
    READERS,
    is_property_key,
    join_and,
    join_or,
    looks_like_place,
    make_place_error,
    negate_if_unequal,
    parse_place,
    read_comparison,
    read_property_comparison,
    read_token,
    read_word,
)
from neurondb.name_matching import match_names, quote_word, split_words, suggest_names
from neurondb.schema.codes import SIGN_CASES

MAX_DEPTH: Final = 100
"""Levels of nesting beyond which an expression is refused, so that no stack overflows."""
_WordsReader = Callable[[Lexeme, str, Sequence[Lexeme]], Expression]
_WORDS_READERS: Final[tuple[tuple[Callable[[str], bool], _WordsReader], ...]] = (
    (is_text_key, read_text_comparison),
    (is_description_key, read_description_comparison),
    (is_annotation_key, read_annotation_comparison),
)
"""Whether a key is of a kind whose words are looked for → what reads a comparison of it."""
_KEY_READERS: Final = (
    (is_head_key, read_head_comparison),
    (is_moved_key, read_moved_comparison),
    (is_mark_key, read_mark_comparison),
)
"""Tells whether a key is of a kind, and reads its comparison."""
CONNECTIVES: Final = ("and", "or", "not")
MOST_WORDS_IN_NAME: Final = max(len(entry.split()) for entry in BARE_WORDS)


def parse(text: str) -> Expression:
    """Return the meaning of an expression; the empty one holds for every neuron.

    Names of models and tokens are looked up later, by `neurondb.find.names`.

    Raises:
        ExpressionError: when it cannot be understood; says which word, where, and what may have
            been meant.
    """
    parser = _Parser(split_lexemes(text))
    if parser.next.kind == END:
        return And(())
    expression = parser.read_expression(0)
    if parser.next.kind != END:
        raise ExpressionError(f"unexpected {parser.next.quoted} {parser.next.where}")
    require_one_dataset(expression)
    return expression


class _Parser:
    """A recursive descent by the grammar above; `next` is the first lexeme that is not read yet."""

    def __init__(self, lexemes: list[Lexeme]) -> None:
        self._lexemes = lexemes
        self._place = 0

    @property
    def next(self) -> Lexeme:
        return self._lexemes[self._place]

    def _peek(self, by: int) -> Lexeme:
        return self._lexemes[min(self._place + by, len(self._lexemes) - 1)]

    def _take(self) -> Lexeme:
        lexeme = self.next
        self._place = min(self._place + 1, len(self._lexemes) - 1)
        return lexeme

    def _is_word(self, *words: str) -> bool:
        return self.next.kind == WORD and self.next.value.lower() in words

    def read_expression(self, depth: int) -> Expression:
        parts = [self._read_conjunction(depth)]
        while self._is_word("or"):
            self._take()
            parts.append(self._read_conjunction(depth))
        return join_or(parts)

    def _read_conjunction(self, depth: int) -> Expression:
        parts = [self._read_negation(depth)]
        while self.next.kind not in (END, ")") and not self._is_word("or"):
            if self._is_word("and"):
                self._take()
            parts.append(self._read_negation(depth))
        return join_and(attach_scores(parts))

    def _read_negation(self, depth: int) -> Expression:
        if depth > MAX_DEPTH:
            raise ExpressionError(f"nested deeper than {MAX_DEPTH} levels {self.next.where}")
        if self._is_word("not"):
            self._take()
            expression = self._read_negation(depth + 1)
            return expression.part if isinstance(expression, Not) else Not(expression)
        if self.next.kind != "(":
            return self._read_term()
        opened = self._take()
        expression = self.read_expression(depth + 1)
        if self.next.kind != ")":
            raise ExpressionError(f"the parenthesis {opened.where} is not closed")
        self._take()
        return expression

    def _read_term(self) -> Expression:
        if self.next.kind not in (WORD, TEXT) or self._is_word(*CONNECTIVES):
            unexpected = "nothing" if self.next.kind == END else self.next.quoted
            raise ExpressionError(f"expected a condition {self.next.where}, found {unexpected}")
        if self._peek(1).kind == OPERATOR:
            return self._read_comparison()
        parts = [self._read_name()]
        while self.next.kind == ",":
            self._take()
            parts.append(self._read_name())
        return join_or(parts)

    def _read_comparison(self) -> Expression:
        key, operator = self._take(), self._take().value
        items = self._read_items()
        read_words = _find_words_reader(key.value, operator)
        if read_words is not None:
            return read_words(key, operator, items)
        column = parse_number_column(key.value)
        if column is not None:
            return read_comparison(column, operator, items, None)
        word = key.value.lower().replace("-", "_")
        if word in READERS:
            return read_comparison(word, operator, items, READERS[word])
        if word == CONCEPT_KEY:
            return self._read_concept_comparison(key, operator, items)
        for fits, read in _KEY_READERS:
            if fits(key.value):
                return read(key, operator, items)
        if word == SCORE_KEY:
            return read_score_comparison(key, operator, items)
        if is_family_key(word):
            items, within = self._split_rank(items, only_ids=False)
            return read_family_comparison(key, operator, items, within)
        if is_property_key(key.value.lower()):
            return read_property_comparison(key, operator, items)
        return self._read_token_comparison(key, operator, items)

    def _read_items(self) -> list[Lexeme]:
        items = [self._read_item()]
        while self.next.kind == ",":
            self._take()
            items.append(self._read_item())
        return items

    def _read_item(self) -> Lexeme:
        if self.next.kind not in (WORD, TEXT):
            unexpected = "nothing" if self.next.kind == END else self.next.quoted
            raise ExpressionError(f"expected a value {self.next.where}, found {unexpected}")
        return self._take()

    def _read_token_comparison(self, key: Lexeme, operator: str, items: list[Lexeme]) -> Expression:
        peaks = _choose_peak_lists(key)
        lists = peaks or _choose_lists(key)
        if operator not in ("=", "!="):
            raise ExpressionError(f"{key.value} {key.where} takes = or !=, not {operator}")
        items, top = self._split_rank(items) if lists else (items, None)

        def make_term(token: str | int) -> Expression:
            return (HasPeak if peaks else HasToken)(token, lists, top)

        return negate_if_unequal(operator, join_or([read_token(make_term, one) for one in items]))

    def _read_concept_comparison(
        self, key: Lexeme, operator: str, items: list[Lexeme]
    ) -> Expression:
        if operator not in ("=", "!="):
            raise ExpressionError(f"{key.value} {key.where} takes = or !=, not {operator}")
        items, within = self._split_rank(items, only_ids=False)
        terms = [IsConcept(item.value.strip(), within) for item in items]
        return negate_if_unequal(operator, join_or(terms))

    def _split_rank(
        self, items: list[Lexeme], *, only_ids: bool = True
    ) -> tuple[list[Lexeme], int | None]:
        """Return the items without the rank after them, and this rank; None where there is none.

        A rank, `@5`, is a word by itself, or the end of a token id; of any word unless `only_ids`.
        """
        last = items[-1]
        name, at, _ = last.value.partition("@")
        if last.kind == WORD and name and at and (name.startswith("#") or not only_ids):
            rank = last._replace(value=last.value[len(name) :])
            return [*items[:-1], last._replace(value=name)], _read_rank(rank)
        if self.next.kind == WORD and self.next.value.startswith("@"):
            return items, _read_rank(self._take())
        return items, None

    def _read_name(self) -> Expression:
        if self.next.kind not in (WORD, TEXT):
            raise ExpressionError(f"expected a name {self.next.where}")
        place = parse_place(self.next.value)
        if place is not None:
            self._take()
            return place
        if is_related_word(self.next.value) and self.next.kind == WORD:
            related = self._take()
            return parse_related(related.value, related.where)
        for length in range(MOST_WORDS_IN_NAME, 1, -1):
            words = self._peek_words(length)
            if words is not None and match_names(words, BARE_WORDS):
                first = self._lexemes[self._place]._replace(value=" ".join(words))
                self._place += length
                return read_word(words, BARE_WORDS, first, "word")
        return self._read_one_word()

    def _peek_words(self, length: int) -> list[str] | None:
        """Return the next `length` plain words when they could be one name."""
        ahead = [self._peek(i) for i in range(length)]
        if any(lexeme.kind != WORD for lexeme in ahead) or self._peek(length).kind == OPERATOR:
            return None
        return [lexeme.value.lower() for lexeme in ahead]

    def _read_one_word(self) -> Expression:
        lexeme = self._take()
        words = split_words(lexeme.value)
        if match_names(words, BARE_WORDS):
            return read_word(words, BARE_WORDS, lexeme, "word")
        if _is_key(lexeme.value):
            raise ExpressionError(f"{lexeme.value} {lexeme.where} needs a comparison")
        if looks_like_place(lexeme.value):
            raise make_place_error(lexeme)
        if lexeme.value.lower() == "pct":
            raise ExpressionError(
                f"{lexeme.quoted} {lexeme.where} is followed at once by a number of the neuron in "
                "parentheses, as in pct(out_norm)>0.99"
            )
        if lexeme.value.lower() in RELATIONS:
            raise ExpressionError(
                f"{lexeme.quoted} {lexeme.where} needs a neuron in parentheses at once, as in "
                f"{lexeme.value.lower()}(29.808)"
            )
        entries = {*(entry.replace(" ", "-") for entry in BARE_WORDS), *CONNECTIVES, *list_keys()}
        hint = suggest_names(lexeme.value, entries)
        raise ExpressionError(f"unknown word {lexeme.quoted} {lexeme.where}{hint}")


def _read_rank(lexeme: Lexeme) -> int:
    digits = lexeme.value[1:]
    if not digits.isascii() or not digits.isdigit() or not digits.strip("0"):
        raise ExpressionError(
            f"{lexeme.quoted} {lexeme.where} is not a number of places from 1, as @5"
        )
    return int(digits) if len(digits) < 10 else 2**31


def _find_words_reader(spelled: str, operator: str) -> _WordsReader | None:
    """Return what reads a comparison with words: of a key that takes them, or with `~`."""
    for fits, read in _WORDS_READERS:
        if fits(spelled):
            return read
    return read_text_comparison if operator == CONTAINS else None


def _is_key(word: str) -> bool:
    key_name = word.lower().replace("-", "_")
    return (
        parse_number_column(word) is not None
        or key_name in list_keys()
        or is_property_key(key_name)
        or is_moved_key(key_name)
        or is_text_key(key_name)
    )


@functools.cache
def list_keys() -> frozenset[str]:
    """Return every key that may stand before an operator, but for qualified tokens."""
    tokens = (*TOKEN_KEYS, *PEAK_KEYS, *(f"{qualifier}.token" for qualifier in QUALIFIERS))
    return frozenset(
        (
            *(*NUMBER_COLUMNS, *OTHER_COLUMNS, *COLUMN_ALIASES, DATASET_KEY, TEXT_KEY),
            *(FAMILY_KEY, SCORE_KEY, MOVED_KEY),
            *(*tokens, *PROPERTY_KEYS, *HEAD_KEYS, *DESCRIPTION_KEYS),
            *ANNOTATION_KEYS,
            *MARK_KEYS,
        )
    )


def _choose_peak_lists(key: Lexeme) -> tuple[int, ...]:
    """Return the lists that a key like `gate-_in-.fires.token` means; none for any other key."""
    *qualifiers, fires, place = ("", *key.value.lower().split("."))
    name = f"{fires}.{place}"
    if fires != "fires":
        return ()
    if name not in PEAK_KEYS:
        hint = suggest_names(name, PEAK_KEYS)
        raise ExpressionError(f"unknown key {key.quoted} {key.where}{hint}")
    for qualifier in filter(None, qualifiers):
        if qualifier not in CASE_QUALIFIERS:
            hint = suggest_names(qualifier, SIGN_CASES)
            raise ExpressionError(f"unknown sign case {quote_word(qualifier)} {key.where}{hint}")
    cases = [CASE_QUALIFIERS[qualifier] for qualifier in filter(None, qualifiers)]
    return choose_peak_lists(cases, PEAK_KEYS[name])


def _choose_lists(key: Lexeme) -> tuple[int, ...]:
    """Return the token lists that a key like `out.bottom.token` means; none for the LM head."""
    key_name = key.value.lower().replace("-", "_")
    *qualifiers, last = TOKEN_KEYS.get(key_name, key_name).split(".")
    if last != "token":
        hint = suggest_names(key_name, list_keys()) or "; docs/find.md describes all there are"
        raise ExpressionError(f"unknown key {key.quoted} {key.where}{hint}")
    if "lm_head" in qualifiers:
        if len(qualifiers) > 1:
            raise ExpressionError(
                f"{key.quoted} {key.where}: lm-head has one list only; write lm-head.token"
            )
        return ()
    for qualifier in qualifiers:
        if qualifier not in QUALIFIERS:
            hint = suggest_names(qualifier, (*QUALIFIERS, "lm-head"))
            raise ExpressionError(f"unknown qualifier {quote_word(qualifier)} {key.where}{hint}")
    return choose_token_lists(qualifiers)
