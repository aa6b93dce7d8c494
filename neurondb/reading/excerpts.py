"""The text around one token, put together from the tokens that the model saw.

A token may be a part of a character, so texts are joined as bytes and decoded afterwards.
"""

import codecs
import re
import struct
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from sqlalchemy import Connection, func, select

from neurondb.reading.models import Model
from neurondb.schema import tables

FALLBACK_CHARACTERS: Final = 400
"""How much is shown of a text whose tokens are not stored."""


_BYTE: Final = re.compile(r"\\x([0-9A-Fa-f]{2})")

_CONTINUATION: Final = bytes(range(0x80, 0xC0))
"""The bytes of UTF-8 that continue a character."""


@dataclass(frozen=True)
class Excerpt:
    r"""The text before, at and after a peak, as it is: it may hold any character.

    Bytes that do not make up a character stand as `\xNN`. Where the text's tokens are not stored
    the excerpt is the start of the text, in `after`, and `peak` is None.

    Attributes:
        starts: whether the excerpt begins where the text begins.
        ends: whether it ends where the text, as the model saw it, ends.
        first: position of the first token; None where the tokens are not stored.
        tokens: what each token adds to the text; joined they are `before`, `peak` and `after`. A
            token that only begins a character adds nothing.
    """

    before: str
    peak: str | None
    after: str
    starts: bool
    ends: bool
    first: int | None = None
    tokens: tuple[str, ...] = ()


class Place(NamedTuple):
    """A token position of a text."""

    text_id: int
    position: int


class Window(NamedTuple):
    """The token ids around a peak.

    Attributes:
        ids: consecutive token ids of the text.
        first: position of the first of them in the text.
        peak: index of the peak in `ids`.
        starts: whether they reach the beginning of the text.
        ends: whether they reach its end.
    """

    ids: Sequence[int]
    first: int
    peak: int
    starts: bool
    ends: bool


def read_excerpts(
    connection: Connection, model: Model, places: Sequence[Place], radius: int
) -> list[Excerpt]:
    """Return an excerpt of `radius` tokens on either side of each place, in the same order."""
    ids = read_token_ids(connection, model, {place.text_id for place in places})
    windows = [_cut_window(ids.get(text_id, ()), position, radius) for text_id, position in places]
    bytes_of = _spell_tokens(
        connection, model, {i for window in windows if window for i in window.ids}
    )
    without_tokens = {
        place.text_id for place, window in zip(places, windows, strict=True) if not window
    }
    starts = _read_text_starts(connection, without_tokens)
    return [
        _join_tokens(window, bytes_of) if window else starts[place.text_id]
        for place, window in zip(places, windows, strict=True)
    ]


def _cut_window(ids: Sequence[int], position: int, radius: int) -> Window | None:
    if not 0 <= position < len(ids):
        return None
    first, end = max(0, position - radius), position + radius + 1
    return Window(ids[first:end], first, position - first, first == 0, end >= len(ids))


def read_token_ids(
    connection: Connection, model: Model, texts: Collection[int]
) -> dict[int, tuple[int, ...]]:
    """Return text id → the token ids that the model saw of it, of those texts that are stored."""
    t = tables.text_token_ids.c
    rows = connection.execute(
        select(t.text_id, t.token_ids).where(
            (t.model_id == model.model_id) & t.text_id.in_(sorted(texts))
        )
    )
    return {
        row.text_id: struct.unpack(f"<{len(row.token_ids) // 4}I", row.token_ids) for row in rows
    }


def _spell_tokens(connection: Connection, model: Model, ids: Collection[int]) -> dict[int, bytes]:
    t = tables.tokens.c
    rows = connection.execute(
        select(t.token_id, t.token, t.piece).where(
            (t.model_id == model.model_id) & t.token_id.in_(sorted(ids))
        )
    )
    unknown = {i: f"⟨{i}⟩".encode() for i in ids}
    return unknown | {row.token_id: encode_token(row.token, row.piece) for row in rows}


def encode_token(token: str, piece: str | None) -> bytes:
    r"""Return the bytes that a token stands for: each `\xNN` of its text is one byte.

    Args:
        token: its text as the database stores it.
        piece: its spelling in the tokenizer's vocabulary. Where that equals the text, `\xNN` is
            not a byte but those four characters.
    """
    if token == piece:
        return token.encode()
    text_and_digits = _BYTE.split(token)
    return b"".join(
        bytes.fromhex(part) if i % 2 else part.encode() for i, part in enumerate(text_and_digits)
    )


def _join_tokens(window: Window, bytes_of: dict[int, bytes]) -> Excerpt:
    parts = [bytes_of[i] for i in window.ids]
    joined = b"".join(parts)
    start = sum(map(len, parts[: window.peak]))
    start, end = _widen_to_characters(joined, start, start + len(parts[window.peak]))
    # A window may begin within a character; the rest of that character is left out.
    cut = 0 if window.starts else start - len(joined[:start].lstrip(_CONTINUATION))
    stretches = (
        _decode_stretch(parts, cut, start, final=True),
        _decode_stretch(parts, start, end, final=True),
        _decode_stretch(parts, end, len(joined), final=window.ends),
    )
    before, peak, after = map("".join, stretches)
    return Excerpt(
        before,
        peak,
        after,
        window.starts,
        window.ends,
        window.first,
        tuple(map("".join, zip(*stretches, strict=True))),
    )


def _decode_stretch(parts: Sequence[bytes], start: int, end: int, *, final: bool) -> list[str]:
    r"""Return what each part adds to the text that the bytes from `start` to `end` spell.

    A character that is spread over several parts is added by the last of them; bytes that are no
    character stand as `\xNN`. `final` says whether the bytes end where a text ends.
    """
    decoder = codecs.getincrementaldecoder("utf-8")("backslashreplace")
    texts, offset = [], 0
    for part in parts:
        first, last = max(start - offset, 0), max(end - offset, 0)
        offset += len(part)
        is_last = first < last and offset >= end
        texts.append(decoder.decode(part[first:last], final=final and is_last))
    return texts


def _widen_to_characters(joined: bytes, start: int, end: int) -> tuple[int, int]:
    """Widen a range of bytes to whole characters, where its bytes do make up characters."""
    first, last = start, end
    while 0 < first < len(joined) and joined[first] in _CONTINUATION:
        first -= 1
    while last < len(joined) and joined[last] in _CONTINUATION:
        last += 1
    try:
        joined[first:last].decode()
    except UnicodeDecodeError:
        return start, end
    return first, last


def _read_text_starts(connection: Connection, texts: Collection[int]) -> dict[int, Excerpt]:
    if not texts:
        return {}
    t = tables.texts.c
    rows = connection.execute(
        select(
            t.text_id,
            func.substr(t.text, 1, FALLBACK_CHARACTERS).label("start"),
            func.length(t.text).label("length"),
        ).where(t.text_id.in_(sorted(texts)))
    )
    excerpts = {
        row.text_id: Excerpt("", None, row.start, True, row.length <= FALLBACK_CHARACTERS)
        for row in rows
    }
    return dict.fromkeys(texts, Excerpt("", None, "", True, True)) | excerpts
