"""Which vector of a neuron is compared with which vector of which other neurons."""

from collections.abc import Iterator
from typing import Final, Literal, NamedTuple

Order = Literal["any", "later", "earlier"]
"""Layers whose neurons are compared: all, those behind the neuron's own, those before it."""


class Relation(NamedTuple):
    """A kind of list that every neuron has.

    Attributes:
        own: The vector of the neuron itself.
        other: The vector of those that it is compared with.
        order: The layers of these.
    """

    own: str
    other: str
    order: Order

    @property
    def is_symmetric(self) -> bool:
        """Whether the lists are of one vector in all layers, so that cos(i, j) serves both."""
        return self.order == "any"

    def lists_partners(self, layer: int, n_layers: int) -> range:
        """Return the layers whose neurons a neuron of `layer` is compared with."""
        bounds = {"any": (0, n_layers), "later": (layer + 1, n_layers), "earlier": (0, layer)}
        return range(*bounds[self.order])

    @property
    def reverse(self) -> "Relation":
        """The same pairs as the other neuron sees them: who writes what it reads."""
        orders: dict[Order, Order] = {"any": "any", "later": "earlier", "earlier": "later"}
        return Relation(self.other, self.own, orders[self.order])


def list_neighbour_relations(vectors: tuple[str, ...]) -> list[Relation]:
    """Return the relation of neighbours by each vector that the model has."""
    return [Relation(vector, vector, "any") for vector in vectors]


def list_connection_relations(vectors: tuple[str, ...]) -> list[Relation]:
    """Return who reads what a neuron writes: with gate where there is one, and with in.

    Neurons of later layers only: a layer has read before it writes, whether its attention runs
    before its MLP or beside it.
    """
    return [Relation("out", vector, "later") for vector in vectors if vector != WRITES]


WRITES: Final = "out"
"""The vector that writes; the others read."""


def iterate_layer_pairs(relation: Relation, n_layers: int) -> Iterator[tuple[int, int]]:
    """Yield each pair of layers to multiply, (own, other); of a symmetric relation own ≤ other."""
    for own in range(n_layers):
        first = own if relation.is_symmetric else own + 1
        for other in range(first, n_layers):
            yield own, other


def count_layer_pairs(relation: Relation, n_layers: int) -> int:
    """Return how many pairs of layers are multiplied."""
    return sum(1 for _ in iterate_layer_pairs(relation, n_layers))
