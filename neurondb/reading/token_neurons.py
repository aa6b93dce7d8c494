"""Which neurons read, write and suppress a token: where it stands in their lists (METHODS §4).

A neuron has a list of the top and of the bottom tokens along each vector, in each basis.
`list_occurrences` returns every place of a token in them; a frequent token has places by the
hundred thousand. `read_token_effects` counts them by the index by token instead, and looks up only
the strongest, as many as a page shows.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection, Select, func, select

from neurondb.reading.models import Model, match_neurons
from neurondb.schema import codes, tables
from neurondb.schema.columns import unscale
from neurondb.schema.named_neurons import named_neurons

EFFECTS: Final = {
    ("gate", "top"): "reads",
    ("in", "top"): "reads",
    ("gate", "bottom"): "avoids",
    ("in", "bottom"): "avoids",
    ("out", "top"): "writes",
    ("out", "bottom"): "suppresses",
}
"""(vector, direction) of a list → what the neuron does with the tokens in it."""

_TOKEN_LISTS: Final = {code: words for code, *words in codes.TOKEN_LISTS}

PAGE_EFFECTS: Final = {
    "read by gate": ("gate", "top"),
    "read by in": ("in", "top"),
    "written": ("out", "top"),
    "suppressed": ("out", "bottom"),
}
"""The effects that a token's page shows → (vector, direction) of the lists it stands in."""


class Occurrence(NamedTuple):
    """A token in one list of one neuron.

    Attributes:
        vector: gate, in or out.
        basis: unembed or embed, the rows that the vector is compared with.
        direction: top or bottom.
        rank: place in the list; 0 is the most extreme.
        dot: the dot product; None where the norm of the token or the vector is not known.
        class_name: read-write class of the neuron; None where it has none.
    """

    token_id: int
    neuron_id: int
    layer: int
    neuron: int
    name: str
    vector: str
    basis: str
    direction: str
    rank: int
    cosine: float
    dot: float | None
    class_name: str | None

    @property
    def effect(self) -> str:
        """What the neuron does with the token, one of the values of `EFFECTS`."""
        return EFFECTS[self.vector, self.direction]


class ListFilter(NamedTuple):
    """Which lists to look at.

    Attributes:
        vectors: lists of these vectors.
        bases: lists in these bases.
        layers: lists of the neurons in these layers; None is all.
    """

    vectors: tuple[str, ...] = codes.VECTORS
    bases: tuple[str, ...] = codes.BASES
    layers: tuple[int, ...] | None = None


@dataclass(frozen=True)
class TokenNeuron:
    """A neuron, and the places of the wanted tokens in its lists of one effect.

    Attributes:
        occurrences: these places, the one closest to the vector's direction first.
        n_tokens: how many of the wanted tokens are among them.
    """

    name: str
    neuron_id: int
    class_name: str | None
    occurrences: tuple[Occurrence, ...]
    n_tokens: int


def list_occurrences(
    connection: Connection, model: Model, token_ids: Sequence[int], lists: ListFilter
) -> list[Occurrence]:
    """Return every place of some tokens in the lists of a model, largest |cosine| first.

    Places of equal |cosine| go by rank, neuron, list and token.
    """
    rows = connection.execute(select_occurrences(model, token_ids, lists))
    places = (_make_occurrence(*row) for row in rows)
    in_layers = (place for place in places if lists.layers is None or place.layer in lists.layers)
    return sorted(in_layers, key=_sort_by_cosine)


def select_occurrences(model: Model, token_ids: Sequence[int], lists: ListFilter) -> Select[Any]:
    """Return the query of `list_occurrences`, which the index by token answers."""
    r, n, q = tables.top_token_rows.c, named_neurons.c, tables.classes.c
    t, k = tables.tokens.c, tables.rw_classes.c
    list_ids = [
        code
        for code, vector, basis, _ in codes.TOKEN_LISTS
        if vector in lists.vectors and basis in lists.bases
    ]
    return (
        select(
            *(r.token_id, r.neuron_id, n.layer, n.neuron, n.name),
            *(r.list_id, r.rank, unscale(r.scaled_cosine)),
            *(n.gate_norm, n.in_norm, n.out_norm, t.unembed_norm, t.embed_norm, k.name),
        )
        .join_from(tables.top_token_rows, named_neurons, n.neuron_id == r.neuron_id)
        .join(tables.tokens, (t.model_id == model.model_id) & (t.token_id == r.token_id))
        .outerjoin(tables.classes, (q.neuron_id == r.neuron_id) & (q.threshold == model.threshold))
        .outerjoin(tables.rw_classes, k.class_id == q.class_id)
        .where(r.token_id.in_(token_ids) & r.list_id.in_(list_ids))
        .where(match_neurons(r.neuron_id, model))
    )


def _make_occurrence(
    token_id: int, neuron_id: int, layer: int, neuron: int, name: str, *values: Any
) -> Occurrence:
    list_id, rank, cosine, *norms, class_name = values
    vector, basis, direction = _TOKEN_LISTS[list_id]
    norm = norms[codes.VECTORS.index(vector)]
    token_norm = norms[len(codes.VECTORS) + codes.BASES.index(basis)]
    dot = None if norm is None or token_norm is None else cosine * norm * token_norm
    place = (vector, basis, direction, rank, cosine, dot)
    return Occurrence(token_id, neuron_id, layer, neuron, name, *place, class_name)


def _sort_by_cosine(place: Occurrence) -> tuple[float, int, int, tuple[str, str], int]:
    of_list = (place.vector, place.basis)
    return (-abs(place.cosine), place.rank, place.neuron_id, of_list, place.token_id)


def group_by_neuron(occurrences: Iterable[Occurrence], effect: str) -> list[TokenNeuron]:
    """Return the neurons that have an effect on tokens, each with its places.

    Neurons that do it with more of the tokens go first, among equals the one that is closest.

    Args:
        occurrences: places in the order of `list_occurrences`.
        effect: one of the values of `EFFECTS`.
    """
    grouped: dict[int, list[Occurrence]] = {}
    for place in occurrences:
        if place.effect == effect:
            grouped.setdefault(place.neuron_id, []).append(place)
    neurons = [
        TokenNeuron(
            places[0].name,
            neuron_id,
            places[0].class_name,
            tuple(places),
            len({place.token_id for place in places}),
        )
        for neuron_id, places in grouped.items()
    ]
    # Sorting is stable, so among equals the order of the occurrences stays.
    return sorted(neurons, key=lambda neuron: -neuron.n_tokens)


class LayerCounts(NamedTuple):
    """How many neurons of each layer have one of the tokens in a kind of list.

    Attributes:
        counts: a number for every layer, from layer 0.
    """

    vector: str
    direction: str
    counts: tuple[int, ...]


def count_by_layer(occurrences: Iterable[Occurrence], n_layers: int) -> tuple[LayerCounts, ...]:
    """Return the counts by layer for each vector and direction that has any."""
    neurons: dict[tuple[str, str], set[tuple[int, int]]] = {kind: set() for kind in EFFECTS}
    for place in occurrences:
        neurons[place.vector, place.direction].add((place.layer, place.neuron))
    layer_counts = []
    for (vector, direction), places in neurons.items():
        counts = [0] * n_layers
        for layer, _ in places:
            counts[layer] += 1
        if places:
            layer_counts.append(LayerCounts(vector, direction, tuple(counts)))
    return tuple(layer_counts)


class PlaceFilter(NamedTuple):
    """Which places of a token a page shows.

    Attributes:
        basis: unembed or embed.
        layer: only neurons of this layer; None is all.
        most: how many places of each effect at most.
    """

    basis: str
    layer: int | None
    most: int


@dataclass(frozen=True)
class TokenPlace:
    """A neuron and where the token stands in one of its lists.

    Attributes:
        name: the neuron as `layer.neuron`.
        rank: place in the list; 0 is the most extreme.
    """

    name: str
    class_name: str | None
    rank: int
    cosine: float


@dataclass(frozen=True)
class TokenEffect:
    """The neurons that have the token in one kind of list.

    Attributes:
        effect: a key of `PAGE_EFFECTS`.
        by_layer: how many neurons of each layer have it, from layer 0.
        places: those of the largest |cosine|, the largest first.
    """

    effect: str
    vector: str
    direction: str
    by_layer: tuple[int, ...]
    places: tuple[TokenPlace, ...]

    @property
    def count(self) -> int:
        """Number of neurons in all layers."""
        return sum(self.by_layer)


def read_token_effects(
    connection: Connection, model: Model, token_id: int, place_filter: PlaceFilter
) -> tuple[TokenEffect, ...]:
    """Return what the neurons of a model do with a token, an entry for every effect."""
    counts = _count_neurons_by_layer(connection, model, token_id, place_filter.basis)
    effects = (
        PAGE_EFFECTS if model.gated else {k: v for k, v in PAGE_EFFECTS.items() if v[0] != "gate"}
    )
    return tuple(
        TokenEffect(
            effect,
            vector,
            direction,
            tuple(
                counts.get(_list_code(vector, place_filter.basis, direction), [0] * model.n_layers)
            ),
            _read_places(
                connection,
                model,
                token_id,
                _list_code(vector, place_filter.basis, direction),
                place_filter,
            ),
        )
        for effect, (vector, direction) in effects.items()
    )


def _list_code(vector: str, basis: str, direction: str) -> int:
    return codes.encode_token_list(
        codes.VECTORS.index(vector), codes.BASES.index(basis), codes.DIRECTIONS.index(direction)
    )


def _count_neurons_by_layer(
    connection: Connection, model: Model, token_id: int, basis: str
) -> dict[int, list[int]]:
    r = tables.top_token_rows.c
    of_basis = [code for code, _, of_list, _ in codes.TOKEN_LISTS if of_list == basis]
    layer = ((r.neuron_id - model.first_neuron_id) // model.d_mlp).label("layer")
    rows = connection.execute(
        select(r.list_id, layer, func.count())
        .where(
            (r.token_id == token_id) & r.list_id.in_(of_basis) & match_neurons(r.neuron_id, model)
        )
        .group_by(r.list_id, layer)
    )
    counts: dict[int, list[int]] = {}
    for list_id, number, count in rows:
        counts.setdefault(list_id, [0] * model.n_layers)[number] = count
    return counts


def _read_places(
    connection: Connection, model: Model, token_id: int, list_id: int, place_filter: PlaceFilter
) -> tuple[TokenPlace, ...]:
    r, q, k = tables.top_token_rows.c, tables.classes.c, tables.rw_classes.c
    top = (
        select(r.neuron_id, r.rank, unscale(r.scaled_cosine))
        .where((r.token_id == token_id) & (r.list_id == list_id))
        .where(match_neurons(r.neuron_id, model, place_filter.layer))
        .order_by(func.abs(r.scaled_cosine).desc(), r.neuron_id)
        .limit(place_filter.most)
        .subquery()
    )
    rows = connection.execute(
        select(top.c.neuron_id, k.name, top.c.rank, top.c.cosine)
        .select_from(top)
        .outerjoin(
            tables.classes, (q.neuron_id == top.c.neuron_id) & (q.threshold == model.threshold)
        )
        .outerjoin(tables.rw_classes, k.class_id == q.class_id)
        .order_by(func.abs(top.c.cosine).desc(), top.c.neuron_id)
    )
    return tuple(TokenPlace(model.name_neuron(row[0]), *row[1:]) for row in rows)
