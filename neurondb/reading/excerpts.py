"""A stretch of a text around one token, put together from the tokens that the model saw."""

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
_BYTE: Final = re.compile(r"\\x([0-9A-Fa-f]{2})")
_CONTINUATION: Final = bytes(range(0x80, 0xC0))


@dataclass(frozen=True)
class Excerpt:
    r"""Text before, at and after the peak, raw: it may hold any character.

    Bytes that do not make up a character stand as `\xNN`. Where the text's tokens are not stored
    the excerpt is the text's start, in `after`, and `peak` is None.

    Attributes:
        starts: whether the excerpt begins where the text begins.
        ends: whether it ends where the text, as the model saw it, ends.
        first: position of the first token; None where the tokens are not stored.
        tokens: what each token adds to the text; joined they are before, peak and after. A token
            that only begins a character adds nothing.
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
    """The token ids around a peak, and whether they reach the text's ends.

    `first` is the position of the first of them in the text, `peak` that of the peak in `ids`.
    """

    ids: Sequence[int]
    first: int
    peak: int
    starts: bool
    ends: bool


def excerpts(
    connection: Connection, model: Model, places: Sequence[Place], radius: int
) -> list[Excerpt]:
    """Return the excerpt of `radius` tokens either side of each place, in the same order."""
    ids = _token_ids(connection, model, {place.text_id for place in places})
    windows = [_window(ids.get(text_id, ()), position, radius) for text_id, position in places]
    spelled = _spelled(connection, model, {i for window in windows if window for i in window.ids})
    bare = {place.text_id for place, window in zip(places, windows, strict=True) if not window}
    starts = _text_starts(connection, bare)
    return [
        _joined(window, spelled) if window else starts[place.text_id]
        for place, window in zip(places, windows, strict=True)
    ]


def _window(ids: Sequence[int], position: int, radius: int) -> Window | None:
    if not 0 <= position < len(ids):
        return None
    first, end = max(0, position - radius), position + radius + 1
    return Window(ids[first:end], first, position - first, first == 0, end >= len(ids))


def _token_ids(
    connection: Connection, model: Model, texts: Collection[int]
) -> dict[int, tuple[int, ...]]:
    t = tables.text_token_ids.c
    rows = connection.execute(
        select(t.text_id, t.token_ids).where(
            (t.model_id == model.model_id) & t.text_id.in_(sorted(texts))
        )
    )
    return {
        row.text_id: struct.unpack(f"<{len(row.token_ids) // 4}I", row.token_ids) for row in rows
    }


def _spelled(connection: Connection, model: Model, ids: Collection[int]) -> dict[int, bytes]:
    t = tables.tokens.c
    rows = connection.execute(
        select(t.token_id, t.token, t.piece).where(
            (t.model_id == model.model_id) & t.token_id.in_(sorted(ids))
        )
    )
    unknown = {i: f"⟨{i}⟩".encode() for i in ids}
    return unknown | {row.token_id: token_bytes(row.token, row.piece) for row in rows}


def token_bytes(token: str, piece: str | None) -> bytes:
    r"""Return the bytes that a token stands for: each `\xNN` of its text is one.

    A token whose piece is spelled the same has the four characters in earnest.
    """
    if token == piece:
        return token.encode()
    text_and_digits = _BYTE.split(token)
    return b"".join(
        bytes.fromhex(part) if i % 2 else part.encode() for i, part in enumerate(text_and_digits)
    )


def _joined(window: Window, spelled: dict[int, bytes]) -> Excerpt:
    parts = [spelled[i] for i in window.ids]
    whole = b"".join(parts)
    start = sum(map(len, parts[: window.peak]))
    start, end = _whole_characters(whole, start, start + len(parts[window.peak]))
    # A window may begin or end amid a character; that piece of it says nothing.
    cut = 0 if window.starts else start - len(whole[:start].lstrip(_CONTINUATION))
    stretches = (
        _decoded(parts, cut, start, final=True),
        _decoded(parts, start, end, final=True),
        _decoded(parts, end, len(whole), final=window.ends),
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


def _decoded(parts: Sequence[bytes], start: int, end: int, *, final: bool) -> list[str]:
    r"""Return what each part adds to the text of the bytes from `start` to `end` of all parts.

    A character spread over parts is its last part's; what is no character stands as `\xNN`.
    """
    decoder = codecs.getincrementaldecoder("utf-8")("backslashreplace")
    texts, offset = [], 0
    for part in parts:
        first, last = max(start - offset, 0), max(end - offset, 0)
        offset += len(part)
        is_last = first < last and offset >= end
        texts.append(decoder.decode(part[first:last], final=final and is_last))
    return texts


def _whole_characters(whole: bytes, start: int, end: int) -> tuple[int, int]:
    """Widen a stretch to the characters it is part of, where the bytes do make up characters."""
    first, last = start, end
    while 0 < first < len(whole) and whole[first] in _CONTINUATION:
        first -= 1
    while last < len(whole) and whole[last] in _CONTINUATION:
        last += 1
    try:
        whole[first:last].decode()
    except UnicodeDecodeError:
        return start, end
    return first, last


def _text_starts(connection: Connection, texts: Collection[int]) -> dict[int, Excerpt]:
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
    found = {
        row.text_id: Excerpt("", None, row.start, True, row.length <= FALLBACK_CHARACTERS)
        for row in rows
    }
    return dict.fromkeys(texts, Excerpt("", None, "", True, True)) | found
