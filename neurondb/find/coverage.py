"""What a question covers: which models, which of their layers, and which stages these lack."""

import shlex
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from sqlalchemy import Column, Connection, Table, select

from neurondb.find.terms import (
    And,
    Between,
    Compare,
    Expression,
    Not,
    OneOf,
    Or,
    Place,
    get_dataset_name,
)
from neurondb.known_models import KNOWN
from neurondb.reading.models import MODEL_COLUMNS, Model, match_neurons
from neurondb.schema.tables import (
    activation_stats,
    cosines,
    dataset_rows,
    label_stats,
    logit_effect_rows,
    models,
    peak_token_rows,
    property_effects,
    tokens,
    vocab_stat_rows,
)


class CoveredModel(NamedTuple):
    """A model, and those of its layers that a question may have neurons of."""

    model: Model
    layers: tuple[int, ...]


def load_models(connection: Connection) -> list[Model]:
    """Return every model of the database, by name."""
    rows = connection.execute(select(*MODEL_COLUMNS).order_by(models.c.name))
    return [Model(*row) for row in rows]


def find_named_models(expression: Expression, models: Iterable[Model]) -> list[Model]:
    """Return the models that an expression does not rule out by their names."""
    return [model for model in models if _decide(expression, model, None) is not False]


def find_covered_models(expression: Expression, models: Iterable[Model]) -> list[CoveredModel]:
    """Return the models and layers that an expression does not rule out by name or by place."""
    covered_models = []
    for model in models:
        layers = tuple(
            layer
            for layer in range(model.n_layers)
            if _decide(expression, model, layer) is not False
        )
        if layers:
            covered_models.append(CoveredModel(model, layers))
    return covered_models


def _decide(term: Expression, model: Model, layer: int | None) -> bool | None:
    """Return whether a term holds for all neurons of a layer or for none; None where that varies.

    Without a layer, only the names of models are looked at.
    """
    match term:
        case And(parts):
            verdicts = [_decide(part, model, layer) for part in parts]
            return False if False in verdicts else None if None in verdicts else True
        case Or(parts):
            verdicts = [_decide(part, model, layer) for part in parts]
            return True if True in verdicts else None if None in verdicts else False
        case Not(part):
            verdict = _decide(part, model, layer)
            return None if verdict is None else not verdict
        case OneOf("model", names):
            return model.name in names
    return None if layer is None else _decide_place(term, model, layer)


def _decide_place(term: Expression, model: Model, layer: int) -> bool | None:
    """Return the same for a term on layers or neurons; None for any other term."""
    first = model.first_neuron_id + layer * model.d_mlp
    ranges = {"layer": (layer, layer), "neuron": (0, model.d_mlp - 1)}
    ranges["neuron_id"] = (first, first + model.d_mlp - 1)
    match term:
        case Place(of_layer, neuron, expert):
            if expert is not None and model.experts is None:
                return False
            return None if of_layer == layer and neuron < model.d_mlp else False
        case OneOf(("layer" | "neuron" | "neuron_id") as column, values):
            low, high = ranges[column]
            fits = [v for v in values if not isinstance(v, str) and low <= v <= high]
            return (True if low == high else None) if fits else False
        case Between(("layer" | "neuron" | "neuron_id") as column, lowest, highest):
            low, high = ranges[column]
            return _to_verdict(lowest <= low and high <= highest, lowest > high or highest < low)
        case Compare(("layer" | "neuron" | "neuron_id") as column, operator, value):
            low, high = ranges[column]
            holds = {
                "<": (high < value, low >= value),
                "<=": (high <= value, low > value),
                ">": (low > value, high <= value),
                ">=": (low >= value, high < value),
            }
            return _to_verdict(*holds[operator])
    return None


def _to_verdict(all_hold: bool, none_holds: bool) -> bool | None:
    return True if all_hold else False if none_holds else None


class Stage(NamedTuple):
    """A stage of ingestion, or a part of one.

    Attributes:
        what: What it measures, as the subject of "… not ingested".
        options: Of `neurondb ingest`, to run it.
        table: One that it writes to.
        dense: Whether every neuron has a row there, so that a layer without one lacks the stage.
    """

    what: str
    options: str
    table: Table
    dense: bool = True


_ACTIVATIONS: Final = "--stages activations --dataset {dataset}"
STAGES: Final[dict[str, Stage]] = {
    "weights": Stage("the weights were", "--stages weights", cosines),
    "vocab": Stage("the vocabulary was", "--stages vocab", vocab_stat_rows),
    "properties": Stage(
        "effects on token properties were", "--stages vocab", property_effects, dense=False
    ),
    "logit_effects": Stage(
        "histograms of logit effects were", "--stages vocab", logit_effect_rows, dense=False
    ),
    "activations": Stage("activations were", _ACTIVATIONS, activation_stats),
    "peaks": Stage("peak tokens were", "--stages peaks --dataset {dataset}", peak_token_rows),
    "labels": Stage("labels were", f"{_ACTIVATIONS} --label-field FIELD", label_stats, dense=False),
}


class NamedDataset(NamedTuple):
    """A dataset that a question names; `source` is what it was read from."""

    dataset_id: int
    name: str
    source: str


def explain_missing_stage(stage: str, models: Sequence[Model]) -> str:
    """Return a line that says which models lack a stage, and how to ingest it."""
    return _format_missing_stage(stage, {model.name: model.name for model in models}, models[0])


def _format_missing_stage(
    stage: str, names: Iterable[str], first: Model, dataset: NamedDataset | None = None
) -> str:
    """Return the line on models, or layers, that lack a stage, with the first model's command."""
    subject_line, options, *_ = STAGES[stage]
    texts = "TEXTS" if dataset is None or _is_gone(dataset.source) else shlex.quote(dataset.source)
    if dataset is not None and "{dataset}" in options:
        subject, verb = subject_line.rsplit(" ", 1)
        subject_line = f"{subject} on {dataset.name!r} {verb}"
    command = f"neurondb ingest {_format_ingest_arguments(first)} {options.format(dataset=texts)}"
    return f"{subject_line} not ingested for {', '.join(names)}: run `{command}`"


def _is_gone(source: str) -> bool:
    """Tell whether the file that a dataset was read from is gone; hub ids are never gone."""
    return source.startswith("/") and not Path(source).exists()


def has_tokenizer(connection: Connection, model: Model) -> bool:
    """Tell whether a model's tokens have texts; without a tokenizer they are known by number."""
    t = tokens.c
    first = select(t.token).where(t.model_id == model.model_id, t.token_id == 0)
    return connection.execute(first).scalar() != "[token 0]"


def find_named_dataset(connection: Connection, expression: Expression) -> NamedDataset | None:
    """Return the dataset that an expression names, if it does and there is one."""
    name, d = get_dataset_name(expression), dataset_rows.c
    if name is None:
        return None
    query = select(d.dataset_id, d.name, d.source).where(d.name == name)
    row = connection.execute(query).first()
    return None if row is None else NamedDataset(*row)


def _format_ingest_arguments(model: Model) -> str:
    """Return what `neurondb ingest` must be given to read a model from where it came."""
    known_model = KNOWN.get(model.name)
    if known_model is not None and known_model.hub_id == model.source:
        return model.name
    if model.d_model == 0 and model.source == model.name:  # of an import that did not say
        return f"CHECKPOINT --name {shlex.quote(model.name)}"
    return f"{shlex.quote(model.source)} --name {shlex.quote(model.name)}"


def explain_missing_layers(
    connection: Connection,
    stage: str,
    covered_models: Sequence[CoveredModel],
    dataset: NamedDataset | None,
) -> str:
    """Return a line that says which models, or layers of them, lack a stage; '' if none does."""
    missing_layers = {
        part: layers
        for part in covered_models
        if (layers := _find_lacking_layers(connection, stage, part, dataset))
    }
    if not missing_layers:
        return ""
    if stage in ("properties", "logit_effects"):
        nameless = [p.model.name for p in missing_layers if not has_tokenizer(connection, p.model)]
        if nameless:
            return f"no tokenizer came with {', '.join(nameless)}: its tokens have no properties"
    names = [
        f"{_format_layers(layers)} of {part.model.name}"
        if layers != _list_layers(part)
        else part.model.name
        for part, layers in missing_layers.items()
    ]
    first = next(iter(missing_layers)).model
    dataset = dataset or _find_lacking_dataset(connection, stage, first)
    return _format_missing_stage(stage, names, first, dataset)


def _find_lacking_dataset(connection: Connection, stage: str, model: Model) -> NamedDataset | None:
    """Return the dataset that a model shows, if the stage has rows on other datasets only."""
    table, d = STAGES[stage].table, dataset_rows.c
    if "dataset_id" not in table.c or has_rows(connection, table, model, model.dataset_id):
        return None
    any_row = select(table.c.neuron_id).where(match_neurons(table.c.neuron_id, model)).limit(1)
    if connection.execute(any_row).first() is None:
        return None
    query = select(d.dataset_id, d.name, d.source).where(d.dataset_id == model.dataset_id)
    row = connection.execute(query).first()
    return None if row is None else NamedDataset(*row)


def _find_lacking_layers(
    connection: Connection, stage: str, part: CoveredModel, dataset: NamedDataset | None
) -> tuple[int, ...]:
    """Return the covered layers of a model that lack a stage; all its layers if none has it."""
    _, _, table, every_neuron = STAGES[stage]
    model, dataset_id = part.model, part.model.dataset_id
    if dataset is not None:
        dataset_id = dataset.dataset_id
    if not has_rows(connection, table, model, dataset_id):
        return _list_layers(part)
    if not every_neuron:
        return ()
    return tuple(
        layer for layer in part.layers if not has_rows(connection, table, model, dataset_id, layer)
    )


def _list_layers(part: CoveredModel) -> tuple[int, ...]:
    """Return every layer of a covered model."""
    return tuple(range(part.model.n_layers))


def _format_layers(layers: Sequence[int]) -> str:
    """Return `layer 3`, `layers 0–2, 5`."""
    runs: list[list[int]] = []
    for layer in layers:
        if runs and runs[-1][-1] == layer - 1:
            runs[-1][-1] = layer
        else:
            runs.append([layer, layer])
    ranges = ", ".join(f"{a}" if a == b else f"{a}–{b}" for a, b in runs)
    return f"layer{'s' * (len(layers) > 1)} {ranges}"


def has_rows(
    connection: Connection,
    table: Table,
    model: Model,
    dataset_id: int | None = None,
    layer: int | None = None,
) -> bool:
    """Tell whether a model, or a layer of it, has rows in a table of neurons.

    Where the table has a column for the dataset, only rows on that dataset count.
    """
    neuron_id: Column[int] = table.c.neuron_id
    rows = select(neuron_id).where(match_neurons(neuron_id, model, layer))
    if "dataset_id" in table.c:
        rows = rows.where(table.c.dataset_id == dataset_id)
    return connection.execute(rows.limit(1)).first() is not None
