"""Where a model's numbers come from: its latest run, and the stages that are missing."""

from dataclasses import dataclass

from sqlalchemy import Connection, select

from neurondb.reading.models import Model
from neurondb.schema import tables


@dataclass(frozen=True)
class LatestRun:
    """The run that wrote last about a model; choices of METHODS §1 are None where not recorded.

    Attributes:
        finished_at: UTC; None while it runs, or when it was interrupted.
    """

    started_at: str
    finished_at: str | None
    tool_version: str
    torch_version: str
    device: str
    dtype: str
    seed: int
    fold: bool | None
    center: bool | None
    center_gate: bool | None
    fold_post_norm: bool | None
    canonicalise: bool | None


@dataclass(frozen=True)
class Reading:
    """How a model read the dataset that neuron_overview shows."""

    dataset: str
    n_texts: int
    n_tokens: int | None
    max_len: int | None
    skip_bos: bool | None


def latest_run(connection: Connection, model: Model) -> LatestRun | None:
    """Return the run that wrote last about a model; None where none is recorded."""
    r = tables.ingest_runs.c
    row = connection.execute(
        select(
            *(r.started_at, r.finished_at, r.tool_version, r.torch_version, r.device, r.dtype),
            *(r.seed, r.fold, r.center, r.center_gate, r.fold_post_norm, r.canonicalise),
        )
        .where(r.model_id == model.model_id)
        .order_by(r.run_id.desc())
        .limit(1)
    ).first()
    return None if row is None else LatestRun(**row._mapping)


def reading(connection: Connection, model: Model) -> Reading | None:
    """Return how a model read the dataset it shows; None where it has read none."""
    d, z = tables.dataset_rows, tables.tokenizations
    row = connection.execute(
        select(d.c.name, d.c.n_texts, z.c.n_tokens, z.c.max_len, z.c.skip_bos)
        .outerjoin_from(d, z, (z.c.dataset_id == d.c.dataset_id) & (z.c.model_id == model.model_id))
        .where(d.c.dataset_id == model.dataset_id)
    ).first()
    return None if row is None else Reading(*row)
