"""What has been ingested into a database, stage by stage, and what is missing."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sqlalchemy import Connection, func, select, text

from neurondb.contracts.ingest import STAGES
from neurondb.database import format_url, get_sqlite_path
from neurondb.reading.descriptions import has_stale_descriptions
from neurondb.reading.models import MODEL_COLUMNS, Model, find_model
from neurondb.reading.texts import find_dataset
from neurondb.schema import tables

STAGE_ORDER: Final = (
    "weights",
    "classes",
    "tokens",
    "vocab",
    "properties",
    "logit_effects",
    "texts",
    "activations",
    "peaks",
    "traces",
)
"""Stages and their parts in the order of `ingest`; the classes at τ = 0.5 are `classes 0.5`."""


OPTIONAL_STAGES: Final = ("traces",)
"""Stages that `ingest` runs only when they are named; a model without them lacks nothing."""


@dataclass(frozen=True)
class StageStatus:
    """How far one stage of a model is; a stage of the whole model has all layers or none.

    Attributes:
        dataset: name of the dataset it is of; None for a stage of the weights.
        layers_done: how many layers are finished.
        layers: how many layers the model has.
        rows: how many rows its finished steps wrote.
        seconds: how long they took.
        finished_at: when the last of them was stored, in UTC; None before the first.
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
    """An `ingest` run without an end: it still goes on, was interrupted, or was refused."""

    run_id: int
    stages: str
    started_at: str
    tool_version: str
    device: str


@dataclass(frozen=True)
class ModelStatus:
    """What a database has of one model, and what it lacks.

    Attributes:
        source: the hub id or the directory that it was read from.
        layers: how many layers it has.
        neurons: how many neurons all layers have.
        threshold: the τ of the classes that `neuron_overview` shows.
        dataset: the dataset whose activations `neuron_overview` shows; None before there are any.
        stages: in the order in which `ingest` comes to them, those missing included.
        open_run: its latest run, if that has no end.
        n_rows: how many rows U and E have.
        n_unused_rows: how many of them no token has; None where that is not known.
        quantisation: how a GGUF file stores the weights; None for a model in hub format.
        stale_descriptions: whether its neurons' descriptions are of what was stored before.
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
    stale_descriptions: bool = False


@dataclass(frozen=True)
class DatabaseStatus:
    """A database and the models in it.

    Attributes:
        location: path of the file, or the URL without a password.
        size_bytes: its size; None where that cannot be known.
        revision: version of its schema.
    """

    location: str
    size_bytes: int | None
    revision: str | None
    models: tuple[ModelStatus, ...]


def read_status(connection: Connection, name: str | None = None) -> DatabaseStatus:
    """Return what has been ingested of the named model, or of all models.

    The size of a SQLite file includes its write-ahead log.

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
        _describe_location(connection),
        _measure_size(connection),
        connection.execute(text("SELECT version_num FROM alembic_version")).scalar(),
        tuple(_read_model_status(connection, model) for model in models),
    )


def _describe_location(connection: Connection) -> str:
    path = get_sqlite_path(connection.engine.url)
    return format_url(connection.engine.url) if path is None else str(path)


def _measure_size(connection: Connection) -> int | None:
    if connection.dialect.name == "postgresql":
        size = connection.execute(text("SELECT pg_database_size(current_database())")).scalar()
        return None if size is None else int(size)
    path = get_sqlite_path(connection.engine.url)
    if path is None:
        return None
    files = (path, Path(f"{path}-wal"))
    return sum(file.stat().st_size for file in files if file.exists())


def _read_model_status(connection: Connection, model: Model) -> ModelStatus:
    dataset = find_dataset(connection, model, None)
    return ModelStatus(
        model.name,
        model.source,
        model.gated,
        model.n_layers,
        model.n_neurons,
        model.threshold,
        None if dataset is None else dataset.name,
        tuple(_add_missing(_read_stages(connection, model), model)),
        _find_open_run(connection, model),
        model.d_vocab,
        model.n_unused_rows,
        model.quantisation,
        has_stale_descriptions(connection, model),
    )


def _read_stages(connection: Connection, model: Model) -> list[StageStatus]:
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


def _add_missing(stored_stages: Iterable[StageStatus], model: Model) -> list[StageStatus]:
    stages = list(stored_stages)
    names = {stage.stage for stage in stages}
    stages += [
        StageStatus(name, None, 0, model.n_layers, 0, 0.0, None)
        for name in STAGES
        if name not in names and name not in OPTIONAL_STAGES
    ]
    return sorted(stages, key=_get_stage_position)


def _get_stage_position(stage: StageStatus) -> tuple[int, str, str]:
    position = (
        STAGE_ORDER.index(kind)
        if (kind := stage.stage.split(" ")[0]) in STAGE_ORDER
        else len(STAGE_ORDER)
    )
    return position, stage.stage, stage.dataset or ""


def _find_open_run(connection: Connection, model: Model) -> OpenRun | None:
    r = tables.ingest_runs.c
    row = connection.execute(
        select(r.run_id, r.stages, r.started_at, r.tool_version, r.device, r.finished_at)
        .where(r.model_id == model.model_id)
        .order_by(r.run_id.desc())
        .limit(1)
    ).first()
    return None if row is None or row.finished_at is not None else OpenRun(*row[:-1])
