"""A model's neighbours and connections at a glance: the strongest, the usual, and by chance."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, func, select

from neurondb.errors import UnknownNameError
from neurondb.reading.models import Model, match_neurons
from neurondb.reading.neighbours import (
    DOWNSTREAM,
    HIGH,
    NEIGHBOUR,
    UPSTREAM,
    USUAL,
    NeighbourRun,
    OtherNeuron,
    describe_neurons,
    find_neighbour_run,
)
from neurondb.schema import codes, tables
from neurondb.schema.neighbour_views import SIDES


@dataclass(frozen=True)
class RelatedPair:
    """Two neurons and the cosine of their vectors; of a connection `one` writes, `other` reads."""

    one: OtherNeuron
    other: OtherNeuron
    cosine: float


@dataclass(frozen=True)
class ListSummary:
    """The strongest entry that each neuron has in one kind of list, over all neurons.

    Attributes:
        relation: neighbour, downstream or upstream.
        vector: the vector that neighbours are by, or that connections are read with.
        side: nearest for positive cosines, opposite for negative ones.
        median: the median over neurons of the cosine of the strongest.
        random_usual: the median of the same over random directions, with the sign of the side.
        random_high: what one of a hundred directions exceeds.
        n_beyond: pairs of neighbours beyond the run's threshold; None of connections.
        strongest: the pairs of the largest |cosine|.
    """

    relation: str
    vector: str
    side: str
    median: float
    random_usual: float
    random_high: float
    n_beyond: int | None
    strongest: tuple[RelatedPair, ...]


@dataclass(frozen=True)
class LayerDistance:
    """All connections over a number of layers: root mean square of the cosine ÷ the random one."""

    vector: str
    distance: int
    ratio: float


@dataclass(frozen=True)
class NeighbourSummary:
    """What is stored of a model's neighbours and connections, summed up."""

    run: NeighbourRun
    lists: tuple[ListSummary, ...]
    distances: tuple[LayerDistance, ...]


def read_neighbour_summary(connection: Connection, model: Model, k: int | None) -> NeighbourSummary:
    """Return the summary of a model, with `k` of the strongest pairs of each kind; None is all.

    Pairs are those of which one is the strongest that the other has.

    Raises:
        UnknownNameError: when its neighbours were not computed.
    """
    run = find_neighbour_run(connection, model)
    if run is None:
        raise make_missing_neighbours_error(model)
    lists = (
        *_summarise_neighbours(connection, model, run, k),
        *_summarise_connections(connection, model, run, k),
    )
    return NeighbourSummary(run, lists, tuple(_read_distances(connection, run)))


def make_missing_neighbours_error(model: Model) -> UnknownNameError:
    """Return the error that a model's neighbours were not computed, with the command that does."""
    return UnknownNameError(
        f"no neighbours and connections of {model.name} are stored: run "
        f"`neurondb neighbours {model.name}`"
    )


def _summarise_neighbours(
    connection: Connection, model: Model, run: NeighbourRun, k: int | None
) -> Iterator[ListSummary]:
    r = tables.neighbour_rows.c
    of_model = match_neurons(r.neuron_id, model)
    first = connection.execute(
        select(r.vector_id, r.side, r.neuron_id, r.other_id, r.cosine).where(of_model, r.rank == 0)
    ).all()
    beyond = connection.execute(
        select(r.vector_id, r.side, func.count())
        .where(of_model, func.abs(r.cosine) >= run.threshold, r.neuron_id < r.other_id)
        .group_by(r.vector_id, r.side)
    )
    counts = {(row[0], row[1]): int(row[2]) for row in beyond}
    table = np.array([tuple(row) for row in first], dtype=np.float64).reshape(-1, 5)
    for vector_id, side in sorted({(row[0], row[1]) for row in first}, key=lambda x: (x[0], -x[1])):
        chosen = table[(table[:, 0] == vector_id) & (table[:, 1] == side)]
        yield _summarise(
            connection,
            model,
            run,
            (NEIGHBOUR, int(vector_id), int(side)),
            chosen[:, 2:],
            k,
            counts.get((vector_id, side), 0),
        )


def _summarise_connections(
    connection: Connection, model: Model, run: NeighbourRun, k: int | None
) -> Iterator[ListSummary]:
    c = tables.connection_rows.c
    for relation, rank in ((DOWNSTREAM, c.downstream_rank), (UPSTREAM, c.upstream_rank)):
        rows = connection.execute(
            select(c.vector_id, c.writer_id, c.reader_id, c.cosine).where(
                match_neurons(c.writer_id, model), rank == 0
            )
        ).all()
        table = np.array([tuple(row) for row in rows], dtype=np.float64).reshape(-1, 4)
        for vector_id in sorted({int(row.vector_id) for row in rows}):
            for side in SIDES:
                chosen = table[(table[:, 0] == vector_id) & (side * table[:, 3] > 0)]
                if len(chosen):
                    kind = (relation, vector_id, side)
                    yield _summarise(connection, model, run, kind, chosen[:, 1:], k, None)


def _summarise(
    connection: Connection,
    model: Model,
    run: NeighbourRun,
    kind: tuple[str, int, int],
    rows: NDArray[np.float64],
    k: int | None,
    n_beyond: int | None,
) -> ListSummary:
    relation, vector_id, side = kind
    cosine = rows[:, 2]
    order = np.lexsort((rows[:, 1], rows[:, 0], -np.abs(cosine)))
    pairs: dict[tuple[int, int], float] = {}
    for place in order[
        : None if k is None else 2 * k
    ]:  # a pair of neighbours may stand in the lists of both
        one, other = int(rows[place, 0]), int(rows[place, 1])
        if relation == NEIGHBOUR:
            one, other = sorted((one, other))
        pairs.setdefault((one, other), float(cosine[place]))
    kept = dict(list(pairs.items())[:k])
    neurons = describe_neurons(connection, model, [i for pair in kept for i in pair])
    levels = _read_levels(connection, run, relation, vector_id)
    return ListSummary(
        relation,
        codes.VECTORS[vector_id],
        SIDES[side],
        float(np.median(cosine)),
        side * levels[0],
        side * levels[1],
        n_beyond,
        tuple(RelatedPair(neurons[i], neurons[j], value) for (i, j), value in kept.items()),
    )


def _read_levels(
    connection: Connection, run: NeighbourRun, relation: str, vector_id: int
) -> tuple[float, float]:
    """Return the median and the high quantile of random directions, as means over layers."""
    b = tables.neighbour_baselines.c
    rows = connection.execute(
        select(b.quantile, func.avg(b.cosine))
        .where(b.run_id == run.run_id, b.relation == relation, b.vector_id == vector_id)
        .where(b.quantile.in_((USUAL, HIGH)))
        .group_by(b.quantile)
    )
    levels = {row[0]: float(row[1]) for row in rows}
    return levels[USUAL], levels[HIGH]


def _read_distances(connection: Connection, run: NeighbourRun) -> Iterator[LayerDistance]:
    y = tables.connection_layers.c
    distance = (y.reader_layer - y.writer_layer).label("distance")
    rows = connection.execute(
        select(y.vector_id, distance, func.avg(y.rms * y.rms))
        .where(y.run_id == run.run_id)
        .group_by(y.vector_id, distance)
        .order_by(y.vector_id, distance)
    )
    for vector_id, layers, square in rows:
        yield LayerDistance(codes.VECTORS[vector_id], layers, square**0.5 / run.random_std)
