"""Which neurons read, write and suppress a token: where it stands in their lists (METHODS §4)."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection, Select, select

from neurondb.reading.models import Model
from neurondb.schema import codes, tables

EFFECTS: Final = {
    ("gate", "top"): "reads",
    ("in", "top"): "reads",
    ("gate", "bottom"): "avoids",
    ("in", "bottom"): "avoids",
    ("out", "top"): "writes",
    ("out", "bottom"): "suppresses",
}
"""Vector and direction of a list → what the neuron does with the tokens in it."""


@dataclass(frozen=True)
class NamedToken:
    """A token: its text, and its spelling in the tokenizer's vocabulary where it has one."""

    token_id: int
    token: str
    piece: str | None = None


class Occurrence(NamedTuple):
    """A token in one list of one neuron; `rank` 0 is the most extreme.

    `dot` is None where the token's norm is not known, `class_name` where the neuron has none.
    """

    token_id: int
    neuron_id: int
    layer: int
    neuron: int
    vector: str
    basis: str
    direction: str
    rank: int
    cosine: float
    dot: float | None
    class_name: str | None

    @property
    def name(self) -> str:
        """The neuron as `layer.neuron`."""
        return f"{self.layer}.{self.neuron}"

    @property
    def effect(self) -> str:
        """What the neuron does with the token."""
        return EFFECTS[self.vector, self.direction]


class Lists(NamedTuple):
    """Which lists to look at: of these vectors, by these bases, in these layers (None is all)."""

    vectors: tuple[str, ...] = codes.VECTORS
    bases: tuple[str, ...] = codes.BASES
    layers: tuple[int, ...] | None = None


@dataclass(frozen=True)
class TokenNeuron:
    """A neuron and where the tokens asked for stand in those of its lists that have one effect.

    Attributes:
        found: closest to the vector's direction first.
        n_tokens: how many of the tokens.
    """

    name: str
    neuron_id: int
    class_name: str | None
    found: tuple[Occurrence, ...]
    n_tokens: int


def occurrences(
    connection: Connection, model: Model, token_ids: Sequence[int], lists: Lists
) -> list[Occurrence]:
    """Return every place of the tokens in a model's lists, largest |cosine| first.

    Equal ones go by rank, neuron, list and token.
    """
    found = (_occurrence(*row) for row in connection.execute(_query(model, token_ids, lists)))
    chosen = (one for one in found if lists.layers is None or one.layer in lists.layers)
    return sorted(chosen, key=_descending)


def _query(model: Model, token_ids: Sequence[int], lists: Lists) -> Select[Any]:
    r, n, q = tables.top_token_rows.c, tables.neurons.c, tables.classes.c
    t, k = tables.tokens.c, tables.rw_classes.c
    wanted = [
        code
        for code, vector, basis, _ in codes.TOKEN_LISTS
        if vector in lists.vectors and basis in lists.bases
    ]
    end = model.first_neuron_id + model.n_neurons
    return (
        select(
            *(r.token_id, r.neuron_id, n.layer, n.neuron, r.list_id, r.rank, r.cosine),
            *(n.gate_norm, n.in_norm, n.out_norm, t.unembed_norm, t.embed_norm, k.name),
        )
        .join_from(tables.top_token_rows, tables.neurons, n.neuron_id == r.neuron_id)
        .join(tables.tokens, (t.model_id == model.model_id) & (t.token_id == r.token_id))
        .outerjoin(tables.classes, (q.neuron_id == r.neuron_id) & (q.threshold == model.threshold))
        .outerjoin(tables.rw_classes, k.class_id == q.class_id)
        .where(r.token_id.in_(token_ids) & r.list_id.in_(wanted))
        .where((r.neuron_id >= model.first_neuron_id) & (r.neuron_id < end))
    )


_LISTS: Final = {code: words for code, *words in codes.TOKEN_LISTS}


def _occurrence(token_id: int, neuron_id: int, layer: int, neuron: int, *rest: Any) -> Occurrence:
    list_id, rank, cosine, *norms, class_name = rest
    vector, basis, direction = _LISTS[list_id]
    norm = norms[codes.VECTORS.index(vector)]
    token_norm = norms[len(codes.VECTORS) + codes.BASES.index(basis)]
    dot = None if norm is None or token_norm is None else cosine * norm * token_norm
    place = (vector, basis, direction, rank, cosine, dot)
    return Occurrence(token_id, neuron_id, layer, neuron, *place, class_name)


def _descending(one: Occurrence) -> tuple[float, int, int, tuple[str, str], int]:
    return (-abs(one.cosine), one.rank, one.neuron_id, (one.vector, one.basis), one.token_id)


def by_neuron(found: Iterable[Occurrence], effect: str) -> list[TokenNeuron]:
    """Return the neurons that do this with the tokens: with most of them first, then the closest.

    Args:
        found: in the order of `occurrences`.
        effect: one of `EFFECTS`.
    """
    grouped: dict[int, list[Occurrence]] = {}
    for one in found:
        if one.effect == effect:
            grouped.setdefault(one.neuron_id, []).append(one)
    neurons = [
        TokenNeuron(
            places[0].name,
            neuron_id,
            places[0].class_name,
            tuple(places),
            len({one.token_id for one in places}),
        )
        for neuron_id, places in grouped.items()
    ]
    # Sorting is stable: among equals the order of the occurrences stays.
    return sorted(neurons, key=lambda neuron: -neuron.n_tokens)


class LayerCounts(NamedTuple):
    """Of each layer, how many neurons have one of the tokens in a list of this kind."""

    vector: str
    direction: str
    counts: tuple[int, ...]


def by_layer(found: Iterable[Occurrence], n_layers: int) -> tuple[LayerCounts, ...]:
    """Return the counts of each vector and direction that has any."""
    neurons: dict[tuple[str, str], set[tuple[int, int]]] = {kind: set() for kind in EFFECTS}
    for one in found:
        neurons[one.vector, one.direction].add((one.layer, one.neuron))
    counted = []
    for (vector, direction), places in neurons.items():
        counts = [0] * n_layers
        for layer, _ in places:
            counts[layer] += 1
        if places:
            counted.append(LayerCounts(vector, direction, tuple(counts)))
    return tuple(counted)


def class_names(connection: Connection, model: Model) -> dict[int, str]:
    """Return the class of every neuron of a model that has one, at the model's threshold."""
    q, k = tables.classes.c, tables.rw_classes.c
    end = model.first_neuron_id + model.n_neurons
    rows = connection.execute(
        select(q.neuron_id, k.name)
        .join_from(tables.classes, tables.rw_classes, k.class_id == q.class_id)
        .where((q.neuron_id >= model.first_neuron_id) & (q.neuron_id < end))
        .where(q.threshold == model.threshold)
    )
    return {row.neuron_id: row.name for row in rows}
