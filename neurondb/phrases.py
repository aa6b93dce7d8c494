"""What somebody looks for in texts: words, phrases, beginnings of words; and where a text has them.

A word is a run of letters and digits, in any case; what stands between two words of a phrase does
not matter. Two kinds of phrases are looked for as they stand instead, to the character: those
without any word, such as an emoji, and those of scripts that write no space between words, in which
a run of letters is no word.
"""

import re
from collections.abc import Sequence
from typing import Final, NamedTuple

from neurondb.errors import UsageError

MOST_CHARACTERS: Final = 1_000
"""A search has so many characters at most."""
EXAMPLE: Final = 'as in nobel, "nobel prize" or nobel*'

# What the tokenizer unicode61 of SQLite's FTS5 takes for a word: letters, digits, and the marks
# that stand over a letter.
_LETTER: Final = r"(?:[^\W_]|[\u0300-\u036f])"
_WORD: Final = re.compile(rf"{_LETTER}+")
_BETWEEN: Final = r"[\W_]+"
_UNSPACED: Final = re.compile(
    "[\u0e00-\u0fff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff"
    "\uf900-\ufaff\uff66-\uff9f\U00020000-\U0003ffff]"
)
"""A letter of Thai, Lao, Tibetan, Burmese, Khmer, Japanese or Chinese."""
_PART: Final = re.compile(r'"(?P<quoted>[^"]*)(?:"(?P<star>\*?)|$)|(?P<plain>[^\s"]+)')


class Phrase(NamedTuple):
    """Words in their order; `prefix` says that the last one is only the beginning of one."""

    text: str
    prefix: bool = False

    @property
    def words(self) -> tuple[str, ...]:
        """The words, as they are written."""
        return tuple(_WORD.findall(self.text))

    @property
    def stands(self) -> bool:
        """Whether it is looked for as it stands, since it has no words that could be told apart."""
        return not self.words or _UNSPACED.search(self.text) is not None

    @property
    def pattern(self) -> str:
        """The regular expression of its places; of words in any case."""
        if self.stands:
            return re.escape(self.text)
        words = _BETWEEN.join(f"(?i:{re.escape(word)})" for word in self.words)
        end = rf"{_LETTER}*" if self.prefix else rf"(?!{_LETTER})"
        return rf"(?<![^\W_])(?<![\u0300-\u036f]){words}{end}"


def parse_phrase(text: str) -> Phrase:
    """Return the phrase that a text is; a `*` at its end makes the last word a beginning.

    Raises:
        UsageError: when there is nothing in it, or it is too long.
    """
    plain = _check_text(text)
    bare = plain.rstrip("*").strip()
    phrase = Phrase(bare, plain.endswith("*")) if _WORD.search(plain) else Phrase(plain)
    if not phrase.text:
        raise UsageError(f"nothing to look for in texts; give words, {EXAMPLE}")
    return phrase


def parse_search(text: str) -> tuple[Phrase, ...]:
    """Return the phrases that a text must contain: words, and what stands in double quotes.

    Signs without quotes are left out where there are words too; nothing in a search is an operator
    but `*` after a word.

    Raises:
        UsageError: when there is nothing to look for, or it is too long.
    """
    phrases = [_make_part(part) for part in _PART.finditer(_check_text(text))]
    found = [phrase for phrase in phrases if phrase is not None]
    if not found:
        raise UsageError(f"nothing to look for in texts; give words, {EXAMPLE}")
    return tuple(dict.fromkeys(found))


def _make_part(part: re.Match[str]) -> Phrase | None:
    """Return the phrase that a part of a search is; None for signs that nobody can have meant."""
    if part["plain"] is None:
        text, star = part["quoted"].strip(), bool(part["star"])
        if not star and _WORD.search(text):
            return parse_phrase(text)
        return Phrase(text, star) if text else None
    text = part["plain"]
    if _WORD.search(text):
        return parse_phrase(text)
    return None if text.isascii() else Phrase(text)


def _check_text(text: str) -> str:
    if len(text) > MOST_CHARACTERS:
        raise UsageError(
            f"a search of texts has at most {MOST_CHARACTERS:,} characters, not {len(text):,}"
        )
    if any("\ud800" <= character <= "\udfff" for character in text):
        raise UsageError("half of a surrogate pair stands in the search, which is no character")
    return text.replace("\0", " ").strip()


class Span(NamedTuple):
    """A place in a text: the number of its first character, and of the one after its last."""

    start: int
    end: int


def find_spans(text: str, phrases: Sequence[Phrase]) -> list[Span]:
    """Return where a text has any of some phrases, from its beginning; no two of them overlap."""
    pattern = re.compile("|".join(phrase.pattern for phrase in phrases))
    return [Span(*match.span()) for match in pattern.finditer(text) if match.group()]


class Piece(NamedTuple):
    """A piece of a text; `found` where it is what was looked for."""

    text: str
    found: bool


def split_text(text: str, spans: Sequence[Span]) -> tuple[Piece, ...]:
    """Return a text in pieces, those at the places `spans` as found."""
    pieces, place = [], 0
    for start, end in spans:
        pieces += [Piece(text[place:start], False), Piece(text[start:end], True)]
        place = end
    pieces.append(Piece(text[place:], False))
    return tuple(piece for piece in pieces if piece.text)


def make_snippet(text: str, phrases: Sequence[Phrase], characters: int) -> tuple[Piece, ...]:
    """Return what stands around the first place where a text has one of some phrases, in pieces.

    It has some `characters`, a third of them before that place, and `…` where the text goes on.
    """
    spans = find_spans(text, phrases)
    first = spans[0] if spans else Span(0, 0)
    start = _begin_word(text, max(first.start - characters // 3, 0), first.start)
    end = max(first.end, start + characters)
    if end < len(text):
        end = (
            max(text.rfind(" ", first.end, end), first.end) if " " in text[first.end : end] else end
        )
    within = [Span(a - start, min(b, end) - start) for a, b in spans if start <= a < end]
    pieces = split_text(text[start:end], within)
    before = (Piece("…", False),) if start else ()
    after = (Piece("…", False),) if end < len(text) else ()
    return (*before, *pieces, *after)


def _begin_word(text: str, start: int, most: int) -> int:
    """Return where the next word begins, where there is one before `most`."""
    if not start:
        return 0
    space = text.find(" ", start, most)
    return start if space < 0 else space + 1
