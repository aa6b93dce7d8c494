"""Columns of all neurons of a model as arrays: what figures and tables of layers are made of.

Neuron ids are an interval in order of layer and neuron, so a column becomes an array of layers ×
neurons without a join. A number is NaN where there is no row or the column is NULL.
"""

from collections.abc import Sequence
from itertools import chain
from typing import Any, Final, NamedTuple

import numpy as np
from jaxtyping import Float
from sqlalchemy import Column, ColumnElement, Connection, Select, func, literal_column, select

from neurondb.reading.models import Model, match_neurons
from neurondb.reading.texts import Dataset
from neurondb.schema import codes, tables
from neurondb.taxonomy import CLASSES, UNDEFINED

FIGURE_PAIRS: Final = ("in_out", "gate_out", "gate_in")
"""The three cosines in the order in which figures show them; ungated models have the first."""

COMPARED_VECTORS: Final = ("gate", "in", "out")
"""The vectors whose cosines before and after a comparison stores."""

_N_CLASSES: Final = len((*CLASSES, UNDEFINED))


class RandomRegion(NamedTuple):
    """The interval that 95% of random cosines fall into (METHODS §3)."""

    low: float
    high: float


class ClassCount(NamedTuple):
    """How many neurons of a layer belong to a read-write class."""

    layer: int
    class_name: str
    n: int


def read_neuron_values(
    connection: Connection,
    model: Model,
    columns: Sequence[Column[Any]],
    *conditions: ColumnElement[bool],
    layer: int | None = None,
) -> Float[np.ndarray, "columns layers neurons"]:
    """Return columns of one table for every neuron of a model; NaN for no row or NULL.

    Args:
        connection: an open connection.
        model: whose neurons.
        columns: columns of one table that has a column `neuron_id`.
        *conditions: SQL conditions that leave at most one row for a neuron.
        layer: the only layer to read, so that the array has one layer; None is all.
    """
    n_layers = model.n_layers if layer is None else 1
    first = model.first_neuron_id + (layer or 0) * model.d_mlp
    n = n_layers * model.d_mlp
    neuron_id: Column[int] = columns[0].table.c.neuron_id
    in_range = neuron_id.between(first, first + n - 1)
    ids, *columns_read = read_numbers(
        connection,
        select(neuron_id, *map(replace_null_by_nan, columns)).where(in_range, *conditions),
    )
    values = np.full((len(columns), n), np.nan)
    values[:, ids.astype(np.int64) - first] = columns_read
    return values.reshape(len(columns), n_layers, model.d_mlp)


def replace_null_by_nan(column: Column[Any]) -> ColumnElement[Any]:
    """Return a column as `read_numbers` can read it: 'nan', which is NaN to it, for NULL."""
    return func.coalesce(column, literal_column("'nan'")) if column.nullable else column


def read_numbers(connection: Connection, query: Select[Any]) -> Float[np.ndarray, "columns rows"]:
    """Return the numbers of a query, its columns as rows of the array; none may be NULL."""
    result = connection.execute(query)
    width = len(result.keys())
    cursor: Any = result.cursor
    # The driver's own tuples are taken as they come: to keep or wrap half a million of them takes
    # longer than to read them.
    flat = np.fromiter(chain.from_iterable(cursor), dtype=np.float64)
    result.close()
    return flat.reshape(-1, width).T


def list_pairs(model: Model) -> tuple[str, ...]:
    """Return the pairs of vectors whose cosines a model's neurons have."""
    return FIGURE_PAIRS if model.gated else FIGURE_PAIRS[:1]


def read_all_cosines(
    connection: Connection, model: Model, layer: int | None = None
) -> dict[str, Float[np.ndarray, "layers neurons"]]:
    """Return pair → cosines of every neuron of one layer, or of all where `layer` is None."""
    pairs = list_pairs(model)
    columns = [tables.cosines.c[pair] for pair in pairs]
    return dict(
        zip(pairs, read_neuron_values(connection, model, columns, layer=layer), strict=True)
    )


def read_random_regions(
    connection: Connection, model: Model
) -> dict[tuple[int, str, str], RandomRegion]:
    """Return (layer, pair, kind) → random region; kinds are gaussian and mismatched."""
    b = tables.baselines.c
    rows = connection.execute(
        select(b.layer, b.pair, b.kind, b.low, b.high).where(b.model_id == model.model_id)
    )
    return {(row.layer, row.pair, row.kind): RandomRegion(row.low, row.high) for row in rows}


def choose_region(
    regions: dict[tuple[int, str, str], RandomRegion], layer: int, pair: str
) -> tuple[RandomRegion, str] | None:
    """Return the mismatched region of a layer, or else the gaussian one, and its kind."""
    for kind in ("mismatched", "gaussian"):
        if (layer, pair, kind) in regions:
            return regions[layer, pair, kind], kind
    return None


def count_classes(connection: Connection, model: Model) -> list[ClassCount]:
    """Return the counts that are not zero, by layer and class, at the τ of `neuron_overview`.

    Each count is a range of the index by class, so nothing is sorted. A model known from imports
    alone has none: nobody has seen its weights.
    """
    if not has_cosines(connection, model):
        return []
    layers, kinds, c = tables.layers.c, tables.rw_classes.c, tables.classes.c
    first = model.first_neuron_id + layers.layer * model.d_mlp
    n = (
        select(func.count())
        .select_from(tables.classes)
        .where(c.class_id == kinds.class_id, c.threshold == model.threshold)
        .where(c.neuron_id.between(first, first + model.d_mlp - 1))
        .correlate(tables.layers, tables.rw_classes)
        .scalar_subquery()
    )
    rows = connection.execute(
        select(layers.layer, kinds.name, n)
        .select_from(tables.layers)
        .join(tables.rw_classes, kinds.class_id.is_not(None))
        .where(layers.model_id == model.model_id)
        .order_by(layers.layer, kinds.class_id)
    )
    return [count for row in rows if (count := ClassCount(*row)).n]


def has_cosines(connection: Connection, model: Model) -> bool:
    """Tell whether any cosine of a model is stored: of one known from imports alone, none is."""
    c = tables.cosines.c
    one = select(c.neuron_id).where(match_neurons(c.neuron_id, model)).limit(1)
    return connection.execute(one).first() is not None


def read_class_ids(connection: Connection, model: Model) -> Float[np.ndarray, "layers neurons"]:
    """Return the class id of every neuron at the τ of `neuron_overview`; NaN where it has none.

    Without weights there are no classes.
    """
    if not has_cosines(connection, model):
        return np.full((model.n_layers, model.d_mlp), np.nan)
    c = tables.classes.c
    (class_ids,) = read_neuron_values(
        connection, model, [c.class_id], c.threshold == model.threshold
    )
    return np.asarray(class_ids)


def read_frequencies(
    connection: Connection, model: Model, dataset: Dataset, layer: int | None = None
) -> Float[np.ndarray, "layers neurons"]:
    """Return the share of tokens on which each neuron fires; NaN where it is not known.

    A gated neuron fires where x_gate > 0, an ungated one where hook_post > 0. The array has one
    layer, or all where `layer` is None.
    """
    a = tables.activation_stats.c
    column = a.freq if model.gated else a.post_positive
    of_dataset = a.dataset_id == dataset.dataset_id
    (frequencies,) = read_neuron_values(connection, model, [column], of_dataset, layer=layer)
    return np.asarray(frequencies)


def read_out_moments(
    connection: Connection, model: Model, layer: int
) -> Float[np.ndarray, "moments neurons"]:
    """Return skewness, Pearson kurtosis and variance of cos(U, out) over the vocabulary."""
    v = tables.vocab_stat_rows.c
    columns = [v.skewness, v.kurtosis, v.variance]
    of_out = v.vector_id == codes.VECTORS.index("out")
    return np.asarray(read_neuron_values(connection, model, columns, of_out, layer=layer)[:, 0])


def read_all_out_moments(
    connection: Connection, model: Model
) -> Float[np.ndarray, "moments layers neurons"]:
    """Return the same moments of every layer."""
    v = tables.vocab_stat_rows.c
    columns = [v.skewness, v.kurtosis, v.variance]
    of_out = v.vector_id == codes.VECTORS.index("out")
    return np.asarray(read_neuron_values(connection, model, columns, of_out))


def count_migration(connection: Connection, comparison_id: int) -> dict[tuple[int, int], int]:
    """Return (class id before, class id after) → neurons; those without a class are left out."""
    n = tables.comparison_neurons.c
    pair = (n.class_a * _N_CLASSES + n.class_b).label("pair")
    classified = n.class_a.is_not(None) & n.class_b.is_not(None)
    # Pairs are counted here, for the database would sort all neurons to group them.
    (pairs,) = read_numbers(
        connection, _order_as_stored(select(pair).where(classified), comparison_id)
    )
    codes_seen, counts = np.unique(pairs.astype(np.int64), return_counts=True)
    return {
        divmod(code, _N_CLASSES): count
        for code, count in zip(codes_seen.tolist(), counts.tolist(), strict=True)
    }


def read_compared_cosines(
    connection: Connection, model: Model, comparison_id: int
) -> dict[str, Float[np.ndarray, "layers neurons"]]:
    """Return vector → cos(vector before, vector after) of every neuron."""
    n = tables.comparison_neurons.c
    place = (n.layer * model.d_mlp + n.neuron).label("place")
    columns = [replace_null_by_nan(n[f"{vector}_cosine"]) for vector in COMPARED_VECTORS]
    places, *cosines = read_numbers(
        connection, _order_as_stored(select(place, *columns), comparison_id)
    )
    values = np.full((len(COMPARED_VECTORS), model.n_ids), np.nan)
    values[:, places.astype(np.int64)] = cosines
    of_layers = values.reshape(len(COMPARED_VECTORS), model.n_layers, model.d_mlp)
    return dict(zip(COMPARED_VECTORS, of_layers, strict=True))


def _order_as_stored(query: Select[Any], comparison_id: int) -> Select[Any]:
    """Return a query of one comparison's neurons, in the order in which they are stored.

    Without the order SQLite goes by the index of `moved` and looks up each neuron, which takes five
    times as long.
    """
    n = tables.comparison_neurons.c
    return query.where(n.comparison_id == comparison_id).order_by(n.layer, n.neuron)
