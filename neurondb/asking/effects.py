"""Columns on what removing a neuron does, `ablated.loss`: their lists, and why they are empty."""

import shlex
from collections.abc import Iterator, Sequence
from typing import Final

from sqlalchemy import Connection

from neurondb.asking.terms import Between, Compare, Expression, Missing, OneOf
from neurondb.reading.effects import ATTRIBUTION, EACH, shown_run
from neurondb.reading.effects import measured_metrics as measured
from neurondb.reading.models import Model
from neurondb.schema.views import EFFECT_COLUMNS

EFFECT_ALIASES: Final = {column.replace("_", ".", 1): column for column in EFFECT_COLUMNS}
"""As users write it → the column of neuron_overview."""

_KINDS: Final = {"ablated": EACH, "attribution": ATTRIBUTION}
_COMMANDS: Final = {
    EACH: "neurondb ablate-each {model} --where EXPR --dataset TEXTS",
    ATTRIBUTION: "neurondb ablate-each {model} --attribution --dataset TEXTS",
}

_LISTED: Final = """
    SELECT e.neuron_id
    FROM models m
    JOIN {table} e ON e.run_id = m.{run} AND e.metric = '{metric}'
    WHERE {{fits}}"""


def listed_effects(column: str) -> str | None:
    """Return a SELECT of neurons by their effect, `e.mean` in `{fits}`; None for no effect."""
    found = EFFECT_COLUMNS.get(column)
    if found is None:
        return None
    table, run, metric = found
    return _LISTED.format(table=table, run=run, metric=metric)


def missing_effects(
    connection: Connection, found: Sequence[Expression], asked: Sequence[Model]
) -> Iterator[str]:
    """Yield a line for each effect that the terms ask for and that no run of a model has."""
    columns = (
        term.column.strip("|")
        for term in found
        if isinstance(term, Compare | Between | OneOf | Missing)
    )
    for column in dict.fromkeys(column for column in columns if column in EFFECT_COLUMNS):
        name, _, metric = column.partition("_")
        kind = _KINDS[name]
        lacking = [model for model in asked if not _has(connection, model, kind, metric)]
        if lacking:
            names = ", ".join(model.name for model in lacking)
            command = _COMMANDS[kind].format(model=shlex.quote(lacking[0].name))
            metrics = " --metrics loss,entropy" if column == "attribution_entropy" else ""
            yield f"{name}.{metric} is not known of {names}: run `{command}{metrics}`"


def _has(connection: Connection, model: Model, kind: str, metric: str) -> bool:
    run = shown_run(connection, model, kind)
    return run is not None and metric in measured(connection, kind, run.run_id)
