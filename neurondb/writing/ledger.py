"""The ledger: each finished step commits together with its rows, and is not done twice."""

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Int
from sqlalchemy import Connection, Engine, Table, insert, select, update
from sqlalchemy.sql.elements import ColumnElement

from neurondb.errors import IngestError
from neurondb.schema import tables
from neurondb.server_locks import take_turn
from neurondb.spelling import option
from neurondb.writing.models import StoredModel
from neurondb.writing.rows import format_utc_now, insert_columns, transaction, update_columns

WHOLE_MODEL = -1
"""Layer number of a step that is not of one layer."""

Settings = Mapping[str, object]


@dataclass(frozen=True)
class Step:
    """One unit of work that is either stored whole, with its ledger row, or not at all."""

    stage: str
    layer: int
    settings: Settings
    dataset_id: int | None = None


class Ledger:
    """The steps that are stored for a model; `finishing` stores one more."""

    def __init__(self, engine: Engine, model: StoredModel, run_id: int, *, force: bool) -> None:
        self.engine = engine
        self.model = model
        self.run_id = run_id
        self._force = force

    def is_done(self, step: Step) -> bool:
        """Tell whether a step is stored; under `force`, steps of earlier runs do not count.

        Raises:
            IngestError: when it is stored with other settings.
        """
        stored = self._find(step)
        if stored is None:
            return False
        run_id, settings = stored
        if self._force and run_id != self.run_id:
            return False
        settings_asked = _encode_settings(step.settings)
        if settings != settings_asked:
            differences = _describe_changes(json.loads(settings), json.loads(settings_asked))
            raise IngestError(
                f"{self.model.name}: {step.stage} is stored with {differences[0]}, asked for with "
                f"{differences[1]}; choose another {option('name')}, or add {option('force')} to "
                "replace what is stored"
            )
        return True

    def _find(self, step: Step) -> tuple[int, str] | None:
        ledger = tables.ingest_steps.c
        with transaction(self.engine) as connection:
            row = connection.execute(
                select(ledger.run_id, ledger.settings).where(self._is(step))
            ).first()
        return None if row is None else (row.run_id, row.settings)

    def _is(self, step: Step) -> ColumnElement[bool]:
        ledger = tables.ingest_steps.c
        return (
            (ledger.model_id == self.model.model_id)
            & (ledger.stage == step.stage)
            & (ledger.layer == step.layer)
            & ledger.dataset_id.is_not_distinct_from(step.dataset_id)
        )

    def has(self, step: Step) -> bool:
        """Tell whether a step is stored with these settings, in this run or in an earlier one."""
        stored = self._find(step)
        return stored is not None and stored[1] == _encode_settings(step.settings)

    @contextmanager
    def completing(self, step: Step) -> Iterator["StepWriter"]:
        """Add to a stored step what a version before left out; its new settings say so.

        It stays a step of its run. What is written inside commits with the settings, or not at all.
        """
        started = time.perf_counter()
        steps = tables.ingest_steps
        with transaction(self.engine) as connection:
            writer = StepWriter(connection, self.model)
            yield writer
            values = {
                "settings": _encode_settings(step.settings),
                "n_rows": steps.c.n_rows + writer.n_rows,
                "seconds": steps.c.seconds + (writer.seconds + time.perf_counter() - started),
            }
            connection.execute(update(steps).where(self._is(step)).values(values))

    @contextmanager
    def finishing(self, step: Step, turn: str | None = None) -> Iterator["StepWriter"]:
        """Store a step: what is written inside commits with its ledger row, or not at all.

        `turn` names what no other transaction may look up and write meanwhile (`take_turn`).
        """
        started = time.perf_counter()
        with transaction(self.engine) as connection:
            if turn is not None:
                take_turn(connection, turn)
            connection.execute(tables.ingest_steps.delete().where(self._is(step)))
            writer = StepWriter(connection, self.model)
            yield writer
            connection.execute(
                insert(tables.ingest_steps),
                {
                    "run_id": self.run_id,
                    "model_id": self.model.model_id,
                    "dataset_id": step.dataset_id,
                    "stage": step.stage,
                    "layer": step.layer,
                    "settings": _encode_settings(step.settings),
                    "n_rows": writer.n_rows,
                    "seconds": writer.seconds + time.perf_counter() - started,
                    "finished_at": format_utc_now(),
                },
            )


class StepWriter:
    """Writes the rows of one step inside its transaction, replacing those of an earlier run."""

    def __init__(self, connection: Connection, model: StoredModel) -> None:
        self.connection = connection
        self.model = model
        self.n_rows = 0
        self.seconds = 0.0  # of computing, added by the job; that of writing is measured

    def neuron_ids(self, layer: int) -> Int[np.ndarray, " neurons"]:
        """Return the ids of a layer's neurons."""
        return np.arange(*self.model.neuron_ids(layer))

    def replace(
        self, table: Table, columns: Mapping[str, Any], condition: ColumnElement[bool]
    ) -> None:
        """Delete the rows `condition` holds for and insert those of `columns`."""
        self.connection.execute(table.delete().where(condition))
        self.insert(table, columns)

    def insert(self, table: Table, columns: Mapping[str, Any]) -> None:
        """Insert the rows of `columns`."""
        self.n_rows += insert_columns(self.connection, table, columns)

    def replace_neurons(self, layer: int, columns: Mapping[str, Any]) -> None:
        """Replace the neurons of a layer, to which the rows of other stages refer."""
        if self.connection.dialect.name == "postgresql":
            self.n_rows += update_columns(self.connection, tables.neurons, columns)
        else:
            self.replace_layer(tables.neurons, layer, columns)

    def replace_layer(
        self, table: Table, layer: int, columns: Mapping[str, Any], **equal_to: object
    ) -> None:
        """Replace a layer's rows; `equal_to` narrows them to those with these values."""
        first, end = self.model.neuron_ids(layer)
        condition = (table.c.neuron_id >= first) & (table.c.neuron_id < end)
        for name, value in equal_to.items():
            condition &= table.c[name] == value
        self.replace(table, columns, condition)


def _encode_settings(settings: Settings) -> str:
    return json.dumps(settings, sort_keys=True)


def _describe_changes(stored: dict[str, Any], asked: dict[str, Any]) -> tuple[str, str]:
    keys = [k for k in sorted(stored | asked) if stored.get(k) != asked.get(k)]
    return tuple(  # type: ignore[return-value]
        ", ".join(f"{k} = {side.get(k)}" for k in keys) for side in (stored, asked)
    )
