"""The tests of a token's text: its spelling, its first letter, its word class.

They are the properties of the vocabulary (`ingest.vocabulary.properties`), first letters, prefixes
and suffixes (universal-neurons §4.3: "algorithmically generated labels derived from elements of the
vocabulary"). The same tests are asked of the token before and of the one after.
"""

import string
from collections.abc import Iterator
from typing import Final, NamedTuple

from ingest.vocabulary.properties.catalogue import PROPERTIES
from ingest.vocabulary.properties.predicates import TokenTest
from ingest.vocabulary.properties.token_text import Reading

UNIGRAM, ALPHABET, SPELLING, WORD_CLASS = "unigram", "alphabet", "spelling", "word_class"
WORD_POSITION, POSITION, CONTEXT, SYNTAX = "word_position", "position", "context", "syntax"
PREVIOUS, NEXT = "previous_token", "next_token"
FAMILIES: Final = (
    *(UNIGRAM, ALPHABET, SPELLING, WORD_CLASS, WORD_POSITION),
    *(POSITION, PREVIOUS, NEXT, CONTEXT, SYNTAX),
)
"""Every family, in the order in which equal scores are ranked."""

_NEVER_IN_TEXT: Final = "no text"
_WORD_CLASSES: Final = frozenset(
    (
        *("ordinal", "number word", "pronoun", "first-person pronoun", "second-person pronoun"),
        *("she pronoun", "he pronoun", "determiner", "preposition", "conjunction", "auxiliary"),
        *("negation", "question word", "month", "weekday", "colour", "country", "first name"),
    )
)
"""Properties that say what kind of word a token is; all others are about its spelling."""

PREFIXES: Final = (
    *("anti", "com", "con", "de", "dis", "ex", "in", "inter", "mis", "non", "over", "pre"),
    *("pro", "re", "sub", "super", "trans", "un", "under"),
)
SUFFIXES: Final = (
    *("able", "al", "ance", "ant", "ate", "ence", "ent", "est", "ful", "ible", "ic", "ism"),
    *("ist", "ity", "ive", "ize", "less", "ment", "ness", "or", "ous", "ship", "ure", "y"),
)
"""Beside the endings that the catalogue of properties has: ing, ed, ly, er, s, tion."""


class TextTest(NamedTuple):
    """A test of a token's text: `has` tells whether it holds for a token."""

    family: str
    name: str
    description: str
    has: TokenTest


def list_text_tests() -> list[TextTest]:
    """Return every test of a token's text but for the frequent words, which depend on texts."""
    return [*_list_properties(), *_list_letters(), *_list_affixes()]


def spell_name(name: str) -> str:
    """Return the name of a property as tests have it: without blanks and hyphens."""
    return name.replace(" ", "_").replace("-", "_")


def _list_properties() -> Iterator[TextTest]:
    for one in PROPERTIES:
        if one.name != _NEVER_IN_TEXT:
            family = WORD_CLASS if one.name in _WORD_CLASSES else SPELLING
            yield TextTest(family, spell_name(one.name), one.description, one.has)


def _list_letters() -> Iterator[TextTest]:
    for letter in string.ascii_lowercase:
        described = f"the first letter is {letter}, in either case"
        yield TextTest(ALPHABET, f"first_letter_{letter}", described, _begin_with(letter, 0))


def _list_affixes() -> Iterator[TextTest]:
    for prefix in PREFIXES:
        described = f"letters, the first of them {prefix}, with two or more after it"
        yield TextTest(SPELLING, f"prefix_{prefix}", described, _begin_with(prefix, 2))
    for suffix in SUFFIXES:
        described = f"letters, the last of them {suffix}, with two or more before it"
        yield TextTest(SPELLING, f"suffix_{suffix}", described, _end_with(suffix))


def _begin_with(prefix: str, n_more: int) -> TokenTest:
    def has(token: Reading) -> bool:
        text = token.bare.lower()
        enough = len(text) >= len(prefix) + n_more
        return enough and text.startswith(prefix) and (n_more == 0 or text.isalpha())

    return has


def _end_with(suffix: str) -> TokenTest:
    def has(token: Reading) -> bool:
        text = token.bare.lower()
        return len(text) >= len(suffix) + 2 and text.endswith(suffix) and text.isalpha()

    return has
