"""What people type for what descriptions say: `days of the week` where these have `weekday`.

Descriptions name classes of tokens as the catalogue of properties does. Whoever looks for one does
not know these names, so that each has others here, and a word in the plural is looked for in the
singular too.
"""

import re
from collections.abc import Iterator
from typing import Final, TypeAlias

from neurondb.phrases import Phrase, parse_search

Alternatives: TypeAlias = tuple[Phrase, ...]
"""Phrases any of which will do; the first is what was typed."""

SAID: Final[dict[str, tuple[str, ...]]] = {
    "weekday": ("days of the week", "day of the week", "days of week", "day name", "day names"),
    "month": ("month name", "month names", "months of the year", "calendar"),
    "year": ("date", "dates", "calendar year"),
    "number": ("numeral", "numerals", "numeric", "integer", "integers"),
    "contains digit": ("digit", "digits", "number", "numbers", "numeric"),
    "number word": ("numbers as words", "spelled-out numbers", "cardinal", "cardinals"),
    "ordinal": ("ordinal number", "ordinal numbers"),
    "colour": ("color", "colors"),
    "country": ("countries", "nation", "nations", "place name", "place names"),
    "first name": ("names", "given name", "given names", "forename", "people", "person"),
    "pronoun": ("personal pronoun", "personal pronouns"),
    "she pronoun": ("female pronoun", "female pronouns", "feminine"),
    "he pronoun": ("male pronoun", "male pronouns", "masculine"),
    "determiner": ("article", "articles"),
    "preposition": ("prepositions", "adposition"),
    "auxiliary": ("auxiliaries", "auxiliary verbs", "modal", "modals", "helping verb"),
    "negation": ("negations", "negated"),
    "question word": ("interrogative", "interrogatives", "wh-word", "wh-words"),
    "quotation mark": ("quote", "quotes", "speech marks"),
    "opening bracket": ("bracket", "brackets", "parenthesis", "parentheses"),
    "closing bracket": ("bracket", "brackets", "parenthesis", "parentheses"),
    "sentence end": ("full stop", "full stops", "period", "periods", "end of sentence"),
    "clause mark": ("comma", "commas", "semicolon", "colon", "dash"),
    "punctuation": ("punctuation mark", "punctuation marks"),
    "whitespace": ("blank", "blanks", "space", "spaces", "tab", "tabs"),
    "newline": ("line end", "line ends", "line break", "line breaks", "linebreak"),
    "upper case": ("uppercase", "all caps", "capitals", "capital letters"),
    "lower case": ("lowercase",),
    "capitalised": ("capitalized", "title case", "capital letter"),
    "camel case": ("camelcase", "identifier", "identifiers", "code"),
    "snake case": ("identifier", "identifiers", "code"),
    "operator": ("code", "programming"),
    "symbol": ("emoji", "emojis", "currency", "arrow", "arrows"),
    "ends in ed": ("past tense",),
    "ends in ing": ("gerund", "gerunds", "present participle"),
    "ends in ly": ("adverb", "adverbs"),
    "ends in s": ("plural", "plurals"),
    "contraction": ("contractions", "apostrophe"),
    "special": ("special token", "special tokens"),
    "previous": ("token before", "word before", "preceding"),
    "next": ("token after", "word after", "following"),
}
"""What descriptions say → what people say for it, in lower case."""

_MEANT: Final[dict[str, tuple[str, ...]]] = {
    spoken: tuple(name for name, others in SAID.items() if spoken in others)
    for others in SAID.values()
    for spoken in others
}
_LABEL: Final = re.compile(
    r'"?(?<![\w-])('
    + "|".join(sorted(map(re.escape, _MEANT), key=len, reverse=True))
    + r')(?![\w-])"?',
    re.IGNORECASE,
)


def read_description_search(text: str) -> tuple[Alternatives, ...]:
    """Return what a description must have to be found by a text: of each entry any phrase.

    Raises:
        UsageError: when there is nothing to look for, or it is too long.
    """
    parse_search(text)  # which says what is wrong with all of it
    wanted: list[Alternatives] = []
    end = 0
    for found in _LABEL.finditer(text):
        wanted += _read_rest(text[end : found.start()])
        spoken = found[1]
        typed, meant = Phrase(spoken), map(Phrase, _MEANT[spoken.lower()])
        wanted.append((typed, *_find_singular(typed), *meant))
        end = found.end()
    return tuple(dict.fromkeys([*wanted, *_read_rest(text[end:])]))


def _read_rest(text: str) -> Iterator[Alternatives]:
    if any(character.isalnum() or not character.isascii() for character in text):
        for phrase in parse_search(text):
            yield (phrase, *_find_singular(phrase))


def _find_singular(phrase: Phrase) -> tuple[Phrase, ...]:
    """Return a word without the s of its plural; nothing for what is no such word."""
    word = phrase.text
    plural = len(word) > 3 and word.isalpha() and word.endswith("s") and not word.endswith("ss")
    return (Phrase(word[:-1]),) if plural and not phrase.prefix else ()
