"""English word forms: nouns that know their plural, verbs that know their tenses."""

import re
from collections.abc import Iterable

_CONSONANT_Y = re.compile(r"[^aeiou]y$")
_HISSING = re.compile(r"(s|x|z|ch|sh|[^aeiou]o)$")
# One syllable that ends in consonant, vowel, consonant doubles its last letter: stop, stopped.
_DOUBLING = re.compile(r"^[^aeiou]*[aeiou][^aeiouwxy]$")
_VOWEL_ARTICLE = re.compile(r"\b([Aa]) (?=[aeiouAEIOU]|honest|hour)(?!one\b|uni|use|eu)")


def separated(text: str) -> tuple[str, ...]:
    """Read entries separated by white space; an underscore stands for a space inside one."""
    return tuple(entry.replace("_", " ") for entry in text.split())


_ONES = separated("""
    zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen
    sixteen seventeen eighteen nineteen""")
_TENS = separated("twenty thirty forty fifty sixty seventy eighty ninety")


def _with_s(word: str) -> str:
    if _CONSONANT_Y.search(word):
        return word[:-1] + "ies"
    return word + ("es" if _HISSING.search(word) else "s")


class Noun(str):
    """A noun in the singular; `Noun("knife:knives")` states an irregular plural."""

    many: str

    def __new__(cls, forms: str) -> "Noun":
        """Split `forms` at the colon; without one the plural follows the rule."""
        one, _, many = forms.partition(":")
        noun = super().__new__(cls, one)
        noun.many = many or _with_s(one)
        return noun


class Verb(str):
    """A verb's base form; `Verb("take:took:taken")` states what is irregular."""

    past: str
    done: str

    def __new__(cls, forms: str) -> "Verb":
        """Split `forms` at the colons into base, past tense and past participle."""
        base, _, irregular = forms.partition(":")
        verb = super().__new__(cls, base)
        past, _, done = irregular.partition(":")
        verb.past = past or verb._regular_past()
        verb.done = done or verb.past
        return verb

    def _regular_past(self) -> str:
        if self.endswith("e"):
            return self + "d"
        if _CONSONANT_Y.search(self):
            return self[:-1] + "ied"
        return self._doubled() + "ed"

    def _doubled(self) -> str:
        return self + self[-1] if _DOUBLING.match(self) else str(self)

    @property
    def third(self) -> str:
        """Third person of the present: carries."""
        return _with_s(self)

    @property
    def ing(self) -> str:
        """Present participle: carrying."""
        if self.endswith("e") and not self.endswith("ee"):
            return self[:-1] + "ing"
        return self._doubled() + "ing"


def nouns(text: str) -> tuple[Noun, ...]:
    """Read nouns separated by white space."""
    return tuple(map(Noun, separated(text)))


def verbs(text: str) -> tuple[Verb, ...]:
    """Read verbs separated by white space."""
    return tuple(map(Verb, separated(text)))


def number_word(number: int) -> str:
    """Spell a number from 0 to 199."""
    if number >= 100:
        rest = f" and {number_word(number - 100)}" if number > 100 else ""
        return "one hundred" + rest
    if number < len(_ONES):
        return _ONES[number]
    tens, ones = divmod(number, 10)
    return _TENS[tens - 2] + (f"-{_ONES[ones]}" if ones else "")


def ordinal(number: int) -> str:
    """Write a day of the month: 1st, 2nd, 23rd."""
    if number % 100 in (11, 12, 13):
        return f"{number}th"
    return f"{number}{ {1: 'st', 2: 'nd', 3: 'rd'}.get(number % 10, 'th') }"


def with_articles(text: str) -> str:
    """Turn `a` into `an` before a vowel sound."""
    return _VOWEL_ARTICLE.sub(r"\1n ", text)


def listed(items: Iterable[str]) -> str:
    """Join items as prose does: `tea, bread and jam`."""
    *front, last = items
    return f"{', '.join(front)} and {last}" if front else last
