"""The properties of tokens: a name, a sentence for people, and a test.

They are those that universal-neurons split the vocabulary by (§4.3, §5.1, Fig. 5: spaces, case,
digits, years, brackets, pronouns) and what else neurons write to: scripts, endings, word classes.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np

from ingest.vocabulary.properties import word_lists
from ingest.vocabulary.properties.predicates import (
    TokenTest,
    containing,
    continues_word,
    ending,
    letters,
    like,
    named,
    number,
    of_script,
    one_of,
    ordinal,
    punctuation,
    quotation,
    single_character,
    snake_case,
    symbol,
)
from ingest.vocabulary.properties.token_text import read_tokens
from neurondb.contracts.model import Token
from neurondb.contracts.vocabulary import TokenPropertiesRecord


class Property(NamedTuple):
    """A property: `has` tells whether a token has it."""

    name: str
    description: str
    has: TokenTest


_CLOSERS: Final = r"""["'”’»)\]]*\s*"""

PROPERTIES: Final[tuple[Property, ...]] = (
    # space and case
    Property("starts with space", "the first character is a space", lambda t: t.text[:1] == " "),
    Property(
        "begins word",
        "a space, then a letter",
        lambda t: t.text[:1] == " " and t.text[1:2].isalpha(),
    ),
    Property(
        "continues word",
        "starts with a letter, no space before it: the rest of a word, or a word after no space "
        "(not in scripts that write no spaces)",
        continues_word,
    ),
    Property("letters only", "letters of any script, maybe after a space", letters),
    Property(
        "lower case",
        "letters only, all lower case",
        lambda t: t.bare.islower() and letters(t),
    ),
    Property(
        "capitalised",
        "two letters or more, the first upper case, the others lower case",
        lambda t: t.bare[:1].isupper() and t.bare[1:].islower() and letters(t),
    ),
    Property(
        "upper case",
        "two letters or more, all upper case",
        lambda t: len(t.bare) > 1 and t.bare.isupper() and letters(t),
    ),
    Property(
        "starts with vowel",
        "two letters or more, the first a, e, i, o or u in either case",
        lambda t: len(t.bare) > 1 and t.bare[0] in "aeiouAEIOU" and letters(t),
    ),
    Property(
        "single letter",
        "one letter, maybe after a space",
        lambda t: len(t.bare) == 1 and t.bare.isalpha(),
    ),
    Property("single character", "one character, maybe after a space", single_character),
    # numbers
    Property("contains digit", "a digit anywhere", lambda t: any(map(str.isdecimal, t.text))),
    Property("number", "digits only, maybe after a space", lambda t: t.bare.isdecimal()),
    Property("one-digit number", "one digit, maybe after a space", number(1)),
    Property("two-digit number", "two digits, maybe after a space", number(2)),
    Property("three-digit number", "three digits, maybe after a space", number(3)),
    Property("year", "a number from 1000 to 2099", like("1[0-9]{3}|20[0-9]{2}")),
    Property(
        "modern year",
        "a number from 1700 to 2050, the years of universal-neurons Fig. 5",
        like("1[7-9][0-9]{2}|20[0-4][0-9]|2050"),
    ),
    Property("ordinal", "1st, 22nd, 13th; or a word: first to twentieth, hundredth", ordinal),
    Property(
        "number word",
        "one to twenty, tens, hundred, thousand, million, dozen; as a word",
        one_of(word_lists.NUMBER_WORDS),
    ),
    # punctuation and blanks
    Property(
        "punctuation",
        "only punctuation marks and symbols of ASCII, maybe after a space",
        punctuation,
    ),
    Property(
        "opening bracket", "contains ( [ { or one of East Asia", containing("([{（［｛【「『《〈〔")
    ),
    Property(
        "closing bracket", "contains ) ] } or one of East Asia", containing(")]}）］｝】」』》〉〕")
    ),
    Property("quotation mark", "only punctuation, with a quotation mark or apostrophe", quotation),
    Property(
        "sentence end",
        "full stops, question or exclamation marks, then maybe closing marks and blanks",
        like(rf"[.!?…。！？।؟]+{_CLOSERS}"),
    ),
    Property(
        "clause mark",
        "comma, semicolon, colon or dash, then maybe closing marks and blanks",
        like(rf"[,;:–—，、；：،]+{_CLOSERS}"),
    ),
    Property(
        "contraction",
        "'s 't 're 've 'll 'd 'm or n't",
        like("(?i:['’](?:s|t|re|ve|ll|d|m)|n['’]t)"),
    ),
    Property(
        "symbol",
        "contains a symbol beyond ASCII: emoji, arrow, currency, mathematics",
        symbol,
    ),
    Property("whitespace", "blanks only: spaces, tabs, line ends", lambda t: t.text.isspace()),
    Property("newline", "contains a line end", containing("\n\r")),
    # code
    Property(
        "operator",
        "two or more signs of code: == -> && }; //",
        lambda t: t.bare in word_lists.OPERATORS,
    ),
    Property(
        "camel case",
        "a lower-case letter right before an upper-case one: getName",
        like("[A-Za-z0-9_]*[a-z][A-Z][A-Za-z0-9_]*"),
    ),
    Property("snake case", "letters of ASCII with underscores: my_name, _id", snake_case),
    # no text
    Property(
        "special",
        "a mark of the tokenizer's, as <s> or <|endoftext|>",
        lambda t: t.kind == "special",
    ),
    Property(
        "raw bytes",
        "has bytes that are no whole character (shown as \\xNN), or is a byte piece <0xNN>",
        lambda t: t.kind == "bytes",
    ),
    Property(
        "no text",
        "a row of the matrices that the tokenizer has no token for",
        lambda t: t.kind == "none",
    ),
    # scripts
    Property(
        "latin beyond ascii",
        "contains a Latin letter that ASCII lacks: é, ß, ł",
        of_script("LATIN"),
    ),
    *(
        Property(name.lower(), f"contains a letter of the {name} script", of_script(*prefixes))
        for name, *prefixes in (
            ("Cyrillic", "CYRILLIC"),
            ("Greek", "GREEK"),
            ("Arabic", "ARABIC"),
            ("Hebrew", "HEBREW"),
            ("Devanagari", "DEVANAGARI"),
            ("Han", "CJK"),
            ("Hiragana", "HIRAGANA"),
            ("Katakana", "KATAKANA"),
            ("Hangul", "HANGUL"),
            ("Thai", "THAI"),
        )
    ),
    # endings
    Property("ends in ing", "three letters or more, the last ing", ending("ing")),
    Property("ends in ed", "three letters or more, the last ed", ending("ed")),
    Property("ends in ly", "three letters or more, the last ly", ending("ly")),
    Property("ends in er", "three letters or more, the last er", ending("er")),
    Property(
        "ends in s",
        "three letters or more, the last s, but not ss, us or is: plurals and verbs",
        ending("s", but=("ss", "us", "is")),
    ),
    Property("ends in tion", "letters, the last tion or sion", ending("tion", "sion")),
    # words
    Property("pronoun", "personal or indefinite pronoun, as a word", one_of(word_lists.PRONOUNS)),
    Property(
        "first-person pronoun",
        "I, me, my, we, us, our, …; as a word",
        one_of(word_lists.FIRST_PERSON),
    ),
    Property(
        "second-person pronoun", "you, your, yours, …; as a word", one_of(word_lists.SECOND_PERSON)
    ),
    Property("she pronoun", "she, her, hers, herself; as a word", one_of(word_lists.SHE)),
    Property("he pronoun", "he, him, his, himself; as a word", one_of(word_lists.HE)),
    Property(
        "determiner", "the, a, this, every, some, …; as a word", one_of(word_lists.DETERMINERS)
    ),
    Property("preposition", "of, in, on, with, …; as a word", one_of(word_lists.PREPOSITIONS)),
    Property("conjunction", "and, but, because, if, …; as a word", one_of(word_lists.CONJUNCTIONS)),
    Property(
        "auxiliary",
        "be, have, do, can, will, … and their forms; as a word",
        one_of(word_lists.AUXILIARIES),
    ),
    Property("negation", "not, no, never, don't, …; as a word", one_of(word_lists.NEGATIONS)),
    Property(
        "question word",
        "who, what, when, where, why, how, …; as a word",
        one_of(word_lists.QUESTION_WORDS),
    ),
    Property(
        "month", "English month or its abbreviation, with a capital", named(word_lists.MONTHS)
    ),
    Property(
        "weekday",
        "English weekday or its abbreviation, with a capital",
        named(word_lists.WEEKDAYS),
    ),
    Property("colour", "red, blue, golden, …, colour; as a word", one_of(word_lists.COLOURS)),
    Property(
        "country",
        "a country's English name of one word, with a capital",
        named(word_lists.COUNTRIES),
    ),
    Property(
        "first name",
        "one of a hundred-odd common first names, with a capital",
        named(word_lists.FIRST_NAMES),
    ),
)
"""Every property. "As a word": after a space or with a capital letter, and not all in capitals."""


def find_token_properties(tokens: Sequence[Token]) -> TokenPropertiesRecord:
    """Return which tokens, by id, have which of `PROPERTIES`.

    Args:
        tokens: the whole vocabulary, in the order of ids: whether sentencepiece's byte is the only
            spelling of a character depends on the other tokens.
    """
    readings = read_tokens(tokens)
    members = np.zeros((len(readings), len(PROPERTIES)), dtype=bool)
    for column, token_property in enumerate(PROPERTIES):
        members[:, column] = np.fromiter(
            map(token_property.has, readings), dtype=bool, count=len(readings)
        )
    names, descriptions, _ = zip(*PROPERTIES, strict=True)
    return TokenPropertiesRecord(names, descriptions, members)
