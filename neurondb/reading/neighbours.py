"""A neuron's neighbours, what reads what it writes, and what writes what it reads (METHODS §8)."""

from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection, Row, func, select

from neurondb.reading.models import Model
from neurondb.schema import codes, tables
from neurondb.schema.neighbour_views import SIDES

NEIGHBOUR, DOWNSTREAM, UPSTREAM = "neighbour", "downstream", "upstream"
"""The relations that random directions are measured for."""
USUAL, HIGH = 0.5, 0.99
"""The quantiles of random directions that pages show."""
_OUT_TOP: Final = codes.encode_token_list(
    codes.VECTORS.index("out"), codes.BASES.index("unembed"), codes.DIRECTIONS.index("top")
)
_IDS_PER_STATEMENT: Final = 500


@dataclass(frozen=True)
class NeighbourRun:
    """A run as its row describes it.

    Attributes:
        n_top: entries of each list: of a vector, and of a sign of the cosine.
        threshold: |cosine| from which all neighbours are stored.
        n_directions: random directions that the baselines are of, drawn by `seed`.
        random_std: standard deviation of a cosine with a random direction.
        n_cut: lists of neighbours that have more beyond the threshold than are stored.
    """

    run_id: int
    model_id: int
    n_top: int
    threshold: float
    n_directions: int
    seed: int
    random_std: float
    n_cut: int
    seconds: float | None
    device: str
    tool_version: str
    created_at: str


@dataclass(frozen=True)
class OtherNeuron:
    """A neuron that another one is related to.

    Attributes:
        class_name: its read-write class; None without one.
        promotes: the token that its out vector promotes most; None where that is not ingested.
    """

    neuron_id: int
    name: str
    layer: int
    class_name: str | None
    promotes: str | None


@dataclass(frozen=True)
class Neighbour:
    """A neuron whose vector has a large cosine with that of another one.

    Attributes:
        side: nearest or opposite.
        rank: place among those of the same vector and side; 0 is the strongest.
    """

    other: OtherNeuron
    vector: str
    side: str
    rank: int
    cosine: float

    @property
    def magnitude(self) -> float:
        """|cosine|, by which the strongest are chosen."""
        return abs(self.cosine)


@dataclass(frozen=True)
class Connected:
    """A neuron of another layer that reads what one writes, or that writes what one reads.

    Attributes:
        reads_with: gate or in, of the one that reads.
        score: the cosine in standard deviations of random directions.
        strength: the dot product of the two vectors; None while norms are missing.
        rank: its place among those of the same vector and sign, seen from the neuron asked about.
        back_rank: the place of the neuron asked about in the list of the other one; None where it
            is beyond it.
    """

    other: OtherNeuron
    reads_with: str
    cosine: float
    score: float
    strength: float | None
    rank: int
    back_rank: int | None


class RandomLevel(NamedTuple):
    """How large the largest cosine of a random direction is, in a neuron's place.

    Attributes:
        relation: neighbour, downstream or upstream.
        vector: the vector that neighbours are by, or that connections are read with.
        usual: the median over directions.
        high: what one of a hundred directions exceeds.
    """

    relation: str
    vector: str
    usual: float
    high: float


@dataclass(frozen=True)
class Relations:
    """What is stored of a neuron's relations to others of its model.

    Attributes:
        run: the run that they are of.
        neighbours: by vector and side, the strongest first.
        upstream: who writes what it reads, the largest |cosine| first.
        downstream: who reads what it writes, the largest |cosine| first.
        n_upstream: pairs with a neuron that writes what it reads, those too that are in the list of
            the other one alone.
        n_downstream: pairs with one that reads what it writes.
        random: what random directions have in its place.
    """

    run: NeighbourRun
    neighbours: tuple[Neighbour, ...]
    upstream: tuple[Connected, ...]
    downstream: tuple[Connected, ...]
    n_upstream: int
    n_downstream: int
    random: tuple[RandomLevel, ...]

    @property
    def nearest(self) -> tuple[Neighbour, ...]:
        """The neighbours by every vector, alike or opposite, the largest |cosine| first."""
        return tuple(sorted(self.neighbours, key=lambda one: -one.magnitude))

    @property
    def chance(self) -> float:
        """What one of a hundred random directions exceeds, in any of the lists."""
        return max((level.high for level in self.random), default=0.0)


_RUN_COLUMNS: Final = tuple(tables.neighbour_runs.c[field.name] for field in fields(NeighbourRun))


def find_stored_neighbours(connection: Connection, request: str) -> int | None:
    """Return the run that was asked for in this way, by the sha256 of the request; None if none."""
    r = tables.neighbour_runs.c
    return connection.scalar(select(r.run_id).where(r.request == request))


def find_neighbour_run(connection: Connection, model: Model) -> NeighbourRun | None:
    """Return the run that a model's neighbours are of; None where none are stored."""
    of_model = tables.neighbour_runs.c.model_id == model.model_id
    row = connection.execute(select(*_RUN_COLUMNS).where(of_model)).first()
    return None if row is None else NeighbourRun(*row)


def read_relations(
    connection: Connection, model: Model, neuron_id: int, k: int | None = None
) -> Relations | None:
    """Return the relations of one neuron to others; None where the model's are not stored.

    Connections are those of its own lists; others may have it in theirs, which are counted.

    Args:
        connection: an open connection.
        model: the model of the neuron.
        neuron_id: the neuron.
        k: entries of each list; None is all.
    """
    run = find_neighbour_run(connection, model)
    if run is None:
        return None
    near = _select_neighbours(connection, neuron_id, k)
    sides = {
        name: _select_connected(connection, neuron_id, name, k) for name in (UPSTREAM, DOWNSTREAM)
    }
    ids = [row.other_id for rows in (near, *sides.values()) for row in rows]
    others = describe_neurons(connection, model, ids)
    return Relations(
        run,
        tuple(
            Neighbour(
                others[row.other_id],
                codes.VECTORS[row.vector_id],
                SIDES[row.side],
                row.rank,
                row.cosine,
            )
            for row in near
        ),
        tuple(_make_connected(row, others, run) for row in sides[UPSTREAM]),
        tuple(_make_connected(row, others, run) for row in sides[DOWNSTREAM]),
        _count_connected(connection, neuron_id, UPSTREAM),
        _count_connected(connection, neuron_id, DOWNSTREAM),
        read_random_levels(connection, run, model.locate(neuron_id)[0]),
    )


def _select_neighbours(connection: Connection, neuron_id: int, k: int | None) -> list[Row[Any]]:
    r = tables.neighbour_rows.c
    rows = select(r.other_id, r.vector_id, r.side, r.rank, r.cosine).where(r.neuron_id == neuron_id)
    if k is not None:
        rows = rows.where(r.rank < k)
    return list(connection.execute(rows.order_by(r.vector_id, r.side.desc(), r.rank)))


def _select_connected(
    connection: Connection, neuron_id: int, relation: str, k: int | None
) -> list[Row[Any]]:
    """Return the rows of one side that are in the neuron's lists, the largest |cosine| first."""
    c, w, d = tables.connection_rows.c, tables.neurons.alias(), tables.neurons.alias()
    own, other, rank, back = (
        (c.writer_id, c.reader_id, c.downstream_rank, c.upstream_rank)
        if relation == DOWNSTREAM
        else (c.reader_id, c.writer_id, c.upstream_rank, c.downstream_rank)
    )
    columns = (
        *(other.label("other_id"), c.vector_id, c.cosine),
        *(rank.label("rank"), back.label("back_rank")),
        *(w.c.out_norm, d.c.gate_norm, d.c.in_norm),
    )
    rows = (
        select(*columns)
        .join_from(tables.connection_rows, w, w.c.neuron_id == c.writer_id)
        .join(d, d.c.neuron_id == c.reader_id)
        .where(own == neuron_id, rank.is_not(None))
    )
    if k is not None:
        rows = rows.where(rank < k)
    return sorted(connection.execute(rows), key=lambda row: (-abs(row.cosine), row.other_id))


def _count_connected(connection: Connection, neuron_id: int, relation: str) -> int:
    c = tables.connection_rows.c
    own = c.writer_id if relation == DOWNSTREAM else c.reader_id
    counted = select(func.count()).select_from(tables.connection_rows).where(own == neuron_id)
    return int(connection.execute(counted).scalar_one())


def _make_connected(row: Row[Any], others: dict[int, OtherNeuron], run: NeighbourRun) -> Connected:
    vector = codes.VECTORS[row.vector_id]
    norm = row.gate_norm if vector == "gate" else row.in_norm
    known = norm is not None and row.out_norm is not None
    return Connected(
        others[row.other_id],
        vector,
        row.cosine,
        row.cosine / run.random_std,
        row.cosine * row.out_norm * norm if known else None,
        row.rank,
        row.back_rank,
    )


def describe_neurons(
    connection: Connection, model: Model, ids: Iterable[int]
) -> dict[int, OtherNeuron]:
    """Return neurons by their id, with their class and the token that they promote most."""
    wanted = sorted(set(ids))
    k, q, p, t = (
        tables.rw_classes.c,
        tables.classes.c,
        tables.top_token_rows.c,
        tables.tokens.c,
    )
    class_names: dict[int, str] = {}
    tokens: dict[int, str] = {}
    for start in range(0, len(wanted), _IDS_PER_STATEMENT):
        part = wanted[start : start + _IDS_PER_STATEMENT]
        of_class = (
            select(q.neuron_id, k.name)
            .join_from(tables.classes, tables.rw_classes, k.class_id == q.class_id)
            .where(q.neuron_id.in_(part), q.threshold == model.threshold)
        )
        class_names |= {row[0]: row[1] for row in connection.execute(of_class)}
        is_token = (t.token_id == p.token_id) & (t.model_id == model.model_id)
        promoted = (
            select(p.neuron_id, t.token)
            .join_from(tables.top_token_rows, tables.tokens, is_token)
            .where(p.neuron_id.in_(part), p.list_id == _OUT_TOP, p.rank == 0)
        )
        tokens |= {row[0]: row[1] for row in connection.execute(promoted)}
    return {
        one: OtherNeuron(
            one,
            model.name_neuron(one),
            model.locate(one)[0],
            class_names.get(one),
            tokens.get(one),
        )
        for one in wanted
    }


def read_random_levels(
    connection: Connection, run: NeighbourRun, layer: int
) -> tuple[RandomLevel, ...]:
    """Return what random directions have in the place of a neuron of a layer."""
    b = tables.neighbour_baselines.c
    rows = connection.execute(
        select(b.relation, b.vector_id, b.quantile, b.cosine)
        .where(b.run_id == run.run_id, b.layer.in_((-1, layer)), b.quantile.in_((USUAL, HIGH)))
        .order_by(b.relation, b.vector_id)
    ).all()
    found = {(row.relation, row.vector_id, row.quantile): row.cosine for row in rows}
    return tuple(
        RandomLevel(
            relation,
            codes.VECTORS[vector_id],
            found[relation, vector_id, USUAL],
            found[relation, vector_id, HIGH],
        )
        for relation, vector_id in dict.fromkeys((row.relation, row.vector_id) for row in rows)
    )
