"""Who computed what was imported: a run of `ingest_runs` and the steps that it finished.

An import is a run as those of `ingest` are, so that `status`, a neuron's provenance and the list of
a model's stages say what is stored. The settings of its steps have the format and the digest of the
file: the same file again is known by it.
"""

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sqlalchemy import Connection, insert, select

from neurondb import __version__
from neurondb.reading.models import Model
from neurondb.schema import tables
from neurondb.writing.models import IMPORTED
from neurondb.writing.rows import format_utc_now, insert_one

NOT_OURS: Final = "imported"
"""What a run says of devices and versions that it did not use."""
_BLOCK: Final = 1 << 20


@dataclass(frozen=True)
class ImportedStage:
    """What an import has of one stage.

    Attributes:
        stage: such as `activations`.
        layers: layers of which it has anything; −1 alone is the whole model.
        settings: what the rows depend on, with the digest of the file.
        rows: rows stored of each of these layers.
        dataset_id: the dataset that they are of.
    """

    stage: str
    layers: Sequence[int]
    settings: dict[str, object]
    rows: Sequence[int]
    dataset_id: int | None = None


def compute_digest(files: Iterable[Path]) -> str:
    """Return the SHA-256 of files' names and contents, in the order in which they come."""
    digest = hashlib.sha256()
    for file in files:
        digest.update(file.name.encode("utf-8", "surrogateescape") + b"\0")
        with file.open("rb") as stream:
            while block := stream.read(_BLOCK):
                digest.update(block)
    return digest.hexdigest()


def is_imported(connection: Connection, model: Model, stage: ImportedStage) -> bool:
    """Tell whether a stage is stored with exactly these settings, in all of its layers."""
    s = tables.ingest_steps.c
    rows = connection.execute(
        select(s.layer, s.settings).where(
            (s.model_id == model.model_id)
            & (s.stage == stage.stage)
            & s.dataset_id.is_not_distinct_from(stage.dataset_id)
        )
    )
    settings = json.dumps(stage.settings, sort_keys=True)
    done = {row.layer for row in rows if row.settings == settings}
    return bool(stage.layers) and done.issuperset(stage.layers)


def store_import(
    connection: Connection, model: Model, form: str, stages: Sequence[ImportedStage]
) -> None:
    """Store that an import finished these stages, in place of who finished them before.

    Where the same files were imported before, that run stays.

    Args:
        connection: the transaction of the import.
        model: whose neurons.
        form: the format, such as `gluscope`.
        stages: what it has.
    """
    if all(is_imported(connection, model, stage) for stage in stages):
        return
    now = format_utc_now()
    dataset_id = next((one.dataset_id for one in stages if one.dataset_id is not None), None)
    run = {
        "model_id": model.model_id,
        "dataset_id": dataset_id,
        "tool_version": __version__,
        "torch_version": NOT_OURS,
        "fingerprint": IMPORTED,
        "stages": f"import {form}",
        "dtype": NOT_OURS,
        "device": NOT_OURS,
        "seed": 0,
        "started_at": now,
        "finished_at": now,
    }
    run_id = insert_one(connection, tables.ingest_runs, run)
    s = tables.ingest_steps
    for one in stages:
        of_stage = (s.c.model_id == model.model_id) & (s.c.stage == one.stage)
        of_stage &= s.c.dataset_id.is_not_distinct_from(one.dataset_id)
        connection.execute(s.delete().where(of_stage & s.c.layer.in_(one.layers)))
        if one.layers:
            steps = [_make_step(one, run_id, model, i, now) for i in range(len(one.layers))]
            connection.execute(insert(s), steps)


def _make_step(
    stage: ImportedStage, run_id: int, model: Model, place: int, now: str
) -> dict[str, object]:
    return {
        "run_id": run_id,
        "model_id": model.model_id,
        "dataset_id": stage.dataset_id,
        "stage": stage.stage,
        "layer": stage.layers[place],
        "settings": json.dumps(stage.settings, sort_keys=True),
        "n_rows": stage.rows[place],
        "seconds": 0.0,
        "finished_at": now,
    }
