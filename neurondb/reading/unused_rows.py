"""Rows of the embedding that no token has: what a model's stored vocabulary counts (METHODS §4)."""

import json
from typing import Final, NamedTuple

from sqlalchemy import Connection, func, select

from neurondb.schema import tables

VOCABULARY_STEPS: Final = ("tokens", "vocab", "properties")
"""Steps whose numbers are over the vocabulary."""

SETTING: Final = "unused_rows"
"""In the settings of a step: how many rows it left out. Absent where it counted every row."""


class VocabularyStep(NamedTuple):
    """A stored step, and how many rows it left out."""

    stage: str
    layer: int
    n_unused: int

    @property
    def name(self) -> str:
        """What messages call it."""
        return self.stage if self.layer < 0 else f"{self.stage} of layer {self.layer}"


def other_steps(connection: Connection, model_id: int, n_unused: int) -> list[VocabularyStep]:
    """Return the steps that left out another number of rows than `n_unused`."""
    s = tables.ingest_steps.c
    rows = connection.execute(
        select(s.stage, s.layer, s.settings)
        .where(s.model_id == model_id, s.stage.in_(VOCABULARY_STEPS))
        .order_by(s.step_id)
    )
    steps = (VocabularyStep(r.stage, r.layer, json.loads(r.settings).get(SETTING, 0)) for r in rows)
    return [step for step in steps if step.n_unused != n_unused]


def unused_rows(connection: Connection, model_id: int) -> int:
    """Return how many rows of a model are no token's, as far as the database knows.

    A vocabulary of an earlier version has them among its tokens, without a spelling; where no
    token has one, there was no tokenizer, and every row counts.
    """
    m, t = tables.models.c, tables.tokens.c
    n = connection.execute(select(m.n_unused_rows).where(m.model_id == model_id)).scalar_one()
    if n is not None:
        return int(n)
    row = connection.execute(
        select(func.count(), func.count(t.piece)).where(t.model_id == model_id)
    ).one()
    return int(row[0] - row[1]) if row[1] else 0


def outdated_steps(connection: Connection, model_id: int) -> list[VocabularyStep]:
    """Return the steps that counted rows which no token has, or left out others."""
    return other_steps(connection, model_id, unused_rows(connection, model_id))
