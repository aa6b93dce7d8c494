"""Why an answer is empty: a stage that was not ingested, a place that no model has."""

import shlex
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from sqlalchemy import Column, Connection, Table, func, select

from neurondb.asking.effects import missing_effects
from neurondb.asking.kindred import kindred_classes
from neurondb.asking.terms import (
    Between,
    Compare,
    Expression,
    HasEffect,
    HasToken,
    Missing,
    OneOf,
    Place,
)
from neurondb.asking.tree import models_asked, terms
from neurondb.asking.vocabulary import ACTIVATION_COLUMNS, VOCABULARY_COLUMNS
from neurondb.known_models import KNOWN
from neurondb.reading.models import MODEL_COLUMNS, Model
from neurondb.schema.tables import (
    activation_stats,
    comparisons,
    label_stats,
    models,
    properties,
    property_effects,
    token_property_rows,
    tokens,
    vocab_stat_rows,
)


class Stage(NamedTuple):
    """What a stage, or a part of one, finds out, how to ingest it, and a table it writes to."""

    what: str
    options: str
    table: Table


_ACTIVATIONS: Final = "--stages activations --dataset TEXTS"
STAGES: Final[dict[str, Stage]] = {
    "vocab": Stage("the vocabulary was", "--stages vocab", vocab_stat_rows),
    "properties": Stage("effects on token properties were", "--stages vocab", property_effects),
    "activations": Stage("activations were", _ACTIVATIONS, activation_stats),
    "labels": Stage("labels were", f"{_ACTIVATIONS} --label-field FIELD", label_stats),
}
COLUMNS: Final = {"vocab": VOCABULARY_COLUMNS, "activations": ACTIVATION_COLUMNS}
LISTED: Final = {"vocab": HasToken, "properties": HasEffect}
"""Stage → the columns, and the kind of term, that a `find` expression needs it for."""
COMPARISON: Final = "comparison"
FEWEST: Final = 5
"""Tokens that a property must have for effects on it to be stored."""
EFFECTS: Final = "effects"
NEEDS: Final = (*STAGES, COMPARISON, EFFECTS)
"""What a named query may say that it needs."""


def reasons(connection: Connection, expression: Expression, needs: Sequence[str] = ()) -> list[str]:
    """Return a line for everything that kept the expression from fitting any neuron.

    `needs` are stages that are needed whatever the expression says.
    """
    asked = _asked(connection, expression)
    if not asked:
        return ["this database has no models; add one with `neurondb ingest MODEL`"]
    found = list(terms(expression))
    wanted = [stage for stage in STAGES if stage in needs or _needed(stage, found)]
    missing = [_missing(connection, stage, asked) for stage in wanted]
    rare = _too_rare(connection, found, asked)
    measured = [Missing("ablated_loss")] if EFFECTS in needs else []
    unmeasured = missing_effects(connection, (*found, *measured), asked)
    akin = kindred_classes(connection, found, asked)
    return [
        line for line in (*missing, *rare, *unmeasured, *akin, _beyond_all(found, asked)) if line
    ]


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


def missing_stage(stage: str, lacking: Sequence[Model]) -> str:
    """Return a line that says which models lack a stage, and how to ingest it."""
    what, options, _ = STAGES[stage]
    names = ", ".join(model.name for model in lacking)
    command = f"neurondb ingest {_ingestible(lacking[0])} {options}"
    return f"{what} not ingested for {names}: run `{command}`"


def has_tokenizer(connection: Connection, model: Model) -> bool:
    """Tell whether a model's tokens have texts; without a tokenizer they are known by number."""
    t = tokens.c
    first = select(t.token).where(t.model_id == model.model_id, t.token_id == 0)
    return connection.execute(first).scalar() != "[token 0]"


def _asked(connection: Connection, expression: Expression) -> list[Model]:
    names = models_asked(expression)
    rows = connection.execute(select(*MODEL_COLUMNS).order_by(models.c.name))
    return [model for model in (Model(*row) for row in rows) if not names or model.name in names]


def _ingestible(model: Model) -> str:
    known = KNOWN.get(model.name)
    if known is not None and known.hub_id == model.source:
        return model.name
    return f"{shlex.quote(model.source)} --name {shlex.quote(model.name)}"


def _missing(connection: Connection, stage: str, asked: Sequence[Model]) -> str:
    table = STAGES[stage].table
    lacking = [model for model in asked if not _has_rows(connection, table, model)]
    if stage == "properties":
        nameless = [model.name for model in lacking if not has_tokenizer(connection, model)]
        if nameless:
            return f"no tokenizer came with {', '.join(nameless)}: its tokens have no properties"
    return missing_stage(stage, lacking) if lacking else ""


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
            if n < FEWEST and _has_rows(connection, property_effects, model):
                said = f"{n or 'none'} of its tokens {'has' if n == 1 else 'have'}"
                yield f"{model.name} knows no effects on {name!r}: {said} the property"


def _has_rows(connection: Connection, table: Table, model: Model) -> bool:
    neuron_id: Column[int] = table.c.neuron_id
    last = model.first_neuron_id + model.n_neurons - 1
    rows = select(neuron_id).where(neuron_id.between(model.first_neuron_id, last))
    if "dataset_id" in table.c:
        rows = rows.where(table.c.dataset_id == model.dataset_id)
    return connection.execute(rows.limit(1)).first() is not None


def _needed(stage: str, found: Sequence[Expression]) -> bool:
    listed = LISTED.get(stage, ())
    if any(isinstance(term, listed) for term in found):
        return True
    columns = COLUMNS.get(stage, frozenset())
    return any(
        isinstance(term, Compare | Between | OneOf | Missing) and term.column.strip("|") in columns
        for term in found
    )


def _beyond_all(found: Sequence[Expression], asked: Sequence[Model]) -> str:
    """Return the ranges of the models, when a term is beyond those of all of them."""
    if not any(asked and all(_beyond(term, model) for model in asked) for term in found):
        return ""
    return "; ".join(
        f"{model.name} has layers 0–{model.n_layers - 1}, neurons 0–{model.d_mlp - 1}"
        for model in asked
    )


def _beyond(term: Expression, model: Model) -> bool:
    ends = {"layer": model.n_layers, "neuron": model.d_mlp}
    match term:
        case Place(layer, neuron):
            return layer >= model.n_layers or neuron >= model.d_mlp
        case OneOf(("layer" | "neuron") as column, values):
            return all(isinstance(value, str) or value >= ends[column] for value in values)
        case Between(("layer" | "neuron") as column, low, _):
            return low >= ends[column]
        case Compare(("layer" | "neuron") as column, (">" | ">=") as operator, value):
            return value + (operator == ">") >= ends[column]
    return False
