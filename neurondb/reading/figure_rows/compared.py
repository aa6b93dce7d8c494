"""Two compared models: where classes went, and the cosines of their neurons."""

from typing import Any, Final

import numpy as np
from jaxtyping import Float
from sqlalchemy import Connection, Select, select

from neurondb.reading.figure_rows.neuron_values import numeric, table
from neurondb.reading.models import Model
from neurondb.schema import tables
from neurondb.taxonomy import CLASSES, UNDEFINED

VECTORS: Final = ("gate", "in", "out")
_CLASSES: Final = len((*CLASSES, UNDEFINED))


def migration(connection: Connection, comparison_id: int) -> dict[tuple[int, int], int]:
    """Return (class id before, after) → neurons; those without a class are left out."""
    n = tables.comparison_neurons.c
    pair = (n.class_a * _CLASSES + n.class_b).label("pair")
    known = n.class_a.is_not(None) & n.class_b.is_not(None)
    # Counted here: the database would sort all neurons to group them.
    (pairs,) = table(connection, _in_order(select(pair).where(known), comparison_id))
    found, counts = np.unique(pairs.astype(np.int64), return_counts=True)
    return {
        divmod(one, _CLASSES): count
        for one, count in zip(found.tolist(), counts.tolist(), strict=True)
    }


def compared_cosines(
    connection: Connection, model: Model, comparison_id: int
) -> dict[str, Float[np.ndarray, "layers neurons"]]:
    """Return vector → cos(before, after) of every neuron; NaN where there is none."""
    n = tables.comparison_neurons.c
    place = (n.layer * model.d_mlp + n.neuron).label("place")
    columns = [numeric(n[f"{vector}_cosine"]) for vector in VECTORS]
    places, *found = table(connection, _in_order(select(place, *columns), comparison_id))
    values = np.full((len(VECTORS), model.n_neurons), np.nan)
    values[:, places.astype(np.int64)] = found
    of_layers = values.reshape(len(VECTORS), model.n_layers, model.d_mlp)
    return dict(zip(VECTORS, of_layers, strict=True))


def _in_order(wanted: Select[Any], comparison_id: int) -> Select[Any]:
    """Return a query of one comparison's neurons, as they are stored.

    Without the order SQLite goes by the index of `moved` and looks each neuron up, five times
    slower.
    """
    n = tables.comparison_neurons.c
    return wanted.where(n.comparison_id == comparison_id).order_by(n.layer, n.neuron)
