"""Every layer of a model in a line: classes, medians, how often its neurons fire (METHODS §10)."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from sqlalchemy import Connection

from neurondb.reading.activations import find_dataset
from neurondb.reading.figure_rows.classes import ClassCount, class_counts
from neurondb.reading.figure_rows.cosines import PAIRS, cosines
from neurondb.reading.figure_rows.neuron_values import neuron_values
from neurondb.reading.models import Model
from neurondb.schema import tables
from neurondb.taxonomy import CLASSES, UNDEFINED

CLASS_ORDER = tuple(one.name for one in (*CLASSES, UNDEFINED))


@dataclass(frozen=True)
class ClassShare:
    """Neurons of one class among those of a layer, a model, a set."""

    class_name: str
    n: int


@dataclass(frozen=True)
class LayerLine:
    """One layer; what is not ingested is None, and so is what has no value.

    Attributes:
        classes: those that occur, in the published order.
        gate_in: median of cos(gate, in) over the layer's neurons.
        gate_out: median of cos(gate, out).
        in_out: median of cos(in, out).
        freq: mean share of tokens on which a neuron fires.
        correlation: Pearson, of that share with cos(in, out).
    """

    layer: int
    classes: tuple[ClassShare, ...]
    gate_in: float | None
    gate_out: float | None
    in_out: float | None
    freq: float | None
    correlation: float | None


def class_shares(connection: Connection, model: Model) -> tuple[ClassShare, ...]:
    """Return how many neurons of a model have which class, in the published order."""
    return summed(class_counts(connection, model))


def summed(counts: Iterable[ClassCount]) -> tuple[ClassShare, ...]:
    """Return counts of layers as one, in the published order."""
    total: dict[str, int] = {}
    for one in counts:
        total[one.class_name] = total.get(one.class_name, 0) + one.n
    return tuple(ClassShare(name, total[name]) for name in CLASS_ORDER if name in total)


def layer_table(
    connection: Connection, model: Model, dataset: str | None = None
) -> tuple[LayerLine, ...]:
    """Return a line for every layer, on the named dataset or that which neuron_overview shows."""
    classes = class_counts(connection, model)
    values = cosines(connection, model)
    freq = fires(connection, model, name=dataset)
    return tuple(
        _line(layer, classes, {pair: found[layer] for pair, found in values.items()}, one)
        for layer, one in enumerate(freq)
    )


def layer_line(connection: Connection, model: Model, layer: int) -> LayerLine:
    """Return the line of one layer; reads nothing of the others but their classes."""
    values = {pair: found[0] for pair, found in cosines(connection, model, layer).items()}
    freq = fires(connection, model, layer)[0]
    return _line(layer, class_counts(connection, model), values, freq)


def fires(
    connection: Connection, model: Model, layer: int | None = None, *, name: str | None = None
) -> Float[np.ndarray, "layers neurons"]:
    """Return every neuron's share of tokens with x_gate > 0 (ungated: hook_post > 0), or NaN.

    Of one layer or of all, on the dataset of a name or that which neuron_overview shows.
    """
    dataset = find_dataset(connection, model, name)
    if dataset is None:
        return np.full((model.n_layers if layer is None else 1, model.d_mlp), np.nan)
    a = tables.activation_stats.c
    column = a.freq if model.gated else a.post_positive
    of_dataset = a.dataset_id == dataset.dataset_id
    found = neuron_values(connection, model, [column], of_dataset, layer=layer)
    shares: Float[np.ndarray, "layers neurons"] = found[0]
    return shares


def _line(
    layer: int,
    classes: Iterable[ClassCount],
    values: Mapping[str, Float[np.ndarray, " neurons"]],
    freq: Float[np.ndarray, " neurons"],
) -> LayerLine:
    return LayerLine(
        layer,
        summed(one for one in classes if one.layer == layer),
        **{pair: _median(values[pair]) if pair in values else None for pair in PAIRS},
        freq=_mean(freq),
        correlation=_correlation(freq, values["in_out"]),
    )


def _median(values: Float[np.ndarray, " neurons"]) -> float | None:
    known = values[~np.isnan(values)]
    return float(np.median(known)) if known.size else None


def _mean(values: Float[np.ndarray, " neurons"]) -> float | None:
    known = values[~np.isnan(values)]
    return float(known.mean()) if known.size else None


def _correlation(
    one: Float[np.ndarray, " neurons"], other: Float[np.ndarray, " neurons"]
) -> float | None:
    known = ~(np.isnan(one) | np.isnan(other))
    if known.sum() < 2 or not one[known].std() or not other[known].std():
        return None
    return float(np.corrcoef(one[known], other[known])[0, 1])
