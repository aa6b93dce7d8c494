"""What has been ingested into a database, and what is missing."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Connection, func, select, text

from neurondb.database import sqlite_path
from neurondb.jobs import STAGES
from neurondb.reading.models import MODEL_COLUMNS, Model
from neurondb.schema import tables


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
    """An ingest run that did not come to its end: it still goes on, or was interrupted."""

    run_id: int
    stages: str
    started_at: str
    tool_version: str
    device: str


@dataclass(frozen=True)
class ModelStatus:
    """One model: its stages, and the runs that later ones of the same stages did not finish."""

    model: str
    source: str
    gated: bool
    layers: int
    neurons: int
    stages: tuple[StageStatus, ...]
    open_runs: tuple[OpenRun, ...]


@dataclass(frozen=True)
class DatabaseStatus:
    """A database: where it is, how large, of which schema, with which models."""

    location: str
    size_bytes: int | None
    revision: str | None
    models: tuple[ModelStatus, ...]


def status(connection: Connection) -> DatabaseStatus:
    """Return what has been ingested; sizes of SQLite files count their write-ahead log."""
    m = tables.models.c
    models = [Model(*row) for row in connection.execute(select(*MODEL_COLUMNS).order_by(m.name))]
    return DatabaseStatus(
        _location(connection),
        _size(connection),
        connection.execute(text("SELECT version_num FROM alembic_version")).scalar(),
        tuple(_model_status(connection, model) for model in models),
    )


def _location(connection: Connection) -> str:
    path = sqlite_path(connection.engine.url)
    return connection.engine.url.render_as_string() if path is None else str(path)


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
    return ModelStatus(
        model.name,
        model.source,
        model.gated,
        model.n_layers,
        model.n_neurons,
        tuple(_with_missing(_stages(connection, model), model)),
        _open_runs(connection, model),
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
        if name not in have
    ]
    return sorted(stages, key=_place)


def _place(stage: StageStatus) -> tuple[int, str, str]:
    known = STAGES.index(stage.stage) if stage.stage in STAGES else len(STAGES)
    return known, stage.stage, stage.dataset or ""


def _open_runs(connection: Connection, model: Model) -> tuple[OpenRun, ...]:
    run, later = tables.ingest_runs, tables.ingest_runs.alias("later")
    finished_later = (
        select(later.c.run_id)
        .where(later.c.model_id == run.c.model_id)
        .where(later.c.stages == run.c.stages)
        .where(later.c.run_id > run.c.run_id)
        .where(later.c.finished_at.is_not(None))
        .exists()
    )
    rows = connection.execute(
        select(run.c.run_id, run.c.stages, run.c.started_at, run.c.tool_version, run.c.device)
        .where((run.c.model_id == model.model_id) & run.c.finished_at.is_(None))
        .where(~finished_later)
        .order_by(run.c.run_id)
    )
    return tuple(OpenRun(*row) for row in rows)
