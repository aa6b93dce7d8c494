"""Why no neuron is found for a concept: it was not looked for, or no candidate does enough."""

import shlex
from collections.abc import Iterator, Sequence
from typing import Final

from sqlalchemy import Connection, func, select

from neurondb.formatting.text import keep_start
from neurondb.reading.models import Model
from neurondb.schema import tables

_NAMED: Final = 5
"""Stored concepts that a line names."""


def explain_missing_concepts(
    connection: Connection, concepts: Sequence[str], models: Sequence[Model], *, needed: bool
) -> Iterator[str]:
    """Yield a line for each concept that no run of a model is of.

    Args:
        connection: to the database.
        concepts: those asked for.
        models: those meant.
        needed: whether any run at all is needed.
    """
    r = tables.concept_runs.c
    for model in models:
        stored = connection.scalars(
            select(r.concept).where(r.model_id == model.model_id).distinct().order_by(r.concept)
        ).all()
        for concept in dict.fromkeys(concepts):
            if concept not in stored:
                yield _describe_missing(model, concept, stored)
            else:
                yield _describe_stored(connection, model, concept)
        if needed and not stored:
            yield _describe_missing(model, "CONCEPT", stored)


def _describe_missing(model: Model, concept: str, stored: Sequence[str]) -> str:
    shown = ", ".join(repr(keep_start(text, 30)) for text in stored[:_NAMED])
    more = ", …" if len(stored) > _NAMED else ""
    there = f"; stored are {shown}{more}" if stored else ""
    command = f"neurondb concept {shlex.quote(model.name)} {shlex.quote(concept)}"
    return f"no such concept was looked for in {model.name}: run `{command}`{there}"


def _describe_stored(connection: Connection, model: Model, concept: str) -> str:
    r, c = tables.concept_runs.c, tables.concept_candidates.c
    n_random = connection.scalar(
        select(func.max(r.n_random)).where(r.model_id == model.model_id, r.concept == concept)
    )
    best = connection.scalar(
        select(func.min(c.stronger))
        .join_from(tables.concept_candidates, tables.concept_runs, r.run_id == c.run_id)
        .where(r.model_id == model.model_id, r.concept == concept, ~c.random)
    )
    return (
        f"{model.name} has runs of {keep_start(concept, 30)!r}, whose best candidate has {best} of "
        f"{n_random} random neurons beside it; write concept=… @5 for the first five"
    )
