"""Concepts in find expressions: the neurons that are one, and why none is found.

Either it was not looked for, or no candidate does enough.
"""

import shlex
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from sqlalchemy import Connection, func, select

from neurondb.find.terms import IsConcept
from neurondb.formatting.text import keep_start
from neurondb.reading.models import Model
from neurondb.schema import tables
from neurondb.sql.running import Value

HIGHEST_P: Final = 0.05
"""The p-value up to which a neuron is called a concept's."""
_BY_CONCEPT: Final = """
    SELECT c.neuron_id
    FROM concept_runs r
    JOIN concept_candidates c ON c.run_id = r.run_id AND NOT c.random
    WHERE r.concept = {concept} AND {fits}"""

_NAMED: Final = 5
"""Stored concepts that a line names."""


def select_concept_neurons(term: IsConcept, bind: Callable[[Value], str]) -> str:
    """Return the SELECT of the neurons that are a concept, or of a run's first candidates."""
    fits = f"(c.stronger + 1.0) / (r.n_random + 1) <= {HIGHEST_P} AND c.change > 0"
    concept = bind(term.concept)
    fits = fits if term.within is None else f"c.rank < {bind(term.within)}"
    return _BY_CONCEPT.format(concept=concept, fits=fits)


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
    least = (best + 1) / (n_random + 1)
    return (
        f"{model.name} has runs of {keep_start(concept, 30)!r}; at the best candidate {best} of "
        f"{n_random} random neurons do as much, so that no p is below {least:.2g}; "
        "`concept=… @5` takes the first five whatever their p"
    )
