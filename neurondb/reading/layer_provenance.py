"""Where the numbers of a layer come from: which run made them, with what."""

from dataclasses import dataclass

from sqlalchemy import Connection, select

from neurondb.schema import tables

WHOLE_MODEL = -1
"""The layer of a step of the whole model."""


@dataclass(frozen=True)
class StageOrigin:
    """The run that finished a stage of a layer.

    Attributes:
        dtype: of the forward pass.
        finished_at: UTC, ISO 8601.
    """

    stage: str
    dataset: str | None
    run: int
    tool_version: str
    dtype: str
    device: str
    seed: int
    finished_at: str


def layer_provenance(connection: Connection, model_id: int, layer: int) -> tuple[StageOrigin, ...]:
    """Return where each finished stage of a layer comes from, in the order they were done."""
    s, r, d = tables.ingest_steps.c, tables.ingest_runs.c, tables.dataset_rows.c
    rows = connection.execute(
        select(
            *(s.stage, d.name, s.run_id, r.tool_version, r.dtype, r.device, r.seed),
            s.finished_at,
        )
        .join_from(tables.ingest_steps, tables.ingest_runs, r.run_id == s.run_id)
        .outerjoin(tables.dataset_rows, d.dataset_id == s.dataset_id)
        .where((s.model_id == model_id) & s.layer.in_((WHOLE_MODEL, layer)))
        .order_by(s.step_id)
    )
    return tuple(StageOrigin(*row) for row in rows)
