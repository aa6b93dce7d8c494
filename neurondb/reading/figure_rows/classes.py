"""Read-write classes: how many of each in a layer, and which one every neuron has."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from sqlalchemy import Connection, func, select

from neurondb.reading.figure_rows.neuron_values import neuron_values
from neurondb.reading.models import Model
from neurondb.schema import tables


class ClassCount(NamedTuple):
    """Neurons of one class in one layer."""

    layer: int
    class_name: str
    n: int


def class_counts(connection: Connection, model: Model) -> list[ClassCount]:
    """Return the counts that are not zero, at the τ that neuron_overview shows; by layer and class.

    Each is a range of the index by class, so that nothing is sorted.
    """
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
    return [found for row in rows if (found := ClassCount(*row)).n]


def class_ids(connection: Connection, model: Model) -> Float[np.ndarray, "layers neurons"]:
    """Return every neuron's class at the τ that neuron_overview shows; NaN where it has none."""
    c = tables.classes.c
    (found,) = neuron_values(connection, model, [c.class_id], c.threshold == model.threshold)
    return np.asarray(found)
