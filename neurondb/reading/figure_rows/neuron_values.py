"""Some columns of a model's neurons as arrays: neuron ids are an interval, so no join is needed."""

from collections.abc import Sequence
from itertools import chain
from typing import Any

import numpy as np
from jaxtyping import Float
from sqlalchemy import Column, ColumnElement, Connection, Select, func, literal_column, select

from neurondb.reading.models import Model


def neuron_values(
    connection: Connection,
    model: Model,
    columns: Sequence[Column[Any]],
    *where: ColumnElement[bool],
    layer: int | None = None,
) -> Float[np.ndarray, "columns layers neurons"]:
    """Return columns of one table that has at most one row a neuron.

    NaN where there is no row or NULL.

    Args:
        connection: an open one.
        model: whose neurons.
        columns: of a table with the column neuron_id.
        where: what makes the row of a neuron the only one.
        layer: only this, so that the array has one layer; None is all.
    """
    n_layers = model.n_layers if layer is None else 1
    first = model.first_neuron_id + (layer or 0) * model.d_mlp
    n = n_layers * model.d_mlp
    neuron_id: Column[int] = columns[0].table.c.neuron_id
    here = neuron_id.between(first, first + n - 1)
    ids, *found = table(connection, select(neuron_id, *map(numeric, columns)).where(here, *where))
    values = np.full((len(columns), n), np.nan)
    values[:, ids.astype(np.int64) - first] = found
    return values.reshape(len(columns), n_layers, model.d_mlp)


def numeric(column: Column[Any]) -> ColumnElement[Any]:
    """Return a column as `table` reads it: NaN, to both databases 'nan', where it is NULL."""
    return func.coalesce(column, literal_column("'nan'")) if column.nullable else column


def table(connection: Connection, wanted: Select[Any]) -> Float[np.ndarray, "columns rows"]:
    """Return a query's numbers, a column a row of the array; none may be NULL."""
    result = connection.execute(wanted)
    width = len(result.keys())
    cursor: Any = result.cursor
    # The driver's own tuples, as they come: to keep or wrap half a million takes longer than to
    # read them.
    flat = np.fromiter(chain.from_iterable(cursor), dtype=np.float64)
    result.close()
    return flat.reshape(-1, width).T
