"""What it means that a text contains a phrase, written from the definition, word by word."""

import unicodedata
from itertools import groupby


def split_words(text: str) -> list[str]:
    """The runs of letters, digits and marks over letters of a text, in lower case."""
    runs = groupby(text, key=_is_of_word)
    return ["".join(run).lower() for of_word, run in runs if of_word]


def _is_of_word(character: str) -> bool:
    return unicodedata.category(character)[0] in "LN" or "\u0300" <= character <= "\u036f"


def contains(text: str, phrase: str, *, prefix: bool = False) -> bool:
    """Whether a text has the words of a phrase one after the other, the last one as a beginning."""
    words, wanted = split_words(text), split_words(phrase)
    n = len(wanted)
    for start in range(len(words) - n + 1):
        *same, last = words[start : start + n]
        if same == wanted[:-1] and (last == wanted[-1] or (prefix and last.startswith(wanted[-1]))):
            return True
    return False
