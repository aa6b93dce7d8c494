"""One preprocessing for all that is stored of a model: what is mixed can no longer be compared.

A token list's dot products multiply cosines of one step with norms of others, activations stand in
the sign that the weights were given, and layers are held against each other.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Final, NamedTuple

from sqlalchemy import Connection, Engine, select

from neurondb.contracts.ingest import IngestRequest, Preprocessing
from neurondb.errors import IngestError
from neurondb.schema import tables
from neurondb.spelling import option
from neurondb.writing.ledger import WHOLE_MODEL
from neurondb.writing.models import StoredModel
from neurondb.writing.rows import transaction

INDEPENDENT: Final = ("texts", "lm_head")
"""Steps that read the weights as they are stored, or none."""


class IngestPlan(NamedTuple):
    """What a run of `ingest` is going to store, or finds stored."""

    steps: frozenset[str]
    layers: tuple[int, ...]
    dataset: str | None
    force: bool

    def covers(self, stored: "_Stored") -> bool:
        """Tell whether the run checks or replaces a stored step, its dataset considered."""
        return self.replaces(stored.stage, stored.layer) and stored.dataset in (None, self.dataset)

    def replaces(self, stage: str, layer: int) -> bool:
        """Tell whether the run checks or replaces a stage's step of a layer."""
        return stage in self.steps and (layer == WHOLE_MODEL or layer in self.layers)


class _Stored(NamedTuple):
    stage: str
    layer: int
    settings: dict[str, object]
    dataset: str | None

    def __str__(self) -> str:
        return self.stage if self.layer == WHOLE_MODEL else f"{self.stage} of layer {self.layer}"


def plan_ingest(
    request: IngestRequest,
    stages: Sequence[str],
    layers: tuple[int, ...],
    thresholds: tuple[float, ...],
    dataset: str | None,
) -> IngestPlan:
    """Return what a request is going to store; `dataset` is the fingerprint of its texts."""
    traces = "traces" if request.where is None else f"traces {request.where}"
    steps = {
        "weights": ("weights", *(f"classes {threshold:g}" for threshold in thresholds)),
        "vocab": ("tokens", "vocab", "properties", "logit_effects"),
        "activations": () if request.shard is not None else ("activations",),
        "peaks": ("peaks",),
        "traces": (traces,),
    }
    stored = frozenset(step for stage in stages for step in steps[stage])
    return IngestPlan(stored, layers, dataset, request.force)


def refuse_mixture(
    engine: Engine, model: StoredModel, choices: Preprocessing, run: IngestPlan
) -> None:
    """Refuse a run after which a model would be stored with two kinds of preprocessing.

    Raises:
        IngestError: says what is stored otherwise and, under --force, what would stay so.
    """
    with transaction(engine) as connection:
        stored = list(_stored(connection, model))
    requested: dict[str, object] = asdict(choices)
    differing = [step for step in stored if _differing(step, requested)]
    if not differing:
        return
    changed = _differing(differing[0], requested)
    before, now = (
        ", ".join(f"{name} = {side[name]}" for name in changed)
        for side in (differing[0].settings, requested)
    )
    if not run.force:
        raise IngestError(
            f"{model.name}: {differing[0]} is stored with {before}, asked for with {now}; choose "
            f"another {option('name')}, or add {option('force')} to replace all that is stored"
        )
    remaining = [step for step in stored if not run.covers(step)]
    if remaining:
        raise IngestError(
            f"{model.name}: {option('force')} would leave {remaining[0]} as it is, with {before}, "
            f"beside {now}; ask for every stage and layer that is stored, or choose "
            f"another {option('name')}"
        )


def _stored(connection: Connection, model: StoredModel) -> Iterator[_Stored]:
    s, d = tables.ingest_steps.c, tables.dataset_rows.c
    rows = connection.execute(
        select(s.stage, s.layer, s.settings, d.fingerprint)
        .outerjoin_from(tables.ingest_steps, tables.dataset_rows, d.dataset_id == s.dataset_id)
        .where(s.model_id == model.model_id, s.stage.not_in(INDEPENDENT))
        .order_by(s.step_id)
    )
    for row in rows:
        yield _Stored(row.stage, row.layer, json.loads(row.settings), row.fingerprint)


def _differing(step: _Stored, requested: dict[str, object]) -> list[str]:
    return [
        name
        for name in requested
        if name in step.settings and step.settings[name] != requested[name]
    ]
