"""All neighbours and connections of a model, from its vectors."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from jaxtyping import Float
from torch import Tensor

from ingest.relations.neighbours.baseline import (
    draw_directions,
    measure_nearest,
    summarise_nearest,
)
from ingest.relations.neighbours.exact import MARGIN, settle_lists
from ingest.relations.neighbours.pairs import join_sides
from ingest.relations.neighbours.relation import (
    Relation,
    count_layer_pairs,
    iterate_layer_pairs,
    list_connection_relations,
    list_neighbour_relations,
)
from ingest.relations.neighbours.tiles import PairMoments, Swept, sweep_pairs
from ingest.relations.neighbours.unit_rows import UnitRows
from neurondb.contracts.neighbours import (
    ConnectionColumns,
    LayerConnection,
    NeighbourBaseline,
    NeighbourColumns,
    NeighboursRequest,
)
from neurondb.contracts.progress import Advance, Progress

MIB: Final = 2**20
NO_LAYER: Final = -1
"""The layer of a baseline that holds for neurons of all layers."""


@dataclass
class Related:
    """What was found of all neurons of a model."""

    neighbours: list[NeighbourColumns] = field(default_factory=list)
    connections: list[ConnectionColumns] = field(default_factory=list)
    layers: list[LayerConnection] = field(default_factory=list)
    baselines: list[NeighbourBaseline] = field(default_factory=list)
    n_cut: int = 0


def find_related(
    rows: UnitRows, request: NeighboursRequest, progress: Progress, *, centred: bool
) -> Related:
    """Return the neighbours by each vector, the connections, and what random directions have.

    Args:
        rows: The model's vectors.
        request: How many, from which threshold, and how much memory.
        progress: Is told how far it is.
        centred: Whether the vectors have mean 0 over d, so that random ones must too.
    """
    found = Related()
    neighbours = list_neighbour_relations(rows.vectors)
    connections = list_connection_relations(rows.vectors)
    n_pairs = sum(count_layer_pairs(one, rows.n_layers) for one in (*neighbours, *connections))
    with progress.stage("neighbours", n_pairs, "layer pairs") as advance:
        for relation in neighbours:
            _add_neighbours(found, rows, relation, request, advance)
        for relation in connections:
            _add_connections(found, rows, relation, request, advance)
    found.baselines += _list_baselines(rows, request, centred=centred)
    return found


def _sweep(
    rows: UnitRows, relation: Relation, request: NeighboursRequest, advance: Advance
) -> Swept:
    name = f"{relation.own}·{relation.other}"

    def report(own: int, other: int) -> None:
        advance(1, f"{name}, layers {own} and {other}")

    return sweep_pairs(rows, relation, request.n_top + MARGIN, request.tile_mib * MIB, report)


def _add_neighbours(
    found: Related,
    rows: UnitRows,
    relation: Relation,
    request: NeighboursRequest,
    advance: Advance,
) -> None:
    swept = _sweep(rows, relation, request, advance)
    budget = request.tile_mib * MIB
    lists = settle_lists(rows, relation, swept.there, request.n_top, budget, request.threshold)
    found.neighbours.append(NeighbourColumns(relation.own, *lists[:5]))
    found.n_cut += lists.n_cut


def _add_connections(
    found: Related,
    rows: UnitRows,
    relation: Relation,
    request: NeighboursRequest,
    advance: Advance,
) -> None:
    swept, budget = _sweep(rows, relation, request, advance), request.tile_mib * MIB
    downstream = settle_lists(rows, relation, swept.there, request.n_top, budget)
    upstream = settle_lists(rows, relation.reverse, swept.back, request.n_top, budget)
    pairs = join_sides(downstream, upstream, rows.n_total)
    found.connections.append(ConnectionColumns(relation.other, *pairs))
    assert swept.moments is not None
    found.layers += _list_layers(rows, relation, swept.moments)


def _list_layers(
    rows: UnitRows, relation: Relation, moments: PairMoments
) -> Iterator[LayerConnection]:
    total, squares, smallest, largest = (
        values.cpu().tolist()
        for values in (moments.total, moments.squares, moments.smallest, moments.largest)
    )
    for own, other in iterate_layer_pairs(relation, rows.n_layers):
        n = rows.count_directions(own, relation.own) * rows.count_directions(other, relation.other)
        if n:
            yield LayerConnection(
                relation.other,
                own,
                other,
                total[own][other] / n,
                (squares[own][other] / n) ** 0.5,
                smallest[own][other],
                largest[own][other],
            )


def _list_baselines(
    rows: UnitRows, request: NeighboursRequest, *, centred: bool
) -> Iterator[NeighbourBaseline]:
    directions = draw_directions(request.n_directions, rows.d_model, request.seed, centred=centred)
    nearest: dict[str, Float[Tensor, "layers directions"]] = {
        vector: measure_nearest(rows, vector, directions, request.tile_mib * MIB)
        for vector in rows.vectors
    }
    named = [("neighbour", one, one.own) for one in list_neighbour_relations(rows.vectors)]
    for relation in list_connection_relations(rows.vectors):
        named.append(("downstream", relation, relation.other))
        named.append(("upstream", relation.reverse, relation.other))
    for name, relation, vector in named:
        for one in summarise_nearest(nearest[relation.other], relation):
            layer = NO_LAYER if one.layer is None else one.layer
            yield NeighbourBaseline(name, vector, layer, one.quantile, one.cosine)
