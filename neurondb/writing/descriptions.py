"""Descriptions of all neurons of a model: composed where they are missing or stale, and stored.

They are composed layer by layer, and stored in one transaction at the end: until then what was
there stays, and nothing half-written is ever seen.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from sqlalchemy import URL, Connection, Engine, select

from neurondb import __version__
from neurondb.contracts.progress import Progress
from neurondb.database import connect, format_url, translate_errors
from neurondb.describing.composing import compose, is_nothing
from neurondb.describing.layer_evidence import ModelEvidence
from neurondb.reading.descriptions import compute_basis, read_basis
from neurondb.reading.models import Model, find_model, match_neurons
from neurondb.schema import tables
from neurondb.writing.rows import format_utc_now, insert_columns, transaction


@dataclass(frozen=True)
class DescribeReport:
    """What `describe` did.

    Attributes:
        n: how many neurons were described; 0 where all were up to date.
        n_nothing: of how many of them nothing stands out.
    """

    model: str
    n: int
    n_nothing: int
    seconds: float


def describe_model(
    url: URL, name: str, progress: Progress, *, force: bool = False
) -> DescribeReport:
    """Describe the neurons of a model whose weights are stored, unless that is up to date.

    It reads through a connection that cannot write, so that others may write meanwhile.

    Args:
        url: a database of this version.
        name: the model, as the database calls it or where it was read from.
        progress: what is told how far the work is.
        force: whether to compose what is up to date once more.

    Raises:
        UnknownNameError: when there is no such model.
        DatabaseError: when the database cannot be read or written.
    """
    started = time.perf_counter()
    with _connecting(url) as reader, translate_errors(format_url(url)), reader.connect() as source:
        model = find_model(source, name)
        basis = compute_basis(source, model)
        if not force and read_basis(source, model) == basis:
            return DescribeReport(model.name, 0, 0, time.perf_counter() - started)
        neuron_ids, texts = _compose_all(source, model, progress)
    with _connecting(url, writing=True) as writer, transaction(writer) as connection:
        _replace(connection, model, basis, neuron_ids, texts)
    n_nothing = sum(map(is_nothing, texts))
    return DescribeReport(model.name, len(texts), n_nothing, time.perf_counter() - started)


def renew_basis(
    connection: Connection, model: Model, find_former: Callable[[str, int], int]
) -> None:
    """Let descriptions that came with a copy be up to date, if they were where it is from.

    What they were composed of is told by ids too, which a copy into a database of other models has
    changed. What was out of date stays so.

    Args:
        connection: a transaction of the database that the model was copied into.
        model: as it is there.
        find_former: as in `compute_basis`.
    """
    if read_basis(connection, model) == compute_basis(connection, model, find_former):
        r = tables.description_runs
        renewed = r.update().where(r.c.model_id == model.model_id)
        connection.execute(renewed.values(basis=compute_basis(connection, model)))


@contextmanager
def _connecting(url: URL, *, writing: bool = False) -> Iterator[Engine]:
    engine = connect(url, writing=writing)
    try:
        yield engine
    finally:
        engine.dispose()


def _compose_all(
    connection: Connection, model: Model, progress: Progress
) -> tuple[list[int], list[str]]:
    """Return the ids of the neurons whose weights are stored, and their descriptions."""
    evidence = ModelEvidence(connection, model)
    neuron_ids: list[int] = []
    texts: list[str] = []
    with progress.stage("descriptions", model.n_layers, "layers") as advance:
        for layer in range(model.n_layers):
            n = tables.neurons.c
            query = select(n.neuron_id).where(match_neurons(n.neuron_id, model, layer))
            there = np.array(connection.execute(query.order_by(n.neuron_id)).scalars().all())
            if len(there):
                of_layer = evidence.read_layer(layer)
                first = model.first_neuron_id + layer * model.d_mlp
                texts += [compose(of_layer[neuron_id - first]) for neuron_id in there.tolist()]
                neuron_ids += there.tolist()
            advance(1)
    return neuron_ids, texts


def _replace(
    connection: Connection, model: Model, basis: str, neuron_ids: list[int], texts: list[str]
) -> None:
    d, r = tables.descriptions, tables.description_runs
    connection.execute(d.delete().where(match_neurons(d.c.neuron_id, model)))
    insert_columns(connection, d, {"neuron_id": neuron_ids, "text": texts})
    connection.execute(r.delete().where(r.c.model_id == model.model_id))
    run = {"model_id": model.model_id, "basis": basis, "tool_version": __version__}
    connection.execute(r.insert().values(**run, finished_at=format_utc_now()))
