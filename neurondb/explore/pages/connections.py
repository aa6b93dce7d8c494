"""The graph around one neuron: who writes what it reads, and who reads what it writes.

Every neuron in it is a link that puts that one into the middle.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from neurondb.errors import UsageError
from neurondb.explore.notation import quote_name
from neurondb.explore.parameters import read_place
from neurondb.explore.site import Page, Request
from neurondb.explore.sql import Sql
from neurondb.formatting.text import make_visible
from neurondb.name_matching import quote_word
from neurondb.reading.models import Model, find_model
from neurondb.reading.neighbours import (
    Connected,
    Neighbour,
    OtherNeuron,
    RandomLevel,
    describe_neurons,
    read_relations,
)
from neurondb.reading.neuron import Identity, read_identity

_CONNECTIONS: Final = """SELECT 'downstream' AS relation, reader AS other, reads_with, cosine,
       score, strength
FROM connections
WHERE writer_id = :neuron_id AND downstream_rank IS NOT NULL
UNION ALL
SELECT 'upstream' AS relation, writer AS other, reads_with, cosine, score, strength
FROM connections
WHERE reader_id = :neuron_id AND upstream_rank IS NOT NULL
ORDER BY relation, cosine DESC"""
_NEIGHBOURS: Final = """SELECT vector, side, rank, other, cosine
FROM neighbours
WHERE neuron_id = :neuron_id
ORDER BY vector, side, rank"""
READS: Final = ("gate", "in")
NEIGHBOURS: Final = 8
WIDEST: Final = 6.0
"""Width of the line of the strongest connection."""


@dataclass(frozen=True)
class Line:
    """A connection as it is drawn between two columns, 100 wide.

    Attributes:
        start: height of its end at the other neuron, in rows.
        end: height of its end at the neuron in the middle.
        width: of the line.
        reads_with: gate or in.
        positive: whether the cosine is.
    """

    start: float
    end: float
    width: float
    reads_with: str
    positive: bool


@dataclass(frozen=True)
class Node:
    """A neuron beside the one in the middle, and the connections between both."""

    other: OtherNeuron
    connections: tuple[Connected, ...]


@dataclass(frozen=True)
class Side:
    """The neurons before the one in the middle, or those behind it, the strongest first.

    Attributes:
        n_stored: pairs of the neuron on this side that are stored, in lists of others too.
        expression: finds these.
    """

    expression: str
    nodes: tuple[Node, ...]
    lines: tuple[Line, ...]
    n_stored: int


@dataclass(frozen=True)
class Graph:
    """A neuron's graph.

    Attributes:
        about: its class and the token that it promotes.
        by: what connections are read with: gate, in, or both.
        upstream: who writes what it reads.
        downstream: who reads what it writes.
        neighbours: neurons whose vectors are alike or opposite, the strongest first.
        random: what random directions have in its place.
        missing: the command that computes connections, where none are stored.
    """

    identity: Identity
    about: OtherNeuron
    by: str
    upstream: Side
    downstream: Side
    neighbours: tuple[Neighbour, ...]
    random: tuple[RandomLevel, ...]
    missing: str | None
    sql: dict[str, Sql]


def answer(request: Request) -> Page:
    """Return the graph around a neuron; `?by=gate` has what is read with gate alone.

    Raises:
        UnknownNameError: when the database has no such model or neuron.
        UsageError: when `by` is neither gate, in, nor both.
    """
    connection, path = request.connection, request.path
    model = find_model(connection, path["model"])
    identity = read_identity(connection, model, *read_place(path, model)[:2])
    by = _read_choice(request.query.get("by"), model)
    key = identity.neuron_id
    found = read_relations(connection, model, key)
    before, behind = ((), ()) if found is None else (found.upstream, found.downstream)
    n_before, n_behind = (0, 0) if found is None else (found.n_upstream, found.n_downstream)
    nearest = () if found is None else found.nearest[:NEIGHBOURS]
    content = Graph(
        identity,
        describe_neurons(connection, model, [key])[key],
        by,
        _make_side("upstream", identity, before, by, n_before),
        _make_side("downstream", identity, behind, by, n_behind),
        nearest,
        () if found is None else found.random,
        f"neurondb neighbours {model.name}" if found is None else None,
        {
            "connections": Sql("its connections", _CONNECTIONS, {"neuron_id": key}),
            "neighbours": Sql("its neighbours", _NEIGHBOURS, {"neuron_id": key}),
        },
    )
    title = f"Connections of {make_visible(model.name)} {identity.name}"
    return Page("connections", title, content)


def _read_choice(given: str | None, model: Model) -> str:
    choices = ("both", *READS) if model.gated else ("both", "in")
    if not given or given in choices:
        return given or choices[0]
    raise UsageError(f"by={quote_word(given)}: connections are read by {', '.join(choices)}")


def _make_side(
    relation: str, identity: Identity, connected: Sequence[Connected], by: str, n_stored: int
) -> Side:
    """Return a side, whose lines end at half the height of its neurons one above the other."""
    kept = [one for one in connected if by in ("both", one.reads_with)]
    ids = dict.fromkeys(one.other.neuron_id for one in kept)
    nodes = [[one for one in kept if one.other.neuron_id == i] for i in ids]
    largest = max((abs(one.cosine) for one in kept), default=1.0)
    lines = [
        Line(
            row + (place + 1) / (len(node) + 1),
            len(nodes) / 2,
            WIDEST * abs(one.cosine) / largest,
            one.reads_with,
            one.cosine > 0,
        )
        for row, node in enumerate(nodes)
        for place, one in enumerate(node)
    ]
    expression = f"{relation}({identity.name}) model={quote_name(identity.model)}"
    described = tuple(Node(node[0].other, tuple(node)) for node in nodes)
    return Side(expression, described, tuple(lines), n_stored)
