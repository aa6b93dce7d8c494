r"""A token as the tests of its properties see it.

Three kinds of token have no text that a test could be right about: rows without a token, special
tokens, and sentencepiece's bytes where the vocabulary has the character itself (`<0x41>` is hardly
ever the letter A; but `<0x0A>` is often the only line end). Where a token ends within a character,
the bytes of that character are no text.
"""

import re
from collections.abc import Sequence
from typing import Final, NamedTuple

from neurondb.contracts.model import Token

NO_CHARACTER: Final = "\uffff"
"""Stands for each byte that is no whole character; Unicode promises that no text has it."""

_ESCAPED_BYTE: Final = re.compile(r"\\x[0-9a-f]{2}")
_BYTE_PIECE: Final = re.compile(r"<0x[0-9A-Fa-f]{2}>")
_SPECIAL: Final = re.compile(
    r"""<\|.*\|> | <｜.*｜> | \|\|\|[A-Z_]+\|\|\|
    | </?(?:s|unk|pad|bos|eos|cls|sep|mask|endoftext|think|unused\d+)>
    | </?[A-Za-z0-9]+(?:_[A-Za-z0-9]+)+>           # no tag of HTML has an underscore
    | \[/?(?:UNK|PAD|BOS|EOS|CLS|SEP|MASK|INST|IMG|[A-Z]+(?:_[A-Z]+)+|control_\d+)\]""",
    re.VERBOSE,
)


class Reading(NamedTuple):
    """A token to be tested; `text` is empty where there is none to test.

    Attributes:
        kind: `text`, or `special`, `bytes`, `none`.
        text: the token, every byte that is no character as `NO_CHARACTER`.
        bare: the text without spaces around it.
        word: the bare text in lower case where it may be a word, else empty.
    """

    kind: str
    text: str
    bare: str
    word: str


def read_tokens(tokens: Sequence[Token]) -> list[Reading]:
    """Return the reading of every token of a vocabulary."""
    characters = {text for text, piece in tokens if len(text) == 1 and not _is_byte(text, piece)}
    return [_reading(token, characters) for token in tokens]


def _is_byte(text: str, piece: str | None) -> bool:
    return piece is not None and text != piece and _BYTE_PIECE.fullmatch(piece) is not None


def _reading(token: Token, characters: set[str]) -> Reading:
    text, piece = token
    if piece is None:
        return Reading("none", "", "", "")
    if text == piece and _SPECIAL.fullmatch(text):
        return Reading("special", "", "", "")
    if _is_byte(text, piece) and not _only_spelling(text, characters):
        return Reading("bytes", "", "", "")
    kind = "text"
    # A vocabulary of code has the four characters `\xe2` too: then its spelling has them as well.
    if "\\x" in text and len(_ESCAPED_BYTE.findall(text)) > len(_ESCAPED_BYTE.findall(piece)):
        kind, text = "bytes", _ESCAPED_BYTE.sub(NO_CHARACTER, text)
    bare = text.strip(" ")
    return Reading(kind, text, bare, _word(text, bare))


def _only_spelling(text: str, characters: set[str]) -> bool:
    return text not in characters and (text in "\t\n\r" or (len(text) == 1 and text.isprintable()))


def _word(text: str, bare: str) -> str:
    # `he` without a space is mostly the end of another word, `US` no pronoun.
    starts_word = text[:1] == " " or bare[:1].isupper()
    all_capitals = len(bare) > 1 and bare.isupper()
    return bare.casefold().replace("’", "'") if starts_word and not all_capitals else ""
