"""Layers that workers store themselves, where the database is PostgreSQL (docs/distributed.md).

PostgreSQL has many writers, so that a layer's rows need not travel through the process that shares
the layers out: the worker that computed them commits them, together with the layer's step of the
ledger, or nothing. A layer that is begun again because its worker died replaces what the first one
may have stored. SQLite has one writer, which is that process.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeAlias

from sqlalchemy import Engine, select

from ingest.executors import Computation, Worker
from ingest.stages.session import Session
from neurondb.database import connect, format_url, parse_url
from neurondb.errors import DatabaseError
from neurondb.schema import tables
from neurondb.server_locks import is_model_held
from neurondb.writing.ledger import Ledger, Step, StepWriter
from neurondb.writing.models import StoredModel
from neurondb.writing.rows import transaction

WriteLayer: TypeAlias = Callable[[StepWriter, int, Any], None]
"""Writes the record of a layer."""


class StoredLayer(NamedTuple):
    """What a worker says of a layer that it has stored: how many rows it wrote."""

    n_rows: int


@dataclass
class StoringDatabase:
    """A database of PostgreSQL as workers find it, and the run that they store layers for.

    Attributes:
        url: Its URL, with the password if that has one.
        model: The model.
        run_id: The run.
        started_at: When that began, by which it is told from one of another database.
    """

    url: str = field(repr=False)
    model: StoredModel
    run_id: int
    started_at: str
    _engine: Engine | None = field(default=None, repr=False)
    _is_refused: bool = field(default=False, repr=False)

    def open(self, worker: Worker) -> Engine | None:
        """Return the database, the same each time; None, and a note, where it is not to be had.

        A worker may not reach it, or find another database under the same URL: that has not this
        run, or nobody who holds this model meanwhile.
        """
        if self._engine is None and not self._is_refused:
            found = None
            with suppress(DatabaseError):
                found = connect(parse_url(self.url), writing=True)
                if self._has_run(found):
                    self._engine = found
            if self._engine is None:
                self._is_refused = True
                if found is not None:
                    found.dispose()
                worker.progress.note(
                    f"{socket.gethostname()} does not find this run at "
                    f"{format_url(parse_url(self.url))}: the rows of its layers are sent here to "
                    "be stored"
                )
        return self._engine

    def _has_run(self, engine: Engine) -> bool:
        r = tables.ingest_runs.c
        with transaction(engine) as connection:
            started_at = connection.scalar(
                select(r.started_at).where(
                    r.run_id == self.run_id, r.model_id == self.model.model_id
                )
            )
            return started_at == self.started_at and is_model_held(connection, self.model.name)


@dataclass
class LayerComputation:
    """A computation: a layer's record and the seconds it took; or its rows, stored by the worker.

    Attributes:
        compute: Computes a layer, given by its number.
        write: Writes its record.
        database: Where workers store; None where they hand over what they computed.
        turn: Names what the layers of a model share, for one to be stored after the other; None
            where they share nothing.
    """

    compute: Computation
    write: WriteLayer
    database: StoringDatabase | None
    turn: str | None = None

    def __call__(self, step: Step, worker: Worker) -> StoredLayer | tuple[Any, float]:
        """Compute a layer, and store it where that is to be done here.

        Raises:
            NeuronDBError: as `compute` does; or the layer cannot be stored.
        """
        record, seconds = self.compute(step.layer, worker)
        engine = None if self.database is None else self.database.open(worker)
        if self.database is None or engine is None:
            return record, seconds
        model = self.database.model
        ledger = Ledger(engine, model, self.database.run_id, force=False)
        with ledger.finishing(step, self._name_turn(step, model)) as writer:
            writer.seconds = seconds
            self.write(writer, step.layer, record)
        return StoredLayer(writer.n_rows)

    def _name_turn(self, step: Step, model: StoredModel) -> str:
        """Name what no other transaction may write meanwhile: this layer, at the least.

        A worker that is given up may still be storing when another one has begun its layer again.
        """
        return f"{self.turn or f'{step.stage} {step.layer}'} of model {model.model_id}"


def divide_storing(
    session: Session, compute: Computation, write: WriteLayer, turn: str | None = None
) -> LayerComputation:
    """Return the computation that also stores layers, where that is to be had: on PostgreSQL.

    One worker alone is faster when this process stores what it has computed before.
    """
    engine, ledger = session.engine, session.ledger
    if engine.dialect.name != "postgresql" or len(session.executor.devices) == 1:
        return LayerComputation(compute, write, None, turn)
    r = tables.ingest_runs.c
    with transaction(engine) as connection:
        started_at = connection.scalar(select(r.started_at).where(r.run_id == ledger.run_id))
    url = engine.url.render_as_string(hide_password=False)
    database = StoringDatabase(url, ledger.model, ledger.run_id, str(started_at))
    return LayerComputation(compute, write, database, turn)


def finish_layer(
    session: Session, step: Step, outcome: StoredLayer | tuple[Any, float], write: WriteLayer
) -> None:
    """Store what a worker handed over of a layer, or count what it has stored itself."""
    if isinstance(outcome, StoredLayer):
        session.count_rows(step, outcome.n_rows)
        return
    record, seconds = outcome
    with session.finishing(step, seconds) as writer:
        write(writer, step.layer, record)
