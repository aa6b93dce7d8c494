"""The same neuron in models that its model was compared with."""

from dataclasses import dataclass
from typing import NamedTuple

from sqlalchemy import Connection, case, or_, select

from neurondb.reading.models import Model
from neurondb.schema import tables


@dataclass(frozen=True)
class Counterpart:
    """The neuron of the same name in another model, and how near their vectors are.

    Attributes:
        same_token: whether both have the same top token of the LM-head decoding.
        class_name: read-write class of the other one.
        moved: 1 − the smallest of the cosines.
    """

    model: str
    name: str
    gate_cosine: float | None
    in_cosine: float | None
    out_cosine: float | None
    same_token: bool | None
    class_name: str | None
    moved: float | None


def counterparts(
    connection: Connection, model: Model, layer: int, neuron: int
) -> tuple[Counterpart, ...]:
    """Return the neuron's counterparts in all stored comparisons, by model."""
    c, m = tables.comparisons.c, tables.models.c
    is_a = c.model_a == model.model_id
    other = case((is_a, c.model_b), else_=c.model_a)
    compared = connection.execute(
        select(c.comparison_id, is_a, m.name)
        .join_from(tables.comparisons, tables.models, m.model_id == other)
        .where(or_(is_a, c.model_b == model.model_id))
        .order_by(m.name)
    )
    place = (layer, neuron)
    found = (_counterpart(connection, _Compared(*row), place) for row in compared.all())
    return tuple(one for one in found if one is not None)


class _Compared(NamedTuple):
    comparison_id: int
    is_a: bool
    other: str


def _counterpart(
    connection: Connection, compared: _Compared, place: tuple[int, int]
) -> Counterpart | None:
    # By the whole key, one comparison at a time: a join might go through all neurons.
    layer, neuron = place
    r, k = tables.comparison_neurons.c, tables.rw_classes.c
    class_id = r.class_b if compared.is_a else r.class_a
    row = connection.execute(
        select(r.gate_cosine, r.in_cosine, r.out_cosine, r.same_token, k.name, r.moved)
        .outerjoin_from(tables.comparison_neurons, tables.rw_classes, k.class_id == class_id)
        .where(r.comparison_id == compared.comparison_id)
        .where((r.layer == layer) & (r.neuron == neuron))
    ).first()
    return None if row is None else Counterpart(compared.other, f"{layer}.{neuron}", *row)
