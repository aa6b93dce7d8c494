"""Stages that were not ingested: of which models and layers, and the command that ingests them."""

import shlex
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from sqlalchemy import Column, Connection, Table, select

from neurondb.asking.coverage import Part
from neurondb.asking.terms import Expression
from neurondb.asking.tree import dataset_asked
from neurondb.known_models import KNOWN
from neurondb.reading.models import Model
from neurondb.schema.tables import (
    activation_stats,
    dataset_rows,
    label_stats,
    neurons,
    property_effects,
    tokens,
    vocab_stat_rows,
)


class Stage(NamedTuple):
    """What a stage, or a part of one, finds out, how to ingest it, and a table it writes to.

    `dense` is whether every neuron has a row there, so that a layer without one lacks the stage.
    """

    what: str
    options: str
    table: Table
    dense: bool = True


_ACTIVATIONS: Final = "--stages activations --dataset {dataset}"
STAGES: Final[dict[str, Stage]] = {
    "weights": Stage("the weights were", "--stages weights", neurons),
    "vocab": Stage("the vocabulary was", "--stages vocab", vocab_stat_rows),
    "properties": Stage(
        "effects on token properties were", "--stages vocab", property_effects, dense=False
    ),
    "activations": Stage("activations were", _ACTIVATIONS, activation_stats),
    "labels": Stage("labels were", f"{_ACTIVATIONS} --label-field FIELD", label_stats, dense=False),
}


class NamedDataset(NamedTuple):
    """A dataset that a question names; `source` is what it was read from."""

    dataset_id: int
    name: str
    source: str


def missing_stage(stage: str, lacking: Sequence[Model]) -> str:
    """Return a line that says which models lack a stage, and how to ingest it."""
    return _missing_stage(stage, {model.name: model.name for model in lacking}, lacking[0])


def _missing_stage(
    stage: str, lacking: Iterable[str], first: Model, dataset: NamedDataset | None = None
) -> str:
    what, options, *_ = STAGES[stage]
    where = "TEXTS" if dataset is None or _gone(dataset.source) else shlex.quote(dataset.source)
    if dataset is not None and "{dataset}" in options:
        subject, verb = what.rsplit(" ", 1)
        what = f"{subject} on {dataset.name!r} {verb}"
    command = f"neurondb ingest {_ingestible(first)} {options.format(dataset=where)}"
    return f"{what} not ingested for {', '.join(lacking)}: run `{command}`"


def _gone(source: str) -> bool:
    """Tell whether a dataset was read from a place that is there no more; a hub id is no place."""
    return source.startswith("/") and not Path(source).exists()


def has_tokenizer(connection: Connection, model: Model) -> bool:
    """Tell whether a model's tokens have texts; without a tokenizer they are known by number."""
    t = tokens.c
    first = select(t.token).where(t.model_id == model.model_id, t.token_id == 0)
    return connection.execute(first).scalar() != "[token 0]"


def dataset_named(connection: Connection, expression: Expression) -> NamedDataset | None:
    """Return the dataset that an expression names, if it does and there is one."""
    name, d = dataset_asked(expression), dataset_rows.c
    if name is None:
        return None
    named = select(d.dataset_id, d.name, d.source).where(d.name == name)
    row = connection.execute(named).first()
    return None if row is None else NamedDataset(*row)


def _ingestible(model: Model) -> str:
    known = KNOWN.get(model.name)
    if known is not None and known.hub_id == model.source:
        return model.name
    return f"{shlex.quote(model.source)} --name {shlex.quote(model.name)}"


def missing_in(
    connection: Connection, stage: str, parts: Sequence[Part], dataset: NamedDataset | None
) -> str:
    """Return a line that says which models, or layers of them, lack a stage; '' where none does."""
    lacking = {
        part: layers for part in parts if (layers := _lacking(connection, stage, part, dataset))
    }
    if not lacking:
        return ""
    if stage == "properties":
        nameless = [p.model.name for p in lacking if not has_tokenizer(connection, p.model)]
        if nameless:
            return f"no tokenizer came with {', '.join(nameless)}: its tokens have no properties"
    names = [
        f"{_layers(layers)} of {part.model.name}"
        if layers != _all_layers(part)
        else part.model.name
        for part, layers in lacking.items()
    ]
    return _missing_stage(stage, names, next(iter(lacking)).model, dataset)


def _lacking(
    connection: Connection, stage: str, part: Part, dataset: NamedDataset | None
) -> tuple[int, ...]:
    """Return the layers of a model, of those asked about, that lack a stage; all if none has it."""
    _, _, table, dense = STAGES[stage]
    model, dataset_id = part.model, part.model.dataset_id
    if dataset is not None:
        dataset_id = dataset.dataset_id
    if not has_rows(connection, table, model, dataset_id):
        return _all_layers(part)
    if not dense:
        return ()
    return tuple(
        layer for layer in part.layers if not has_rows(connection, table, model, dataset_id, layer)
    )


def _all_layers(part: Part) -> tuple[int, ...]:
    """Return every layer of the part's model."""
    return tuple(range(part.model.n_layers))


def _layers(layers: Sequence[int]) -> str:
    """Return `layer 3`, `layers 0–2, 5`."""
    runs: list[list[int]] = []
    for layer in layers:
        if runs and runs[-1][-1] == layer - 1:
            runs[-1][-1] = layer
        else:
            runs.append([layer, layer])
    said = ", ".join(f"{a}" if a == b else f"{a}–{b}" for a, b in runs)
    return f"layer{'s' * (len(layers) > 1)} {said}"


def has_rows(
    connection: Connection,
    table: Table,
    model: Model,
    dataset_id: int | None = None,
    layer: int | None = None,
) -> bool:
    """Tell whether a model, or a layer of it, has rows; where datasets differ, on one of them."""
    neuron_id: Column[int] = table.c.neuron_id
    first, n = model.first_neuron_id, model.n_neurons
    if layer is not None:
        first, n = first + layer * model.d_mlp, model.d_mlp
    rows = select(neuron_id).where(neuron_id.between(first, first + n - 1))
    if "dataset_id" in table.c:
        rows = rows.where(table.c.dataset_id == dataset_id)
    return connection.execute(rows.limit(1)).first() is not None
