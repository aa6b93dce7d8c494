"""Which tokens of two models stand for the same place of a text, and so are compared.

Where both tokenizers cut the texts into the same tokens, token stands beside token. Where they do
not, a token of A is compared with the token of B that ends after the same character: there, and
only there, both models have read the very same text. Tokens of A whose end falls inside a token of
B are left out and counted.

Left out besides, as in universal-neurons (App. B.2; METHODS §8), are padding, BOS (or whatever
token is put first) and tokens that are newlines only, in either model.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
from jaxtyping import Bool, Int
from numpy.typing import NDArray

from ingest.text.tokenizer import Tokenizer

TOKENS: Final = "tokens"
CHARACTERS: Final = "characters"
"""How the tokens of two models were put beside one another."""
Positions: TypeAlias = Int[NDArray[np.int64], " positions"]


@dataclass(frozen=True)
class Reader:
    """A model as it reads texts.

    Attributes:
        tokenizer: its tokenizer.
        d_vocab: how many rows it has for tokens.
        max_len: tokens of a text at most, the prefix token included.
    """

    tokenizer: Tokenizer
    d_vocab: int
    max_len: int

    def find_left_out(self) -> Bool[NDArray[np.bool_], " d_vocab"]:
        """Return which token ids never count: the prefix token's, and newlines'."""
        left_out = np.zeros(self.d_vocab, dtype=np.bool_)
        ids = self.tokenizer.list_token_ids(self.d_vocab)
        texts = [token.token for token in self.tokenizer.list_tokens(self.d_vocab)]
        left_out[ids] = [bool(text) and not text.strip("\r\n") for text in texts]
        if self.tokenizer.prefix_token_id is not None:
            left_out[self.tokenizer.prefix_token_id] = True
        return left_out


@dataclass(frozen=True)
class AlignedTexts:
    """The tokens of texts in two models, and where both stand at the same place.

    Attributes:
        ids_a: A's token ids of each text.
        ids_b: B's.
        places_a: of each text, the positions in A that are compared, ascending.
        places_b: the positions in B that stand beside them.
        by: `tokens` or `characters`.
        n_unaligned: tokens of A that would count, and end where no token of B does.
    """

    ids_a: Sequence[Positions]
    ids_b: Sequence[Positions]
    places_a: Sequence[Positions]
    places_b: Sequence[Positions]
    by: str
    n_unaligned: int

    @property
    def n_tokens(self) -> int:
        """How many tokens are compared."""
        return sum(map(len, self.places_a))


def align_texts(texts: Sequence[str], a: Reader, b: Reader) -> AlignedTexts:
    """Tokenise texts for two models and find the places at which both are compared."""
    ids_a, ids_b = (_encode(texts, reader) for reader in (a, b))
    prefixes = [int(reader.tokenizer.prefix_token_id is not None) for reader in (a, b)]
    if _are_same(ids_a, ids_b, prefixes):
        by = TOKENS
        pairs = [_pair_by_token(*ids, *prefixes) for ids in zip(ids_a, ids_b, strict=True)]
    else:
        ends_a, ends_b = (r.tokenizer.locate_ends(texts, r.max_len) for r in (a, b))
        by = CHARACTERS
        pairs = [_pair_by_end(*ends) for ends in zip(ends_a, ends_b, strict=True)]
    out_a, out_b = a.find_left_out(), b.find_left_out()
    places_a, places_b = [], []
    n_unaligned = 0
    for of_a, of_b, (at_a, at_b) in zip(ids_a, ids_b, pairs, strict=True):
        counted = ~out_a[of_a[at_a]] & ~out_b[of_b[at_b]]
        places_a.append(at_a[counted])
        places_b.append(at_b[counted])
        unpaired = np.ones(len(of_a), dtype=np.bool_)
        unpaired[at_a] = False
        n_unaligned += int((unpaired & ~out_a[of_a]).sum())
    return AlignedTexts(ids_a, ids_b, places_a, places_b, by, n_unaligned)


def _encode(texts: Sequence[str], reader: Reader) -> list[Positions]:
    return reader.tokenizer.encode(texts, reader.max_len)[0]


def _are_same(
    ids_a: Sequence[Positions], ids_b: Sequence[Positions], prefixes: Sequence[int]
) -> bool:
    """Tell whether two models read the same tokens, as far as both go; prefix tokens may differ."""
    for of_a, of_b in zip(ids_a, ids_b, strict=True):
        own_a, own_b = of_a[prefixes[0] :], of_b[prefixes[1] :]
        n = min(len(own_a), len(own_b))
        if not np.array_equal(own_a[:n], own_b[:n]):
            return False
    return True


def _pair_by_token(
    ids_a: Positions, ids_b: Positions, prefix_a: int, prefix_b: int
) -> tuple[Positions, Positions]:
    n = np.arange(min(len(ids_a) - prefix_a, len(ids_b) - prefix_b))
    return n + prefix_a, n + prefix_b


def _pair_by_end(ends_a: Positions, ends_b: Positions) -> tuple[Positions, Positions]:
    """Return the positions whose tokens end after the same character; of several, the last."""
    (values_a, last_a), (values_b, last_b) = _find_last(ends_a), _find_last(ends_b)
    _, at_a, at_b = np.intersect1d(values_a, values_b, assume_unique=True, return_indices=True)
    return last_a[at_a], last_b[at_b]


def _find_last(ends: Positions) -> tuple[Positions, Positions]:
    """Return each end that there is, ascending, and the last position that has it."""
    values, from_back = np.unique(ends[::-1], return_index=True)
    last = len(ends) - 1 - from_back
    is_text = values > 0  # the prefix token ends nowhere, an empty token at 0
    return values[is_text], last[is_text]
