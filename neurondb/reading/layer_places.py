"""How a neuron compares with the others of its layer: a percentile for each of its numbers.

The percentile is SQL's `percent_rank` within the layer: how many neurons have a smaller number, as
a share of all others that have the number. The smallest has 0, the largest 1.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Column, ColumnElement, Connection, func, select

from neurondb.reading.models import Model, match_neurons
from neurondb.reading.texts import Dataset
from neurondb.schema import codes, tables

_N, _C, _V = tables.neurons.c, tables.cosines.c, tables.vocab_stat_rows.c
_OF_WEIGHTS: Final[dict[str, Column[Any]]] = {
    "gate_norm": _N.gate_norm,
    "in_norm": _N.in_norm,
    "out_norm": _N.out_norm,
    "penalty": _N.penalty,
}
_OF_COSINES: Final[dict[str, Column[Any]]] = {
    "gate_in": _C.gate_in,
    "gate_out": _C.gate_out,
    "in_out": _C.in_out,
}
_OF_VOCABULARY: Final[dict[str, Column[Any]]] = {
    "out_kurtosis": _V.kurtosis,
    "out_skewness": _V.skewness,
    "out_variance": _V.variance,
    "null_share": _V.null_share,
}


@dataclass(frozen=True)
class LayerPlace:
    """One number of a neuron, and how many of its layer have a smaller one.

    Attributes:
        quantity: its name, that of the column in `neuron_overview`.
        n: how many neurons of the layer have the number, this one included.
        percentile: from 0, the smallest of the layer, to 1, the largest; 0 where it is the only
            one.
    """

    quantity: str
    value: float
    n: int
    percentile: float


def read_layer_places(
    connection: Connection, model: Model, neuron_id: int, dataset: Dataset | None
) -> tuple[LayerPlace, ...]:
    """Return the place in its layer of every number of a neuron that is stored.

    Args:
        connection: an open connection.
        model: the neuron's model.
        neuron_id: id of the neuron.
        dataset: the dataset that it fires on; None leaves frequencies out.
    """
    of_out = _V.vector_id == codes.VECTORS.index("out")
    found = [
        *_read_places(connection, model, neuron_id, _OF_WEIGHTS),
        *_read_places(connection, model, neuron_id, _OF_COSINES),
        *_read_places(connection, model, neuron_id, _OF_VOCABULARY, of_out),
    ]
    if dataset is not None:
        a = tables.activation_stats.c
        columns = {"freq": a.freq, "post_positive": a.post_positive}
        of_dataset = a.dataset_id == dataset.dataset_id
        found += _read_places(connection, model, neuron_id, columns, of_dataset)
    return tuple(found)


def _read_places(
    connection: Connection,
    model: Model,
    neuron_id: int,
    columns: dict[str, Column[Any]],
    *conditions: ColumnElement[bool],
) -> Iterator[LayerPlace]:
    """Yield the places of columns of one table that has a column `neuron_id`."""
    key = next(iter(columns.values())).table.c.neuron_id
    row = connection.execute(select(*columns.values()).where(key == neuron_id, *conditions)).first()
    known = {} if row is None else dict(zip(columns, row, strict=True))
    values = {name: value for name, value in known.items() if value is not None}
    if not values:
        return
    layer, _ = model.locate(neuron_id)
    counts = _count_smaller([(columns[name], value) for name, value in values.items()])
    of_layer = select(*counts).where(match_neurons(key, model, layer), *conditions)
    found = connection.execute(of_layer).one()
    for place, (name, value) in enumerate(values.items()):
        n, n_smaller = found[2 * place], found[2 * place + 1]
        yield LayerPlace(name, value, n, n_smaller / (n - 1) if n > 1 else 0.0)


def _count_smaller(values: Sequence[tuple[Column[Any], float]]) -> list[ColumnElement[int]]:
    """Return, for each column, how many rows have a value, and how many a smaller one."""
    counts: list[ColumnElement[int]] = []
    for column, value in values:
        counts += [func.count(column), func.count(column).filter(column < value)]
    return counts
