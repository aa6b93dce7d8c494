"""A text as a model read it: its tokens, a stretch at a time."""

import struct
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection, func, select

from neurondb.errors import UnknownNameError
from neurondb.reading.excerpts import Place, excerpts
from neurondb.reading.models import Model
from neurondb.schema import tables

STRETCH: Final = 512
"""Tokens shown at a time."""
BYTES_AN_ID: Final = 4
CHARACTERS: Final = 20_000
"""What is shown of a text whose tokens are not stored."""


@dataclass(frozen=True)
class Text:
    """A text of a dataset.

    Attributes:
        ordinal: its place there, from 0.
        label: the part of the dataset that it belongs to.
        characters: its length.
        previous: text_id of the text before it, None of the first.
    """

    text_id: int
    dataset_id: int
    dataset: str
    n_texts: int
    ordinal: int
    label: str | None
    characters: int
    previous: int | None
    next: int | None


@dataclass(frozen=True)
class Stretch:
    """Tokens of a text from position `first` on, of `of` in all.

    What each token adds to the text, as in an excerpt; together they are the text.
    """

    first: int
    of: int
    tokens: tuple[str, ...]
    token_ids: tuple[int, ...]


def find_text(connection: Connection, text_id: int) -> Text:
    """Return a text.

    Raises:
        UnknownNameError: when there is no such text.
    """
    t, d, names = tables.texts.c, tables.dataset_rows.c, tables.labels.c
    row = connection.execute(
        select(
            *(t.text_id, t.dataset_id, d.name, d.n_texts, t.ordinal, names.label),
            func.length(t.text).label("characters"),
        )
        .join_from(tables.texts, tables.dataset_rows, d.dataset_id == t.dataset_id)
        .outerjoin(tables.labels, names.label_id == t.label_id)
        .where(t.text_id == text_id)
    ).first()
    if row is None:
        raise UnknownNameError(f"this database has no text {text_id}")
    beside = connection.execute(
        select(t.ordinal, t.text_id)
        .where(t.dataset_id == row.dataset_id)
        .where(t.ordinal.in_((row.ordinal - 1, row.ordinal + 1)))
    )
    near = {one.ordinal: one.text_id for one in beside}
    return Text(*row, near.get(row.ordinal - 1), near.get(row.ordinal + 1))


def start_of(connection: Connection, text_id: int) -> str:
    """Return the first `CHARACTERS` of a text."""
    t = tables.texts.c
    start = select(func.substr(t.text, 1, CHARACTERS)).where(t.text_id == text_id)
    return str(connection.execute(start).scalar_one())


def readers(connection: Connection, text: Text) -> tuple[str, ...]:
    """Return the names of the models that read the text's dataset, in order of their ids."""
    z, m = tables.tokenizations.c, tables.models.c
    rows = connection.execute(
        select(m.name)
        .join_from(tables.tokenizations, tables.models, m.model_id == z.model_id)
        .where(z.dataset_id == text.dataset_id)
        .order_by(m.model_id)
    )
    return tuple(rows.scalars())


def stretch(connection: Connection, model: Model, text_id: int, position: int) -> Stretch | None:
    """Return the stretch that has a position; None where the text's tokens are not stored.

    Positions beyond the last token mean the last one.
    """
    t = tables.text_token_ids.c
    packed = connection.execute(
        select(t.token_ids).where((t.model_id == model.model_id) & (t.text_id == text_id))
    ).scalar()
    if not packed:
        return None
    n_tokens = len(packed) // BYTES_AN_ID
    first = min(position, n_tokens - 1) // STRETCH * STRETCH
    ids = struct.unpack(f"<{n_tokens}I", packed)[first : first + STRETCH]
    # An excerpt around the middle is the stretch, cut characters put together.
    middle = Place(text_id, first + len(ids) // 2)
    (whole,) = excerpts(connection, model, [middle], STRETCH // 2)
    begin = first - (whole.first or 0)
    return Stretch(first, n_tokens, whole.tokens[begin : begin + len(ids)], ids)
