"""A concept → the ways to write it that a tokenizer has, as token ids."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from ingest.text.chat import ChatTokenizer
from neurondb.contracts.concept import Spelling
from neurondb.errors import UsageError
from neurondb.formatting.text import keep_start

MOST_TOKENS: Final = 32
"""A concept is a word or a phrase; what is longer is a text."""
_BEFORE: Final = "a"
"""A text after which words are cut off as they stand within a text."""


def list_spellings(tokenizer: ChatTokenizer, concept: str, d_vocab: int) -> list[Spelling]:
    """Return the spellings of a concept; the first is as given, with a space in front.

    With and without that space it is always taken as it was given. In lower case, in capitals and
    with a capital first it is taken where that takes no more tokens. No spelling begins with
    another one, so that their probabilities add up.

    Raises:
        UsageError: when it is empty, longer than 32 tokens, or has a token without a row.
    """
    bare = concept.strip()
    if not bare:
        raise UsageError("the concept is empty; give a word or phrase")
    found: list[Spelling] = []
    for text in _list_forms(bare):
        spelling = Spelling(text, _encode(tokenizer, text))
        if len(found) < 2 or len(spelling.token_ids) <= len(found[0].token_ids):
            _check(spelling, bare, d_vocab)
            found.append(spelling)
    return _keep_disjoint(found)


def _list_forms(bare: str) -> Iterator[str]:
    cased = (bare, bare.lower(), bare[:1].upper() + bare[1:], bare.upper())
    for form in dict.fromkeys(cased):
        yield f" {form}"
        yield form


def _encode(tokenizer: ChatTokenizer, text: str) -> tuple[int, ...]:
    """Return a text's tokens as they stand within a longer one, if it is cut off there at all.

    Alone, a tokenizer that marks beginnings of words would put a mark in front of any text.
    """
    before, _ = tokenizer.encode_with_offsets(_BEFORE)
    whole, _ = tokenizer.encode_with_offsets(_BEFORE + text)
    if before and whole[: len(before)] == before and len(whole) > len(before):
        return tuple(whole[len(before) :])
    return tuple(tokenizer.encode_with_offsets(text)[0])


def _check(spelling: Spelling, bare: str, d_vocab: int) -> None:
    shown = repr(keep_start(bare, 40))
    if not spelling.token_ids:
        raise UsageError(f"the tokenizer makes no token of {shown}")
    if len(spelling.token_ids) > MOST_TOKENS:
        raise UsageError(
            f"the concept {shown} is {len(spelling.token_ids)} tokens, and at most {MOST_TOKENS} "
            "are a word or phrase; give less of it"
        )
    beyond = [token_id for token_id in spelling.token_ids if token_id >= d_vocab]
    if beyond:
        raise UsageError(f"the concept {shown} has token #{beyond[0]}, which the model lacks")


def _keep_disjoint(found: Sequence[Spelling]) -> list[Spelling]:
    """Return the spellings that neither repeat nor continue another one."""
    kept: dict[tuple[int, ...], Spelling] = {}
    for spelling in found:
        kept.setdefault(spelling.token_ids, spelling)
    starts = set(kept)
    return [
        spelling
        for ids, spelling in kept.items()
        if not any(ids[:length] in starts for length in range(1, len(ids)))
    ]
