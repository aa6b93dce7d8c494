"""The layers of a model: classes, median cosines, firing, and neurons that stand out.

METHODS §10 defines the numbers.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Float
from sqlalchemy import Connection

from neurondb.reading.arrays import (
    FIGURE_PAIRS,
    ClassCount,
    count_classes,
    read_all_cosines,
    read_frequencies,
    read_out_moments,
)
from neurondb.reading.models import Model
from neurondb.reading.neuron_table import NeuronLine, read_neuron_lines
from neurondb.reading.texts import find_dataset
from neurondb.taxonomy import CLASSES, UNDEFINED

CLASS_ORDER: Final = tuple(entry.name for entry in (*CLASSES, UNDEFINED))
"""The names of the read-write classes in the published order."""

NEURONS_SHOWN: Final = 8
"""How many neurons a list of extremes shows."""


@dataclass(frozen=True)
class ClassShare:
    """How many neurons of a layer, a model or a set belong to a read-write class."""

    class_name: str
    n: int


@dataclass(frozen=True)
class LayerLine:
    """One layer of a model; a number is None where it is not ingested or has no value.

    Attributes:
        classes: the classes that occur, in the published order.
        gate_in: median of cos(gate, in) over the layer's neurons.
        gate_out: median of cos(gate, out).
        in_out: median of cos(in, out).
        freq: mean over its neurons of the share of tokens on which a neuron fires.
        correlation: Pearson correlation of that share with cos(in, out).
    """

    layer: int
    classes: tuple[ClassShare, ...]
    gate_in: float | None
    gate_out: float | None
    in_out: float | None
    freq: float | None
    correlation: float | None


@dataclass(frozen=True)
class Extreme:
    """The neurons of a layer that have the most, or the least, of something.

    Attributes:
        order: the key by which `find` sorts them, such as `-freq`.
        neurons: the first ones; equal ones go by their number.
    """

    order: str
    neurons: tuple[NeuronLine, ...]


def count_model_classes(connection: Connection, model: Model) -> tuple[ClassShare, ...]:
    """Return how many neurons of a model belong to each class, in the published order."""
    return sum_over_layers(count_classes(connection, model))


def sum_over_layers(counts: Iterable[ClassCount]) -> tuple[ClassShare, ...]:
    """Return the counts of several layers added up, in the published order of the classes."""
    total: dict[str, int] = {}
    for count in counts:
        total[count.class_name] = total.get(count.class_name, 0) + count.n
    return tuple(ClassShare(name, total[name]) for name in CLASS_ORDER if name in total)


def read_layer_table(
    connection: Connection, model: Model, dataset: str | None = None
) -> tuple[LayerLine, ...]:
    """Return a line for every layer of a model.

    Args:
        connection: an open connection.
        model: the model.
        dataset: name of the dataset to fire on; None is the one that `neuron_overview` shows.
    """
    classes = count_classes(connection, model)
    values = read_all_cosines(connection, model)
    freq = read_firing_shares(connection, model, name=dataset)
    return tuple(
        _make_line(
            layer, classes, {pair: cosines[layer] for pair, cosines in values.items()}, shares
        )
        for layer, shares in enumerate(freq)
    )


def read_layer_line(connection: Connection, model: Model, layer: int) -> LayerLine:
    """Return the line of one layer; of the others only the classes are read."""
    values = {
        pair: cosines[0] for pair, cosines in read_all_cosines(connection, model, layer).items()
    }
    freq = read_firing_shares(connection, model, layer)[0]
    return _make_line(layer, count_classes(connection, model), values, freq)


def read_firing_shares(
    connection: Connection, model: Model, layer: int | None = None, *, name: str | None = None
) -> Float[np.ndarray, "layers neurons"]:
    """Return the share of tokens on which each neuron fires; NaN where it is not known.

    A gated neuron fires where x_gate > 0, an ungated one where hook_post > 0.

    Args:
        connection: an open connection.
        model: the model.
        layer: the only layer to read; None is all.
        name: name of the dataset; None is the one that `neuron_overview` shows.
    """
    dataset = find_dataset(connection, model, name)
    if dataset is None:
        return np.full((model.n_layers if layer is None else 1, model.d_mlp), np.nan)
    return read_frequencies(connection, model, dataset, layer)


def _make_line(
    layer: int,
    classes: Iterable[ClassCount],
    values: Mapping[str, Float[np.ndarray, " neurons"]],
    freq: Float[np.ndarray, " neurons"],
) -> LayerLine:
    return LayerLine(
        layer,
        sum_over_layers(count for count in classes if count.layer == layer),
        **{
            pair: _compute_median(values[pair]) if pair in values else None for pair in FIGURE_PAIRS
        },
        freq=_compute_mean(freq),
        correlation=_correlate(freq, values["in_out"]),
    )


def _compute_median(values: Float[np.ndarray, " neurons"]) -> float | None:
    finite = values[~np.isnan(values)]
    return float(np.median(finite)) if finite.size else None


def _compute_mean(values: Float[np.ndarray, " neurons"]) -> float | None:
    finite = values[~np.isnan(values)]
    return float(finite.mean()) if finite.size else None


def _correlate(x: Float[np.ndarray, " neurons"], y: Float[np.ndarray, " neurons"]) -> float | None:
    finite = ~(np.isnan(x) | np.isnan(y))
    if finite.sum() < 2 or not x[finite].std() or not y[finite].std():
        return None
    return float(np.corrcoef(x[finite], y[finite])[0, 1])


def read_layer_extremes(connection: Connection, model: Model, layer: int) -> tuple[Extreme, ...]:
    """Return the neurons of a layer with extreme cos(in, out), frequency and kurtosis.

    The kurtosis is that of cos(U, out) over the vocabulary. What is not ingested has no list.
    """
    in_out = read_all_cosines(connection, model, layer)["in_out"][0]
    values = {"-in_out": in_out, "in_out": -in_out}
    values["-freq" if model.gated else "-post_positive"] = read_firing_shares(
        connection, model, layer
    )[0]
    values["-out_kurtosis"] = read_out_moments(connection, model, layer)[1]
    first = model.first_neuron_id + layer * model.d_mlp
    extreme_places = {order: find_largest(measured) for order, measured in values.items()}
    ids = {first + place for places in extreme_places.values() for place in places}
    lines = {line.neuron_id: line for line in read_neuron_lines(connection, sorted(ids))}
    return tuple(
        Extreme(order, tuple(lines[first + i] for i in places if first + i in lines))
        for order, places in extreme_places.items()
        if places
    )


def find_largest(values: Float[np.ndarray, " neurons"], n: int = NEURONS_SHOWN) -> list[int]:
    """Return the indices of the n largest values, equal ones by index; NaN is left out."""
    order = np.argsort(-values, kind="stable")[:n]
    return [int(place) for place in order if not np.isnan(values[place])]
