"""How names may be spelled: in several words, abbreviated, or nearly right."""

import difflib
import re
from collections.abc import Hashable, Iterable, Sequence
from typing import Final, TypeVar

from neurondb.taxonomy import CLASSES, UNDEFINED

Meaning = TypeVar("Meaning", bound=Hashable)

LONGEST_QUOTED: Final = 60
"""Characters of a word that a message repeats."""
MOST_LISTED: Final = 12
"""As many known words as fit a one-line message."""

CLASS_NAMES: Final = {
    name: entry.name for entry in (*CLASSES, UNDEFINED) for name in (entry.name, entry.io_name)
}
"""Either name of a read-write class → its name in the database."""


def quote_word(word: str) -> str:
    """Return a word in quotes for a message, cut when it is very long."""
    return repr(word if len(word) <= LONGEST_QUOTED else f"{word[:LONGEST_QUOTED]}…")


def suggest_names(word: str, names: Iterable[str]) -> str:
    """Return the end of an "unknown …" message: similar names, else all if few, else nothing."""
    words = sorted(set(names))
    lowered = {w.lower(): w for w in words}
    similar = difflib.get_close_matches(word.lower(), lowered, n=3, cutoff=0.6)
    if similar:
        return f"; did you mean {' or '.join(repr(lowered[w]) for w in similar)}?"
    if 0 < len(words) <= MOST_LISTED:
        return f"; there is {', '.join(words)}"
    return ""


def split_words(text: str) -> list[str]:
    """Return the words of `conditional-weakening`, `conditional_weakening` or with a space."""
    return re.split(r"[\s_-]+", text.strip().lower())


def match_names(words: Sequence[str], meanings: dict[str, Meaning]) -> list[str]:
    """Return the entries that `words` spells out, else those of which it is an abbreviation.

    Each word abbreviates the word in its place: `cond weak` is `conditional weakening`, and
    `cond` could be four classes. Entries of the same meaning count once.
    """
    text = " ".join(words)
    if text in meanings:
        return [text]
    entry_of = {
        meanings[entry]: entry for entry in reversed(meanings) if _abbreviates(words, entry.split())
    }
    return sorted(entry_of.values())


def _abbreviates(words: Sequence[str], entry: Sequence[str]) -> bool:
    return len(words) <= len(entry) and all(
        full.startswith(word) for word, full in zip(words, entry, strict=False)
    )
