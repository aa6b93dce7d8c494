"""Why an expression fits no neuron: a stage that was not ingested, a place that no model has."""

import shlex
from collections.abc import Sequence
from typing import Final

from sqlalchemy import Column, Connection, Table, select

from neurondb.asking.terms import (
    Between,
    Compare,
    Expression,
    HasToken,
    Missing,
    OneOf,
    Place,
)
from neurondb.asking.tree import models_asked, terms
from neurondb.asking.vocabulary import ACTIVATION_COLUMNS, VOCABULARY_COLUMNS
from neurondb.known_models import KNOWN
from neurondb.reading.models import MODEL_COLUMNS, Model
from neurondb.schema.tables import activation_stats, models, vocab_stat_rows

STAGES: Final[dict[str, tuple[str, str, Table]]] = {
    "vocab": ("the vocabulary was", "", vocab_stat_rows),
    "activations": ("activations were", " --dataset TEXTS", activation_stats),
}
"""Stage → what it finds out, what its command wants besides, the table that shows it was there."""


def reasons(connection: Connection, expression: Expression) -> list[str]:
    """Return a line for everything that kept the expression from fitting any neuron."""
    asked = _asked(connection, expression)
    found = list(terms(expression))
    missing = [_missing(connection, stage, asked) for stage in STAGES if _needed(stage, found)]
    return [line for line in (*missing, _beyond_all(found, asked)) if line]


def missing_stage(stage: str, lacking: Sequence[Model]) -> str:
    """Return a line that says which models lack a stage, and how to ingest it."""
    what, besides, _ = STAGES[stage]
    names = ", ".join(model.name for model in lacking)
    command = f"neurondb ingest {_ingestible(lacking[0])} --stages {stage}{besides}"
    return f"{what} not ingested for {names}: run `{command}`"


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
    table = STAGES[stage][2]
    lacking = [model for model in asked if not _has_rows(connection, table, model)]
    return missing_stage(stage, lacking) if lacking else ""


def _has_rows(connection: Connection, table: Table, model: Model) -> bool:
    neuron_id: Column[int] = table.c.neuron_id
    last = model.first_neuron_id + model.n_neurons - 1
    rows = select(neuron_id).where(neuron_id.between(model.first_neuron_id, last))
    if "dataset_id" in table.c:
        rows = rows.where(table.c.dataset_id == model.dataset_id)
    return connection.execute(rows.limit(1)).first() is not None


def _needed(stage: str, found: Sequence[Expression]) -> bool:
    if stage == "vocab" and any(isinstance(term, HasToken) for term in found):
        return True
    columns = ACTIVATION_COLUMNS if stage == "activations" else VOCABULARY_COLUMNS
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
