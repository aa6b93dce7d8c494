"""Interventions that were run: what was done, and what came of it (METHODS §6)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from jaxtyping import Int
from sqlalchemy import Connection, func, select
from sqlalchemy.sql.elements import ColumnElement

from neurondb.conditions import Condition, Hook, Treatment
from neurondb.errors import UnknownNameError
from neurondb.interventions import METRICS
from neurondb.records import AblationBin, AblationResult, AblationSettings
from neurondb.schema import tables

ALL, CHANGED = "all", "changed"

TOGETHER: Final = "together"
"""Kind of a run whose neurons were intervened on all at once; `neurondb.reading.effects` has the
others."""


@dataclass(frozen=True)
class AblationRun:
    """A run as its row has it, with the names that its ids stand for.

    Attributes:
        set_name: None where the set has none.
        n_neurons: members of the set.
        baseline_of: the run it is the random counterpart of.
    """

    run_id: int
    model_id: int
    model: str
    dataset_id: int
    dataset: str
    set_id: int
    set_name: str | None
    definition: str
    n_neurons: int
    mode: str
    condition: str | None
    value: float | None
    hook: Hook
    baseline_of: int | None
    seed: int | None
    n_texts: int | None
    n_tokens: int | None
    max_len: int | None
    skip_bos: bool | None
    means_dataset_id: int | None
    dtype: str | None
    device: str | None
    fingerprint: str | None
    created_at: str | None

    @property
    def treatment(self) -> Treatment:
        """What was done to the neurons."""
        return Treatment(self.mode, Condition.parse(self.condition), self.hook, self.value)


@dataclass(frozen=True)
class MeasuredRun:
    """A run and its results by (metric, filter)."""

    run: AblationRun
    results: dict[tuple[str, str], AblationResult]

    @property
    def metrics(self) -> list[str]:
        """Those that were measured, in the order in which they are shown."""
        there = {metric for metric, _ in self.results}
        return [metric for metric in METRICS if metric in there]

    def n_zero(self, metric: str) -> int:
        """Return the tokens at which a metric did not change at all."""
        return self.results[metric, ALL].n - self.results[metric, CHANGED].n


def ablation_run(connection: Connection, run_id: int) -> MeasuredRun:
    """Return a run by its id.

    Raises:
        UnknownNameError: when there is none.
    """
    r = tables.ablation_runs.c
    found = _runs(connection, (r.run_id == run_id) & (r.kind == TOGETHER))
    if not found:
        n_runs = connection.scalar(
            select(func.count()).select_from(tables.ablation_runs).where(r.kind == TOGETHER)
        )
        raise UnknownNameError(
            f"no ablation run {run_id} in this database, which has {n_runs} of them; "
            "`neurondb query ablation-runs` lists them"
        )
    return found[0]


def run_of_any_kind(connection: Connection, run_id: int) -> MeasuredRun:
    """Return a run by its id, those of one neuron at a time too, which have no results here.

    Raises:
        UnknownNameError: when there is none.
    """
    found = _runs(connection, tables.ablation_runs.c.run_id == run_id)
    if not found:
        n_runs = connection.scalar(select(func.count()).select_from(tables.ablation_runs))
        raise UnknownNameError(
            f"no run {run_id} in this database, which has {n_runs} of them; the table "
            "ablation_runs lists them"
        )
    return found[0]


def baselines_of(connection: Connection, run_id: int) -> list[MeasuredRun]:
    """Return the random counterparts of a run, in the order of their seeds."""
    found = _runs(connection, tables.ablation_runs.c.baseline_of == run_id)
    return sorted(found, key=lambda one: (one.run.seed or 0, one.run.run_id))


def runs_of_model(connection: Connection, model_id: int) -> list[MeasuredRun]:
    """Return every run of a model, baselines included, in their order."""
    r = tables.ablation_runs.c
    return _runs(connection, (r.model_id == model_id) & (r.kind == TOGETHER))


def stored_run(
    connection: Connection,
    settings: AblationSettings,
    treatment: Treatment,
    neuron_ids: Int[np.ndarray, " members"],
    baseline_of: int | None = None,
) -> int | None:
    """Return the newest run that did the same to the same neurons on the same texts, if any."""
    r = tables.ablation_runs.c
    same: dict[str, Any] = vars(settings) | {
        "mode": treatment.mode,
        "condition": str(treatment.condition) or None,
        "hook": treatment.hook,
        "value": treatment.value,
        "baseline_of": baseline_of,
        "kind": TOGETHER,
    }
    where = [r[name].is_not_distinct_from(value) for name, value in same.items()]
    rows = connection.execute(
        select(r.run_id, r.set_id).where(*where).order_by(r.run_id.desc())
    ).all()
    wanted = neuron_ids.tolist()
    return next((row.run_id for row in rows if members(connection, row.set_id) == wanted), None)


def members(connection: Connection, set_id: int) -> list[int]:
    """Return the neuron ids of a set, ascending."""
    m = tables.neuron_set_members.c
    ids = select(m.neuron_id).where(m.set_id == set_id).order_by(m.neuron_id)
    return list(connection.scalars(ids).all())


def histogram(connection: Connection, run_id: int, metric: str) -> list[AblationBin]:
    """Return the bins of clean − ablated that hold tokens, ascending."""
    h = tables.ablation_histograms.c
    rows = connection.execute(
        select(h.metric, h.low, h.high, h.n)
        .where(h.run_id == run_id, h.metric == metric)
        .order_by(h.low)
    )
    return [AblationBin(*row) for row in rows]


def _runs(connection: Connection, where: ColumnElement[bool]) -> list[MeasuredRun]:
    r, m, d = tables.ablation_runs, tables.models.c, tables.dataset_rows.c
    s, members_ = tables.neuron_sets.c, tables.neuron_set_members.c
    size = select(func.count()).where(members_.set_id == r.c.set_id).scalar_subquery()
    c = r.c
    rows = connection.execute(
        select(
            *(c.run_id, c.model_id, m.name, c.dataset_id, d.name, c.set_id, s.name, s.definition),
            *(size, c.mode, c.condition, c.value, c.hook, c.baseline_of, c.seed, c.n_texts),
            *(c.n_tokens, c.max_len, c.skip_bos, c.means_dataset_id, c.dtype, c.device),
            *(c.fingerprint, c.created_at),
        )
        .join_from(r, tables.models, m.model_id == c.model_id)
        .join(tables.dataset_rows, d.dataset_id == c.dataset_id)
        .join(tables.neuron_sets, s.set_id == c.set_id)
        .where(where)
        .order_by(c.run_id)
    )
    runs = [AblationRun(*tuple(row)) for row in rows]
    results = _results(connection, [run.run_id for run in runs])
    return [MeasuredRun(run, results.get(run.run_id, {})) for run in runs]


_IDS_A_STATEMENT: Final = 500


def _results(
    connection: Connection, run_ids: Sequence[int]
) -> dict[int, dict[tuple[str, str], AblationResult]]:
    x = tables.ablation_results.c
    found: dict[int, dict[tuple[str, str], AblationResult]] = {}
    for start in range(0, len(run_ids), _IDS_A_STATEMENT):
        wanted = x.run_id.in_(run_ids[start : start + _IDS_A_STATEMENT])
        for run_id, metric, filter_, n, *values in connection.execute(
            select(x.run_id, *(x[name] for name in AblationResult._fields)).where(wanted)
        ):
            numbers = (np.nan if value is None else float(value) for value in values)
            of_run = found.setdefault(run_id, {})
            of_run[metric, filter_] = AblationResult(metric, filter_, n, *numbers)
    return found
