"""Why an answer is empty: a stage that was not ingested, a place that no model has."""

import shlex
from collections.abc import Iterator, Sequence
from typing import Final

from sqlalchemy import Connection, func, select

from neurondb.asking.coverage import Part, covered, named_models
from neurondb.asking.effects import missing_effects
from neurondb.asking.gates import missing_gates, terms_but_dead, without_gates
from neurondb.asking.kindred import kindred_classes
from neurondb.asking.missing_stages import STAGES, dataset_named, has_rows, missing_in
from neurondb.asking.terms import (
    Between,
    Compare,
    Expression,
    HasEffect,
    HasToken,
    Missing,
    OnDataset,
    OneOf,
    Place,
)
from neurondb.asking.tree import terms
from neurondb.asking.vocabulary import ACTIVATION_COLUMNS, PLACES, VOCABULARY_COLUMNS
from neurondb.reading.models import MODEL_COLUMNS, Model
from neurondb.schema.tables import (
    ablation_runs,
    comparisons,
    models,
    properties,
    property_effects,
    token_property_rows,
)

COLUMNS: Final = {"vocab": VOCABULARY_COLUMNS, "activations": ACTIVATION_COLUMNS}
LISTED: Final = {"vocab": HasToken, "properties": HasEffect, "activations": OnDataset}
"""Stage → the columns, and the kind of term, that a `find` expression needs it for."""
COMPARISON: Final = "comparison"
FEWEST: Final = 5
"""Tokens that a property must have for effects on it to be stored."""
EFFECTS: Final = "effects"
GATES: Final = "gates"
ABLATIONS: Final = "ablations"
NEEDS: Final = (*STAGES, COMPARISON, EFFECTS, GATES, ABLATIONS)
"""What a named query may say that it needs."""
NO_NEURONS: Final = frozenset((COMPARISON, EFFECTS, ABLATIONS))
"""Needs of queries that are not about what a stage found of each neuron."""
_NO_MODELS: Final = "this database has no models; add one with `neurondb ingest MODEL`"


def reasons(
    connection: Connection,
    expression: Expression,
    needs: Sequence[str] = (),
    values: Sequence[str] = (),
) -> list[str]:
    """Return a line for everything that kept the expression from fitting any neuron.

    Of models that the expression rules out, by name or by place, nothing is said. `needs` are
    stages that are needed whatever the expression says, `values` those of a query's parameters.
    """
    every = _models(connection)
    named = named_models(expression, every)
    if not named:
        return [] if every else [_NO_MODELS]
    parts = covered(expression, named)
    if not parts:
        return [_places(named)]
    asked = [part.model for part in parts]
    found = list(terms(expression))
    needs = ("weights", *needs) if _is_placed(found) and not NO_NEURONS & set(needs) else needs
    unknown = _unknown(connection, expression, parts, found, needs)
    gates = _gates(expression, asked, needs, values)
    rare = _too_rare(connection, found, asked)
    akin = kindred_classes(connection, found, asked)
    return [*unknown, *gates, *rare, *akin]


def unknown(connection: Connection, expression: Expression, columns: Sequence[str]) -> list[str]:
    """Return why columns may be NULL of all neurons that an expression fits."""
    parts = covered(expression, _models(connection))
    if not parts:
        return []
    found: list[Expression] = [Compare(column, ">", 0) for column in columns]
    lines = _unknown(connection, expression, parts, found, ())
    return [*lines, *missing_gates(found, [part.model for part in parts])]


def _unknown(
    connection: Connection,
    expression: Expression,
    parts: Sequence[Part],
    found: Sequence[Expression],
    needs: Sequence[str],
) -> Iterator[str]:
    """Yield a line for every stage or run that terms need and that models lack."""
    dataset = dataset_named(connection, expression)
    for stage in STAGES:
        if stage in needs or _needed(stage, found):
            line = missing_in(connection, stage, parts, dataset)
            if line:
                yield line
    measured = [Missing("ablated_loss")] if EFFECTS in needs else []
    asked = [part.model for part in parts]
    yield from missing_effects(connection, (*found, *measured), asked)
    if ABLATIONS in needs:
        yield from _unablated(connection, asked)


def _gates(
    expression: Expression, asked: Sequence[Model], needs: Sequence[str], values: Sequence[str]
) -> Iterator[str]:
    found = list(terms_but_dead(expression))
    yield from missing_gates(found, asked, values)
    if GATES in needs:
        yield from without_gates(asked)


def _unablated(connection: Connection, asked: Sequence[Model]) -> Iterator[str]:
    r = ablation_runs.c
    for model in asked:
        runs = select(r.run_id).where(r.model_id == model.model_id, r.kind == "together")
        if connection.execute(runs.limit(1)).first() is None:
            command = f"neurondb ablate {shlex.quote(model.name)} --where EXPR --dataset TEXTS"
            yield f"no neurons of {model.name} were ablated together: run `{command}`"


def uncompared(connection: Connection, before: str | None, after: str | None) -> list[str]:
    """Return a line that says that two models, in this order, were not compared, if so."""
    a, b = models.alias(), models.alias()
    rows = select(comparisons.c.comparison_id).join_from(
        comparisons, a, a.c.model_id == comparisons.c.model_a
    )
    rows = rows.join(b, b.c.model_id == comparisons.c.model_b)
    for model, name in ((a, before), (b, after)):
        rows = rows if name is None else rows.where(model.c.name == name)
    if connection.execute(rows.limit(1)).first() is not None:
        return []
    names = f"{before or 'A'} {after or 'B'}"
    return [f"there is no such comparison: run `neurondb compare {names}`"]


def _models(connection: Connection) -> list[Model]:
    rows = connection.execute(select(*MODEL_COLUMNS).order_by(models.c.name))
    return [Model(*row) for row in rows]


def _too_rare(
    connection: Connection, found: Sequence[Expression], asked: Sequence[Model]
) -> Iterator[str]:
    """Yield a line for each property that too few tokens have for effects to be stored."""
    p, r = properties.c, token_property_rows.c
    for name in dict.fromkeys(term.property for term in found if isinstance(term, HasEffect)):
        counted = select(func.count(r.token_id)).join(properties, p.property_id == r.property_id)
        for model in asked:
            of_model = counted.where(p.name == name, r.model_id == model.model_id)
            n = connection.execute(of_model).scalar() or 0
            if n < FEWEST and has_rows(connection, property_effects, model):
                said = f"{n or 'none'} of its tokens {'has' if n == 1 else 'have'}"
                yield f"{model.name} knows no effects on {name!r}: {said} the property"


def _is_placed(found: Sequence[Expression]) -> bool:
    """Tell whether a question is about certain models or places, which may be missing."""
    columns = ("model", *PLACES)
    return any(
        isinstance(term, Place)
        or (isinstance(term, Compare | Between | OneOf) and term.column in columns)
        for term in found
    )


def _needed(stage: str, found: Sequence[Expression]) -> bool:
    listed = LISTED.get(stage, ())
    if any(isinstance(term, listed) for term in found):
        return True
    columns = COLUMNS.get(stage, frozenset())
    return any(
        isinstance(term, Compare | Between | OneOf | Missing) and term.column.strip("|") in columns
        for term in found
    )


def _places(named: Sequence[Model]) -> str:
    """Return the ranges of the models, when a question is about places beyond all of them."""
    return "; ".join(
        f"{model.name} has layers 0–{model.n_layers - 1}, neurons 0–{model.d_mlp - 1}"
        for model in named
    )
