"""Tests of tokens and makers of tests: what the catalogue of properties is put together of."""

import re
import unicodedata
from collections.abc import Callable, Collection
from functools import cache
from typing import Final, TypeAlias

from ingest.vocabulary.properties import word_lists
from ingest.vocabulary.properties.token_text import NO_CHARACTER, Reading

TokenTest: TypeAlias = Callable[[Reading], bool]

QUOTATION_MARKS: Final = "\"'“”„‟«»‹›‘’‚"
UNSPACED: Final = ("CJK", "HIRAGANA", "KATAKANA", "THAI")
"""Scripts in which no space parts words."""

_ORDINAL: Final = re.compile(r"([0-9]*[02-9])?(1st|2nd|3rd)|[0-9]*(1[1-3]|[04-9])th")
_IDENTIFIER: Final = re.compile(r"\w*[A-Za-z]\w*", re.ASCII)


@cache
def _script(character: str) -> str:
    """Return the first word of a character's name if it is a letter or a mark, else nothing."""
    if unicodedata.category(character)[0] not in "LM":
        return ""
    name = unicodedata.name(character, "").removeprefix("HALFWIDTH ")
    return re.split(r"[ -]", name)[0]


@cache
def _is_punctuation(character: str) -> bool:
    category = unicodedata.category(character)[0]
    return category == "P" or (category == "S" and character.isascii())


@cache
def _is_symbol(character: str) -> bool:
    return not character.isascii() and unicodedata.category(character)[0] == "S"


# --- of the text without the spaces around it -------------------------------------------------


def like(pattern: str) -> TokenTest:
    """Return a test for tokens that match a pattern as a whole."""
    matched = re.compile(pattern).fullmatch
    return lambda token: matched(token.bare) is not None


def letters(token: Reading) -> bool:
    """Tell whether there is nothing but letters, of any script."""
    text = token.bare
    if text.isalpha() or text.isascii():
        return text.isalpha()
    # Marks belong to their letters: the vowels of Devanagari, the points of Hebrew.
    return any(map(str.isalpha, text)) and all(map(_script, text))


def number(digits: int) -> TokenTest:
    """Return a test for numbers of so many digits."""
    return lambda token: len(token.bare) == digits and token.bare.isdecimal()


def ordinal(token: Reading) -> bool:
    """Tell whether it is an ordinal number, in digits or in words."""
    return token.word in word_lists.ORDINALS or bool(_ORDINAL.fullmatch(token.bare.lower()))


def punctuation(token: Reading) -> bool:
    """Tell whether there is nothing but punctuation and symbols of ASCII."""
    return token.bare != "" and all(map(_is_punctuation, token.bare))


def quotation(token: Reading) -> bool:
    """Tell whether it is punctuation with a quotation mark."""
    return punctuation(token) and any(mark in QUOTATION_MARKS for mark in token.bare)


def snake_case(token: Reading) -> bool:
    """Tell whether it is a name with underscores."""
    return "_" in token.bare and _IDENTIFIER.fullmatch(token.bare) is not None


def ending(*endings: str, but: tuple[str, ...] = ()) -> TokenTest:
    """Return a test for words, or parts of words, of three letters or more with an ending."""

    def has(token: Reading) -> bool:
        text = token.bare.lower()
        matches = text.endswith(endings) and len(text) > 2 and text.isalpha()
        return matches and not text.endswith(but)

    return has


# --- of words -----------------------------------------------------------------------------------


def one_of(words: Collection[str]) -> TokenTest:
    """Return a test for words of a list."""
    return lambda token: token.word in words


def named(words: Collection[str]) -> TokenTest:
    """Return a test for words of a list with a capital: May is a month, may is none."""
    return lambda token: token.word in words and token.bare[0].isupper()


# --- of the whole text ----------------------------------------------------------------------------


def containing(characters: str) -> TokenTest:
    """Return a test for tokens that contain one of the characters."""
    search = re.compile(f"[{re.escape(characters)}]").search
    return lambda token: search(token.text) is not None


def continues_word(token: Reading) -> bool:
    """Tell whether it starts with a letter that a word may have before it."""
    first = token.text[:1]
    return first.isalpha() and _script(first) not in UNSPACED


def single_character(token: Reading) -> bool:
    """Tell whether it is one character; the space before it does not count."""
    character = token.bare or token.text
    return len(character) == 1 and character != NO_CHARACTER


def symbol(token: Reading) -> bool:
    """Tell whether there is a symbol beyond ASCII."""
    return not token.text.isascii() and any(map(_is_symbol, token.text))


def of_script(*names: str) -> TokenTest:
    """Return a test for tokens with a letter beyond ASCII whose Unicode name starts so."""

    def has(token: Reading) -> bool:
        text = token.text
        return not text.isascii() and any(_script(c) in names for c in text if not c.isascii())

    return has
