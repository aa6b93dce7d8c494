"""Frequent words, each of which is a test (a unigram), and where a token stands in its word.

Common words have several tokens: with a space or without, with a capital or without
(universal-neurons §4.3, Fig. 16: an, an|agram, Gig|an|tism). They are one test here, and the place
in a word another.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Int
from numpy.typing import NDArray
from torch import Tensor

from ingest.vocabulary.properties.predicates import continues_word, letters
from ingest.vocabulary.properties.token_text import Reading

PLACES: Final = ("standalone_word", "first_of_word", "within_word")
PLACE_DESCRIPTIONS: Final = (
    "letters that are a whole word",
    "the first token of a word of several tokens",
    "a later token of a word of several tokens",
)
_ESCAPES: Final = str.maketrans({"\n": "\\n", "\r": "\\r", "\t": "\\t"})


def choose_frequent_words(
    readings: Sequence[Reading], n_of_token: Int[NDArray[np.int64], " tokens"], k: int
) -> list[str]:
    """Return the k words that stand most often in the texts, most frequent first; ties by text.

    A word is a token's text without spaces around it, in lower case; marks and digits are words
    too, special tokens are none.

    Args:
        readings: the vocabulary.
        n_of_token: how often each token stands in the texts.
        k: how many words are wanted; fewer come where fewer occur.
    """
    counts: Counter[str] = Counter()
    for token_id in np.flatnonzero(n_of_token).tolist():
        word = readings[token_id].bare.casefold()
        if word:
            counts[word] += int(n_of_token[token_id])
    return sorted(counts, key=lambda word: (-counts[word], word))[:k]


def spell_word(word: str) -> str:
    r"""Return a word as it is shown in one line: a line end as \n."""
    return word.translate(_ESCAPES)


class WordParts(NamedTuple):
    """What each token of a vocabulary can be of a word.

    Attributes:
        letters: it is nothing but letters, maybe after a space.
        continues: it starts with a letter and without a space, so that it can continue a word.
        open_: it ends with a letter, so that a word can go on after it.
    """

    letters: Bool[Tensor, " tokens"]
    continues: Bool[Tensor, " tokens"]
    open_: Bool[Tensor, " tokens"]

    @classmethod
    def of(cls, readings: Sequence[Reading]) -> "WordParts":
        """Return those of a vocabulary."""
        tests = (letters, continues_word, lambda token: token.text[-1:].isalpha())
        return cls(*(torch.tensor([bool(test(one)) for one in readings]) for test in tests))

    def to(self, device: torch.device) -> "WordParts":
        """Return them on another device."""
        return WordParts(*(part.to(device) for part in self))

    def find_places(
        self, token_ids: Int[Tensor, "texts positions"], lengths: Int[Tensor, " texts"]
    ) -> Bool[Tensor, "texts positions 3"]:
        """Return which of `PLACES` each token of a batch has, padded on the right.

        A token continues a word where it can, and the one before it ends with a letter. The last
        token of a text that was cut is taken to end its word.
        """
        within = torch.arange(token_ids.shape[1], device=token_ids.device) < lengths[:, None]
        goes_on = torch.zeros_like(within)
        goes_on[:, 1:] = self.continues[token_ids[:, 1:]] & self.open_[token_ids[:, :-1]]
        goes_on &= within
        followed = torch.zeros_like(within)
        followed[:, :-1] = goes_on[:, 1:]
        begins = self.letters[token_ids] & within & ~goes_on
        return torch.stack([begins & ~followed, begins & followed, goes_on], dim=2)
