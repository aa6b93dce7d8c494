"""Near spellings of a word that is not known."""

import difflib
from collections.abc import Iterable
from typing import Final

LONGEST_SHOWN: Final = 60
FEW: Final = 12
"""As many known words as fit a one-line message."""


def shown(word: str) -> str:
    """Return a word in quotes for a message, cut when it is very long."""
    return repr(word if len(word) <= LONGEST_SHOWN else f"{word[:LONGEST_SHOWN]}…")


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return what to append to "unknown …": near words, else all when few, else nothing."""
    words = sorted(set(known))
    lowered = {w.lower(): w for w in words}
    near = difflib.get_close_matches(word.lower(), lowered, n=3, cutoff=0.6)
    if near:
        return f"; did you mean {' or '.join(repr(lowered[w]) for w in near)}?"
    if 0 < len(words) <= FEW:
        return f"; there is {', '.join(words)}"
    return ""
