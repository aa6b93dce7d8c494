"""The tokens of a model as descriptions need them: their spelling, their kin, their properties."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Bool, Float, Int
from sqlalchemy import Connection, select

from neurondb.formatting.text import format_token
from neurondb.reading.arrays import read_numbers
from neurondb.reading.models import Model
from neurondb.schema import tables

TOKEN_CELLS: Final = 14
"""Columns of the longest token in a description."""


@dataclass(frozen=True)
class TokenKin:
    """The vocabulary of a model.

    Attributes:
        spelled: token id → how a description writes it.
        group: token id → number of its group: tokens that are the same word but for case, a space
            before it or a plural s.
        names: the properties of tokens.
        members: whether a token has a property.
    """

    spelled: tuple[str, ...]
    group: Int[np.ndarray, " tokens"]
    names: tuple[str, ...]
    members: Bool[np.ndarray, "tokens properties"]

    def choose_distinct(self, token_ids: list[int], most: int) -> tuple[str, ...]:
        """Return the first tokens of a list as they are written, one of each group."""
        seen: set[int] = set()
        chosen: list[str] = []
        for token_id in token_ids:
            group = int(self.group[token_id])
            if group not in seen and len(chosen) < most:
                seen.add(group)
                chosen.append(self.spelled[token_id])
        return tuple(chosen)


def read_vocabulary(connection: Connection, model: Model) -> TokenKin:
    """Return the tokens of a model; a model without a vocabulary has tokens `#7` by their ids."""
    t = tables.tokens.c
    spelled = [f"#{token_id}" for token_id in range(model.d_vocab)]
    keys = list(spelled)
    rows = connection.execute(select(t.token_id, t.token).where(t.model_id == model.model_id))
    for token_id, token in rows:
        spelled[token_id] = format_token(token, TOKEN_CELLS)
        keys[token_id] = _find_stem(token)
    numbers: dict[str, int] = {}
    group = np.array([numbers.setdefault(key, len(numbers)) for key in keys], dtype=np.int64)
    names, members = _read_properties(connection, model)
    return TokenKin(tuple(spelled), group, names, members)


def _find_stem(token: str) -> str:
    """Return what a token shares with others of its word."""
    word = token.strip().casefold()
    if not word.isalpha():
        return word or token
    return word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith("ss") else word


def _read_properties(
    connection: Connection, model: Model
) -> tuple[tuple[str, ...], Bool[np.ndarray, "tokens properties"]]:
    r, p = tables.token_property_rows.c, tables.properties.c
    of_model = r.model_id == model.model_id
    known = select(r.property_id).where(of_model).distinct()
    rows = connection.execute(
        select(p.property_id, p.name).where(p.property_id.in_(known)).order_by(p.property_id)
    ).all()
    members = np.zeros((model.d_vocab, len(rows)), dtype=bool)
    if rows:
        property_id, token_id = read_numbers(
            connection, select(r.property_id, r.token_id).where(of_model)
        ).astype(np.int64)
        column = np.searchsorted([row.property_id for row in rows], property_id)
        members[token_id, column] = True
    return tuple(row.name for row in rows), members


def count_shares(
    tokens: Int[np.ndarray, " positions"], kin: TokenKin
) -> tuple[Float[np.ndarray, " groups"], Float[np.ndarray, " properties"]]:
    """Return how often a random token of a dataset is in each group, and has each property."""
    n = max(len(tokens), 1)
    of_token = np.bincount(tokens, minlength=len(kin.group)) / n
    of_group = np.bincount(kin.group, weights=of_token)
    return of_group, of_token @ kin.members
