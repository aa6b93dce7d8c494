"""The cosines between the vectors of one neuron in two models, where a comparison has them."""

from dataclasses import dataclass

from sqlalchemy import Connection, select

from neurondb.reading.models import Model
from neurondb.schema import tables


@dataclass(frozen=True)
class VectorCosines:
    """cos(vector before, vector after); None where a vector is zero, or there is no gate."""

    gate: float | None
    in_: float | None
    out: float | None


def vector_cosines(
    connection: Connection, one: tuple[Model, int, int], other: tuple[Model, int, int]
) -> VectorCosines | None:
    """Return the cosines between two neurons, each a model, a layer and a number in it.

    None unless they have the same place in two models whose comparison is stored.
    """
    if one[1:] != other[1:]:
        return None
    c, n = tables.comparisons.c, tables.comparison_neurons.c
    ids = (one[0].model_id, other[0].model_id)
    row = connection.execute(
        select(n.gate_cosine, n.in_cosine, n.out_cosine)
        .join_from(
            tables.comparisons, tables.comparison_neurons, n.comparison_id == c.comparison_id
        )
        .where(c.model_a.in_(ids), c.model_b.in_(ids))
        .where(n.layer == one[1], n.neuron == one[2])
    ).first()
    return None if row is None else VectorCosines(*row)
