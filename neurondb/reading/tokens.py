"""The tokens of a model's vocabulary: their texts, spellings, neighbours and properties."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection, func, select

from neurondb.reading.models import Model
from neurondb.schema import tables

LONGEST_WORD: Final = 60
"""Texts of more characters are no words that other spellings are looked for."""


@dataclass(frozen=True)
class NamedToken:
    r"""A token of a vocabulary.

    Attributes:
        token: its text; bytes that are no character stand as `\xNN`.
        piece: its spelling in the tokenizer's vocabulary; None where no tokenizer was read.
    """

    token_id: int
    token: str
    piece: str | None = None


def find_token(connection: Connection, model: Model, token_id: int) -> NamedToken | None:
    """Return the token with an id; None where the vocabulary of the model has none."""
    t = tables.tokens.c
    row = connection.execute(
        select(t.token_id, t.token, t.piece).where(
            (t.model_id == model.model_id) & (t.token_id == token_id)
        )
    ).first()
    return None if row is None else NamedToken(*row)


def find_next_token(connection: Connection, model: Model, token_id: int, step: int) -> int | None:
    """Return the id of the token after (`step` 1) or before (`step` −1) another one.

    Ids need not follow one another, for some rows of the embedding belong to no token. The result
    is None where there is no further token.
    """
    t = tables.tokens.c
    in_direction = t.token_id > token_id if step > 0 else t.token_id < token_id
    nearest = func.min(t.token_id) if step > 0 else func.max(t.token_id)
    return connection.execute(
        select(nearest).where(t.model_id == model.model_id, in_direction)
    ).scalar()


def list_spellings(
    connection: Connection, model: Model, token: NamedToken
) -> tuple[NamedToken, ...]:
    """Return the other tokens that are the same word: in other case, with a space, in plural."""
    forms = _list_forms(token.token)
    t = tables.tokens.c
    rows = connection.execute(
        select(t.token_id, t.token, t.piece)
        .where(t.token.in_(forms) & (t.model_id == model.model_id))
        .where(t.token_id != token.token_id)
        .order_by(t.token_id)
    )
    return tuple(NamedToken(*row) for row in rows)


def _list_forms(text: str) -> Sequence[str]:
    stripped = text.strip()
    if len(stripped) > LONGEST_WORD:
        return (text,)
    stems = (
        [stripped, stripped.removesuffix("s")]
        if stripped.lower().endswith("s")
        else [stripped, stripped + "s"]
    )
    cased = [
        form for stem in stems for form in (stem, stem.lower(), stem.capitalize(), stem.upper())
    ]
    forms = [form for word in cased if word for form in (word, f" {word}")]
    return tuple(dict.fromkeys([text, *forms]))


def read_token_texts(
    connection: Connection, model: Model, token_ids: Iterable[int]
) -> dict[int, str]:
    """Return token id → text; a token whose text is not stored is called `#` and its id."""
    ids = sorted({int(token_id) for token_id in token_ids})
    t = tables.tokens.c
    rows = connection.execute(
        select(t.token_id, t.token).where(t.model_id == model.model_id, t.token_id.in_(ids))
    )
    texts = {row.token_id: row.token for row in rows}
    return {token_id: texts.get(token_id, f"#{token_id}") for token_id in ids}


@dataclass(frozen=True)
class TokenProperty:
    """A property that a token has, such as `is a year`."""

    name: str
    description: str


def list_token_properties(
    connection: Connection, model_id: int, token_id: int
) -> tuple[TokenProperty, ...]:
    """Return the properties of a token, sorted by name."""
    r, p = tables.token_property_rows.c, tables.properties.c
    has_it = (r.model_id == model_id) & (r.property_id == p.property_id) & (r.token_id == token_id)
    rows = connection.execute(
        # It goes from the few properties to the clustered key, for there is no index by token.
        select(p.name, p.description)
        .where(select(r.token_id).where(has_it).exists())
        .order_by(p.name)
    )
    return tuple(TokenProperty(*row) for row in rows)
