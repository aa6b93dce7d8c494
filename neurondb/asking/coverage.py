"""Which models, and which of their layers, a question is about."""

from collections.abc import Iterable
from typing import NamedTuple

from neurondb.asking.terms import (
    And,
    Between,
    Compare,
    Expression,
    Not,
    OneOf,
    Or,
    Place,
)
from neurondb.reading.models import Model


class Part(NamedTuple):
    """What a question covers of a model."""

    model: Model
    layers: tuple[int, ...]


def named_models(expression: Expression, models: Iterable[Model]) -> list[Model]:
    """Return the models that an expression does not rule out by their names."""
    return [model for model in models if _decided(expression, model, None) is not False]


def covered(expression: Expression, models: Iterable[Model]) -> list[Part]:
    """Return the models and layers that an expression may have neurons of, by name and place."""
    parts = []
    for model in models:
        layers = tuple(
            layer
            for layer in range(model.n_layers)
            if _decided(expression, model, layer) is not False
        )
        if layers:
            parts.append(Part(model, layers))
    return parts


def _decided(term: Expression, model: Model, layer: int | None) -> bool | None:
    """Return whether a term holds for all neurons of a layer, for none, or that varies (None).

    Without a layer, only what the names of models decide is decided.
    """
    match term:
        case And(parts):
            found = [_decided(part, model, layer) for part in parts]
            return False if False in found else None if None in found else True
        case Or(parts):
            found = [_decided(part, model, layer) for part in parts]
            return True if True in found else None if None in found else False
        case Not(part):
            inner = _decided(part, model, layer)
            return None if inner is None else not inner
        case OneOf("model", names):
            return model.name in names
    return None if layer is None else _of_place(term, model, layer)


def _of_place(term: Expression, model: Model, layer: int) -> bool | None:
    """Return what a term on layers or neurons says of one layer of a model."""
    first = model.first_neuron_id + layer * model.d_mlp
    ranges = {"layer": (layer, layer), "neuron": (0, model.d_mlp - 1)}
    ranges["neuron_id"] = (first, first + model.d_mlp - 1)
    match term:
        case Place(of_layer, neuron):
            return None if of_layer == layer and neuron < model.d_mlp else False
        case OneOf(("layer" | "neuron" | "neuron_id") as column, values):
            low, high = ranges[column]
            fits = [v for v in values if not isinstance(v, str) and low <= v <= high]
            return (True if low == high else None) if fits else False
        case Between(("layer" | "neuron" | "neuron_id") as column, lowest, highest):
            low, high = ranges[column]
            return _all_or_none(lowest <= low and high <= highest, lowest > high or highest < low)
        case Compare(("layer" | "neuron" | "neuron_id") as column, operator, value):
            low, high = ranges[column]
            holds = {
                "<": (high < value, low >= value),
                "<=": (high <= value, low > value),
                ">": (low > value, high <= value),
                ">=": (low >= value, high < value),
            }
            return _all_or_none(*holds[operator])
    return None


def _all_or_none(all_hold: bool, none_holds: bool) -> bool | None:
    return True if all_hold else False if none_holds else None
