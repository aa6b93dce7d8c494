"""What has been ingested into a database, and what is missing."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sqlalchemy import Connection, func, select, text

from neurondb.database import called, sqlite_path
from neurondb.jobs import STAGES
from neurondb.reading.activations import find_dataset
from neurondb.reading.models import MODEL_COLUMNS, Model, find_model
from neurondb.schema import tables

ORDER: Final = (
    "weights",
    "classes",
    "tokens",
    "vocab",
    "properties",
    "texts",
    "activations",
    "traces",
)
"""Stages and their parts as ingest comes to them; a threshold's classes are `classes 0.5`."""

ON_REQUEST: Final = ("traces",)
"""Stages that `ingest` runs only when they are named: without one nothing is missing."""


@dataclass(frozen=True)
class StageStatus:
    """How far one stage of a model is; a stage of the whole model has all layers or none.

    Attributes:
        rows: rows that its finished steps wrote.
        seconds: what these took.
        finished_at: when the last of them was stored, UTC.
    """

    stage: str
    dataset: str | None
    layers_done: int
    layers: int
    rows: int
    seconds: float
    finished_at: str | None


@dataclass(frozen=True)
class OpenRun:
    """An ingest run without an end: it still goes on, was interrupted, or was refused."""

    run_id: int
    stages: str
    started_at: str
    tool_version: str
    device: str


@dataclass(frozen=True)
class ModelStatus:
    """One model: what neuron_overview shows of it, its stages, its latest run if that is open.

    Attributes:
        threshold: τ of the class that neuron_overview shows.
        dataset: whose activations it shows; None before there are any.
        stages: in the order in which ingest comes to them.
        n_rows: rows of U and of E.
        n_unused_rows: those that no token has; None where that is not known.
        quantisation: how a GGUF file's weights are quantised; None of a model in hub format.
    """

    model: str
    source: str
    gated: bool
    layers: int
    neurons: int
    threshold: float
    dataset: str | None
    stages: tuple[StageStatus, ...]
    open_run: OpenRun | None
    n_rows: int = 0
    n_unused_rows: int | None = None
    quantisation: str | None = None


@dataclass(frozen=True)
class DatabaseStatus:
    """A database: where it is, how large, of which schema, with which models."""

    location: str
    size_bytes: int | None
    revision: str | None
    models: tuple[ModelStatus, ...]


def status(connection: Connection, name: str | None = None) -> DatabaseStatus:
    """Return what has been ingested, of one model or of all.

    Sizes of SQLite files count their write-ahead log.

    Raises:
        UnknownNameError: when there is no model of that name.
    """
    m = tables.models.c
    if name is None:
        rows = connection.execute(select(*MODEL_COLUMNS).order_by(m.name))
        models = [Model(*row) for row in rows]
    else:
        models = [find_model(connection, name)]
    return DatabaseStatus(
        _location(connection),
        _size(connection),
        connection.execute(text("SELECT version_num FROM alembic_version")).scalar(),
        tuple(_model_status(connection, model) for model in models),
    )


def _location(connection: Connection) -> str:
    path = sqlite_path(connection.engine.url)
    return called(connection.engine.url) if path is None else str(path)


def _size(connection: Connection) -> int | None:
    if connection.dialect.name == "postgresql":
        size = connection.execute(text("SELECT pg_database_size(current_database())")).scalar()
        return None if size is None else int(size)
    path = sqlite_path(connection.engine.url)
    if path is None:
        return None
    files = (path, Path(f"{path}-wal"))
    return sum(file.stat().st_size for file in files if file.exists())


def _model_status(connection: Connection, model: Model) -> ModelStatus:
    dataset = find_dataset(connection, model, None)
    return ModelStatus(
        model.name,
        model.source,
        model.gated,
        model.n_layers,
        model.n_neurons,
        model.threshold,
        None if dataset is None else dataset.name,
        tuple(_with_missing(_stages(connection, model), model)),
        _open_run(connection, model),
        model.d_vocab,
        model.n_unused_rows,
        model.quantisation,
    )


def _stages(connection: Connection, model: Model) -> list[StageStatus]:
    s, d = tables.ingest_steps.c, tables.dataset_rows.c
    rows = connection.execute(
        select(
            s.stage,
            d.name.label("dataset"),
            func.count(s.layer.distinct()).filter(s.layer >= 0).label("layers"),
            func.sum(s.n_rows).label("rows"),
            func.sum(s.seconds).label("seconds"),
            func.max(s.finished_at).label("finished_at"),
        )
        .outerjoin_from(tables.ingest_steps, tables.dataset_rows, d.dataset_id == s.dataset_id)
        .where(s.model_id == model.model_id)
        .group_by(s.stage, d.name)
        .order_by(s.stage, d.name)
    )
    return [
        StageStatus(
            row.stage,
            row.dataset,
            # A stage without a step of any layer is one of the whole model: one step, all layers.
            row.layers or model.n_layers,
            model.n_layers,
            row.rows or 0,
            row.seconds or 0.0,
            row.finished_at,
        )
        for row in rows
    ]


def _with_missing(found: Iterable[StageStatus], model: Model) -> list[StageStatus]:
    stages = list(found)
    have = {stage.stage for stage in stages}
    stages += [
        StageStatus(name, None, 0, model.n_layers, 0, 0.0, None)
        for name in STAGES
        if name not in have and name not in ON_REQUEST
    ]
    return sorted(stages, key=_place)


def _place(stage: StageStatus) -> tuple[int, str, str]:
    known = ORDER.index(kind) if (kind := stage.stage.split(" ")[0]) in ORDER else len(ORDER)
    return known, stage.stage, stage.dataset or ""


def _open_run(connection: Connection, model: Model) -> OpenRun | None:
    r = tables.ingest_runs.c
    row = connection.execute(
        select(r.run_id, r.stages, r.started_at, r.tool_version, r.device, r.finished_at)
        .where(r.model_id == model.model_id)
        .order_by(r.run_id.desc())
        .limit(1)
    ).first()
    return None if row is None or row.finished_at is not None else OpenRun(*row[:-1])
