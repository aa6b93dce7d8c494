"""Runs that intervened on a set of neurons at once, and what came of it (METHODS §6).

A run compares each token's metrics in the intervened pass with those of the clean pass; results
are clean − ablated. `neurondb.reading.effects` has the runs that intervene on one neuron at a time.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np
from jaxtyping import Int
from sqlalchemy import Connection, Table, func, select
from sqlalchemy.sql.elements import ColumnElement

from neurondb.contracts.ablate import AblationBin, AblationResult, AblationSettings
from neurondb.errors import UnknownNameError
from neurondb.interventions import METRICS, Condition, Hook, Treatment
from neurondb.reading.models import Model
from neurondb.schema import tables
from neurondb.taxonomy import CLASSES

ALL_TOKENS, CHANGED_TOKENS = "all", "changed"
"""The tokens that a result is over: all, or those at which the metric changed."""


TOGETHER: Final = "together"
"""The kind of a run that intervened on all neurons of its set at once."""

_IDS_PER_STATEMENT: Final = 500
"""How many ids a statement binds at most."""

_CLASS_DEFINITION: Final = re.compile(r"class='([a-z ]+)'")
"""What defines a set that is all neurons of a class."""


@dataclass(frozen=True)
class AblationRun:
    """A run as its row describes it, with the names that its ids stand for.

    Attributes:
        set_name: name of the set of neurons; None where it has none.
        definition: what defines the set, such as `class='weakening'`.
        n_neurons: how many neurons are in the set.
        mode: what was done to them, such as zero or mean.
        condition: at which signs it was done; None is everywhere.
        value: what they were set to, in canonical sign; None where the mode needs no value.
        hook: the activation that was replaced.
        baseline_of: the run whose random counterpart this is; None for a run of its own.
        skip_bos: whether the first position of each text was left out of the counts.
        means_dataset_id: the dataset whose mean activations were used.
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
        """What was done to the neurons, and where."""
        return Treatment(self.mode, Condition.parse(self.condition), self.hook, self.value)


@dataclass(frozen=True)
class MeasuredRun:
    """A run and its results by (metric, tokens that they are over)."""

    run: AblationRun
    results: dict[tuple[str, str], AblationResult]

    @property
    def metrics(self) -> list[str]:
        """The metrics that were measured, in the order in which they are shown."""
        measured = {metric for metric, _ in self.results}
        return [metric for metric in METRICS if metric in measured]

    def n_zero(self, metric: str) -> int:
        """Return the number of tokens at which a metric did not change at all."""
        return self.results[metric, ALL_TOKENS].n - self.results[metric, CHANGED_TOKENS].n


class ClassRuns(NamedTuple):
    """A run on all neurons of a class, and its counterparts on as many random neurons."""

    class_name: str
    run: MeasuredRun
    baselines: tuple[MeasuredRun, ...]


def make_absent_run_error(
    connection: Connection, table: Table, run_id: int, *, kind: str, query: str
) -> UnknownNameError:
    """Return the error of an id that no run of a table has, for the caller to raise.

    Args:
        connection: The database.
        table: The table of these runs.
        run_id: The id that was asked for.
        kind: What such runs are called, such as "entropy run".
        query: The named query that lists them.
    """
    n_runs = connection.scalar(select(func.count()).select_from(table))
    return UnknownNameError(
        f"no {kind} {run_id} in this database, which has {n_runs} of them; "
        f"`neurondb query {query}` lists them"
    )


def find_ablation_run(connection: Connection, run_id: int) -> MeasuredRun:
    """Return a run that intervened on a set at once, by its id.

    Raises:
        UnknownNameError: when there is no such run.
    """
    r = tables.ablation_runs.c
    runs = _read_runs(connection, (r.run_id == run_id) & (r.kind == TOGETHER))
    if not runs:
        n_runs = connection.scalar(
            select(func.count()).select_from(tables.ablation_runs).where(r.kind == TOGETHER)
        )
        raise UnknownNameError(
            f"no ablation run {run_id} in this database, which has {n_runs} of them; "
            "`neurondb query ablation-runs` lists them"
        )
    return runs[0]


def find_run(connection: Connection, run_id: int) -> MeasuredRun:
    """Return a run of any kind by its id; one of a neuron at a time has no results here.

    Raises:
        UnknownNameError: when there is no run with this id.
    """
    runs = _read_runs(connection, tables.ablation_runs.c.run_id == run_id)
    if not runs:
        n_runs = connection.scalar(select(func.count()).select_from(tables.ablation_runs))
        raise UnknownNameError(
            f"no run {run_id} in this database, which has {n_runs} of them; the table "
            "ablation_runs lists them"
        )
    return runs[0]


def list_baselines(connection: Connection, run_id: int) -> list[MeasuredRun]:
    """Return the random counterparts of a run, in the order of their seeds."""
    runs = _read_runs(connection, tables.ablation_runs.c.baseline_of == run_id)
    return sorted(runs, key=lambda baseline: (baseline.run.seed or 0, baseline.run.run_id))


def list_model_runs(connection: Connection, model_id: int) -> list[MeasuredRun]:
    """Return every run of a model on sets, baselines included, in the order of their ids."""
    r = tables.ablation_runs.c
    return _read_runs(connection, (r.model_id == model_id) & (r.kind == TOGETHER))


def find_stored_run(
    connection: Connection,
    settings: AblationSettings,
    treatment: Treatment,
    neuron_ids: Int[np.ndarray, " members"],
    baseline_of: int | None = None,
) -> int | None:
    """Return the id of the newest run that did the same to the same neurons on the same texts.

    Args:
        connection: an open connection.
        settings: model, texts and numerics of the run.
        treatment: what is done to the neurons.
        neuron_ids: their ids, ascending.
        baseline_of: the run whose random counterpart it is, if any.

    Returns:
        The run's id; None where there is no such run.
    """
    r = tables.ablation_runs.c
    columns: dict[str, Any] = vars(settings) | {
        "mode": treatment.mode,
        "condition": str(treatment.condition) or None,
        "hook": treatment.hook,
        "value": treatment.value,
        "baseline_of": baseline_of,
        "kind": TOGETHER,
    }
    conditions = [r[name].is_not_distinct_from(value) for name, value in columns.items()]
    rows = connection.execute(
        select(r.run_id, r.set_id).where(*conditions).order_by(r.run_id.desc())
    ).all()
    wanted_ids = neuron_ids.tolist()
    return next(
        (row.run_id for row in rows if list_members(connection, row.set_id) == wanted_ids), None
    )


def list_members(connection: Connection, set_id: int) -> list[int]:
    """Return the neuron ids of a set, ascending."""
    m = tables.neuron_set_members.c
    ids = select(m.neuron_id).where(m.set_id == set_id).order_by(m.neuron_id)
    return list(connection.scalars(ids).all())


def read_ablation_histogram(connection: Connection, run_id: int, metric: str) -> list[AblationBin]:
    """Return the histogram of clean − ablated of a metric: the bins that hold tokens, ascending."""
    h = tables.ablation_histograms.c
    rows = connection.execute(
        select(h.metric, h.low, h.high, h.n)
        .where(h.run_id == run_id, h.metric == metric)
        .order_by(h.low)
    )
    return [AblationBin(*row) for row in rows]


def _read_runs(connection: Connection, condition: ColumnElement[bool]) -> list[MeasuredRun]:
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
        .where(condition)
        .order_by(c.run_id)
    )
    runs = [AblationRun(*tuple(row)) for row in rows]
    results = _read_results(connection, [run.run_id for run in runs])
    return [MeasuredRun(run, results.get(run.run_id, {})) for run in runs]


def _read_results(
    connection: Connection, run_ids: Sequence[int]
) -> dict[int, dict[tuple[str, str], AblationResult]]:
    x = tables.ablation_results.c
    results: dict[int, dict[tuple[str, str], AblationResult]] = {}
    for start in range(0, len(run_ids), _IDS_PER_STATEMENT):
        is_wanted = x.run_id.in_(run_ids[start : start + _IDS_PER_STATEMENT])
        for run_id, metric, filter_, n, *values in connection.execute(
            select(x.run_id, *(x[name] for name in AblationResult._fields)).where(is_wanted)
        ):
            numbers = (np.nan if value is None else float(value) for value in values)
            of_run = results.setdefault(run_id, {})
            of_run[metric, filter_] = AblationResult(metric, filter_, n, *numbers)
    return results


def list_class_runs(connection: Connection, model: Model, mode: str) -> list[ClassRuns]:
    """Return the newest run on each class and condition, in the published order of the classes.

    Only runs over the same texts as the newest of them all are taken: those of the same dataset,
    number of texts, greatest length and value.
    """
    runs = list_model_runs(connection, model.model_id)
    of_class = [
        measured for measured in runs if _find_class(measured) and measured.run.mode == mode
    ]
    if not of_class:
        return []
    texts = _identify_texts(of_class[-1])
    newest = {
        (str(_find_class(measured)), measured.run.condition): measured
        for measured in of_class
        if _identify_texts(measured) == texts
    }
    order = {read_write_class.name: read_write_class.class_id for read_write_class in CLASSES}
    return [
        ClassRuns(
            name, measured, tuple(b for b in runs if b.run.baseline_of == measured.run.run_id)
        )
        for (name, _), measured in sorted(newest.items(), key=lambda item: order[item[0][0]])
    ]


def _find_class(measured_run: MeasuredRun) -> str | None:
    """Return the class whose neurons make up a run's set; None for other sets and baselines."""
    run = measured_run.run
    match = _CLASS_DEFINITION.fullmatch(run.definition)
    if match is None or run.baseline_of is not None:
        return None
    return (
        match[1] if any(match[1] == read_write_class.name for read_write_class in CLASSES) else None
    )


def _identify_texts(measured_run: MeasuredRun) -> tuple[int, int | None, int | None, float | None]:
    run = measured_run.run
    return run.dataset_id, run.n_texts, run.max_len, run.value
