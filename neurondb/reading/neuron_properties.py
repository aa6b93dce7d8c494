"""Properties that neurons have a number of, and where each stands among its layer's.

They are those that universal-neurons §4.2 compares universal neurons with others by (figures 3 and
15), and what else is stored of every neuron.
"""

from typing import Any, Final, NamedTuple

import numpy as np
from jaxtyping import Float
from sqlalchemy import Column, Connection

from neurondb.reading.arrays import read_neuron_values
from neurondb.reading.models import Model
from neurondb.schema import codes, tables

Values = Float[np.ndarray, "layers neurons"]


class NeuronProperty(NamedTuple):
    """A property: its name, which is a column's wherever neuron_overview has one; its title.

    `gated` tells the models that have it, where only those with a gate do, or only those without.
    """

    name: str
    title: str
    column: Column[Any]
    gated: bool | None = None


_N, _C = tables.neurons.c, tables.cosines.c
_A, _V = tables.activation_stats.c, tables.vocab_stat_rows.c

PROPERTIES: Final = (
    NeuronProperty("gate_norm", "norm of gate", _N.gate_norm, gated=True),
    NeuronProperty("in_norm", "norm of in", _N.in_norm),
    NeuronProperty("out_norm", "norm of out", _N.out_norm),
    NeuronProperty("penalty", "weight-decay penalty", _N.penalty),
    NeuronProperty("gate_bias", "bias of gate", _N.gate_bias, gated=True),
    NeuronProperty("in_bias", "bias of in", _N.in_bias),
    NeuronProperty("in_out", "cos(in, out)", _C.in_out),
    NeuronProperty("gate_out", "cos(gate, out)", _C.gate_out, gated=True),
    NeuronProperty("gate_in", "cos(gate, in)", _C.gate_in, gated=True),
    NeuronProperty("out_kurtosis", "kurtosis of cos(U, out)", _V.kurtosis),
    NeuronProperty("out_skewness", "skewness of cos(U, out)", _V.skewness),
    NeuronProperty("out_variance", "variance of cos(U, out)", _V.variance),
    NeuronProperty("null_share", "share of out that U does not see", _V.null_share),
    NeuronProperty("freq", "share of tokens with gate > 0", _A.freq, gated=True),
    NeuronProperty("post_positive", "share of tokens with post > 0", _A.post_positive),
    NeuronProperty("pre_mean", "mean of hook_pre", _A.pre_mean),
    NeuronProperty("pre_skewness", "skewness of hook_pre", _A.pre_skewness),
    NeuronProperty("pre_kurtosis", "kurtosis of hook_pre", _A.pre_kurtosis),
    NeuronProperty("post_mean", "mean of hook_post", _A.post_mean),
    NeuronProperty("post_skewness", "skewness of hook_post", _A.post_skewness),
    NeuronProperty("post_kurtosis", "kurtosis of hook_post", _A.post_kurtosis),
)
"""In the order of figures: of the weights, of the vocabulary, of activations."""


def read_neuron_properties(
    connection: Connection, model: Model, dataset_id: int | None, names: tuple[str, ...] = ()
) -> dict[str, Values]:
    """Return property → its values for every neuron of a model; NaN where there is none.

    Properties that no neuron has a number of, or of which all of a layer have the same in every
    layer, tell no neurons apart and are left out.

    Args:
        connection: an open connection.
        model: whose neurons.
        dataset_id: the dataset of the activations; None leaves them out.
        names: the properties to read; by default all.
    """
    wanted = [
        p
        for p in PROPERTIES
        if p.gated in (None, model.gated)
        and (not names or p.name in names)
        and (dataset_id is not None or p.column.table is not tables.activation_stats)
    ]
    values: dict[str, Values] = {}
    for table in dict.fromkeys(p.column.table for p in wanted):
        of_table = [p for p in wanted if p.column.table is table]
        conditions = []
        if table is tables.activation_stats:
            conditions = [_A.dataset_id == dataset_id]
        elif table is tables.vocab_stat_rows:
            conditions = [_V.vector_id == codes.VECTORS.index("out")]
        columns = [p.column for p in of_table]
        read = read_neuron_values(connection, model, columns, *conditions)
        values |= {p.name: of_property for p, of_property in zip(of_table, read, strict=True)}
    return {p.name: values[p.name] for p in wanted if _differs(values[p.name])}


def _differs(values: Values) -> bool:
    """Tell whether neurons of some layer differ in a property."""
    low = np.where(np.isnan(values), np.inf, values).min(axis=1)
    high = np.where(np.isnan(values), -np.inf, values).max(axis=1)
    return bool((low < high).any())


def rank_in_layers(values: Values) -> Values:
    """Return the percentile of every neuron within its layer, as SQL's PERCENT_RANK has it.

    It is the share of the layer's other neurons whose value is smaller: from 0 to 1, equal values
    alike; NaN where there is no value.
    """
    ranks = np.full(values.shape, np.nan)
    for layer, of_layer in enumerate(values):
        known = ~np.isnan(of_layer)
        n = int(known.sum())
        if n:
            smaller = np.searchsorted(np.sort(of_layer[known]), of_layer[known], side="left")
            ranks[layer, known] = smaller / max(n - 1, 1)
    return ranks
