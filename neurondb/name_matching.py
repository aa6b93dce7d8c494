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
    spelled: known.name
    for known in (*CLASSES, UNDEFINED)
    for spelled in (known.name, known.io_name)
}
"""Either name of a read-write class → its name in the database."""


def quote_word(word: str) -> str:
    """Return a word in quotes for a message, cut when it is very long."""
    return repr(word if len(word) <= LONGEST_QUOTED else f"{word[:LONGEST_QUOTED]}…")


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return what to append to "unknown …": near words, else all when few, else nothing."""
    words = sorted(set(known))
    lowered = {w.lower(): w for w in words}
    near = difflib.get_close_matches(word.lower(), lowered, n=3, cutoff=0.6)
    if near:
        return f"; did you mean {' or '.join(repr(lowered[w]) for w in near)}?"
    if 0 < len(words) <= MOST_LISTED:
        return f"; there is {', '.join(words)}"
    return ""


def split_words(text: str) -> list[str]:
    """Return the words of `conditional-weakening`, `conditional_weakening` or with a space."""
    return re.split(r"[\s_-]+", text.strip().lower())


def match_names(words: Sequence[str], known: dict[str, Meaning]) -> list[str]:
    """Return the entries that `words` spells out, else those of which it is an abbreviation.

    Each word abbreviates the word in its place: `cond weak` is `conditional weakening`, and
    `cond` could be four classes. Entries of the same meaning count once.
    """
    spelled = " ".join(words)
    if spelled in known:
        return [spelled]
    meanings = {
        known[entry]: entry for entry in reversed(known) if _abbreviates(words, entry.split())
    }
    return sorted(meanings.values())


def _abbreviates(words: Sequence[str], entry: Sequence[str]) -> bool:
    return len(words) <= len(entry) and all(
        full.startswith(word) for word, full in zip(words, entry, strict=False)
    )
