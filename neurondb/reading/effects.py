"""Runs that have a number for every neuron: what it does to remove that neuron alone (METHODS §6).

A run of kind `each` measures it, neuron by neuron; a run of kind `attribution` estimates it to
first order from gradients. Both say how much a metric of a token changes on average, as clean −
ablated.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import NDArray
from sqlalchemy import Connection, Table, func, null, select

from neurondb.contracts.ablate import AblationSettings
from neurondb.interventions import ALWAYS, METRICS, Condition, Treatment
from neurondb.reading.models import Model
from neurondb.reading.runs import list_members
from neurondb.schema import tables

SINGLE_NEURON, ATTRIBUTION = "each", "attribution"
"""The kinds of runs that have a number for every neuron, as the table `ablation_runs` has them."""


EFFECT_TABLES: Final[dict[str, Table]] = {
    SINGLE_NEURON: tables.neuron_effects,
    ATTRIBUTION: tables.neuron_attributions,
}
"""Kind of run → the table that has its numbers."""


@dataclass(frozen=True)
class EffectRun:
    """A run that has a number for every neuron of its set.

    Attributes:
        kind: `each` (measured) or `attribution` (estimated).
        definition: what defines the set of neurons.
        finished: whether it has been through all of them.
        seconds: how long it took.
        n_neurons: how many neurons are in its set.
    """

    run_id: int
    kind: str
    model: str
    dataset: str
    definition: str
    set_id: int
    mode: str
    condition: str | None
    n_texts: int | None
    n_tokens: int | None
    finished: bool
    seconds: float | None
    n_neurons: int

    @property
    def treatment(self) -> Treatment:
        """What was done to each neuron, and where."""
        return Treatment(self.mode, Condition.parse(self.condition))


class Agreement(NamedTuple):
    """How well estimates agree with what was measured.

    Correlations are None where the effects or the estimates never vary.

    Attributes:
        n: how many neurons have both.
        pearson: Pearson's correlation.
        spearman: correlation of the ranks, where equal values share the mean of theirs.
        slope: slope of the line through zero that fits effect = slope · estimate best.
    """

    metric: str
    n: int
    pearson: float | None
    spearman: float | None
    slope: float | None


class EffectRow(NamedTuple):
    """One metric of one neuron of a run.

    Attributes:
        name: the neuron as `layer.neuron`, or `layer.expert.number`.
        n: how many tokens; None for an estimate.
        mean: of clean − ablated, or its estimate.
        std: None for an estimate.
        changed: share of tokens at which the metric changed; None for an estimate.
    """

    name: str
    layer: int
    neuron: int
    neuron_id: int
    class_name: str | None
    metric: str
    n: int | None
    mean: float | None
    std: float | None
    changed: float | None


def find_effect_run(connection: Connection, run_id: int) -> EffectRun | None:
    """Return a run that has a number for every neuron; None when there is no such run."""
    r, d, s = tables.ablation_runs.c, tables.dataset_rows.c, tables.neuron_sets.c
    size = select(func.count()).where(tables.neuron_set_members.c.set_id == r.set_id)
    row = connection.execute(
        select(
            *(r.run_id, r.kind, tables.models.c.name, d.name, s.definition, r.set_id),
            *(r.mode, r.condition, r.n_texts, r.n_tokens, r.finished, r.seconds),
            size.scalar_subquery(),
        )
        .join_from(tables.ablation_runs, tables.dataset_rows, d.dataset_id == r.dataset_id)
        .join(tables.neuron_sets, s.set_id == r.set_id)
        .join(tables.models, tables.models.c.model_id == r.model_id)
        .where(r.run_id == run_id, r.kind.in_((SINGLE_NEURON, ATTRIBUTION)))
    ).first()
    return None if row is None else EffectRun(*tuple(row))


def find_shown_run(
    connection: Connection, model: Model, kind: str, condition: Condition = ALWAYS
) -> EffectRun | None:
    """Return the run of a kind and condition that is shown for a model; None without one.

    `neuron_overview` has the one at every token, `find` those under a condition too.
    """
    m, s = tables.models.c, tables.shown_condition_runs.c
    if condition == ALWAYS:
        run_column = {SINGLE_NEURON: m.each_run_id, ATTRIBUTION: m.attribution_run_id}[kind]
        query = select(run_column).where(m.model_id == model.model_id)
    else:
        of_condition = (s.kind == kind, s.condition == str(condition))
        query = select(s.run_id).where(s.model_id == model.model_id, *of_condition)
    run_id = connection.scalar(query)
    return None if run_id is None else find_effect_run(connection, run_id)


def find_counterpart_run(connection: Connection, model: Model, run: EffectRun) -> EffectRun | None:
    """Return the shown run of the other kind if it did the same to neurons, or else None.

    What it does to set a neuron to zero cannot be compared with what it does to set it to its mean
    under a condition.
    """
    kind = ATTRIBUTION if run.kind == SINGLE_NEURON else SINGLE_NEURON
    counterpart = find_shown_run(connection, model, kind, run.treatment.condition)
    return (
        counterpart if counterpart is not None and counterpart.treatment == run.treatment else None
    )


def find_same_run(
    connection: Connection,
    kind: str,
    settings: AblationSettings,
    treatment: Treatment,
    neuron_ids: Int[np.ndarray, " members"],
    metrics: Sequence[str],
) -> int | None:
    """Return the id of the newest run that does the same to the same neurons, finished or not.

    Args:
        connection: an open connection.
        kind: `SINGLE_NEURON` or `ATTRIBUTION`.
        settings: model, texts and numerics of the run.
        treatment: what is done to each neuron.
        neuron_ids: their ids, ascending.
        metrics: what is measured; a run that has no number yet may become one of any metrics.

    Returns:
        The run's id; None where there is no such run.
    """
    r = tables.ablation_runs.c
    columns: dict[str, Any] = vars(settings) | {
        "mode": treatment.mode,
        "condition": str(treatment.condition) or None,
        "kind": kind,
    }
    conditions = [r[name].is_not_distinct_from(value) for name, value in columns.items()]
    rows = connection.execute(
        select(r.run_id, r.set_id).where(*conditions).order_by(r.run_id.desc())
    )
    wanted_ids = neuron_ids.tolist()
    for run_id, set_id in rows.all():
        measured_metrics = list_measured_metrics(connection, kind, run_id)
        if (
            measured_metrics in ([], sorted(metrics))
            and list_members(connection, set_id) == wanted_ids
        ):
            return int(run_id)
    return None


def list_measured_metrics(connection: Connection, kind: str, run_id: int) -> list[str]:
    """Return the metrics that a run has numbers of, sorted by name."""
    t = EFFECT_TABLES[kind].c
    return [
        metric
        for metric in sorted(METRICS)
        if connection.execute(
            select(t.neuron_id).where(t.run_id == run_id, t.metric == metric).limit(1)
        ).first()
    ]


def list_done_neurons(
    connection: Connection, kind: str, run_id: int, metric: str
) -> Int[np.ndarray, " neurons"]:
    """Return the ids of the neurons that a run has been through, ascending."""
    t = EFFECT_TABLES[kind].c
    ids = select(t.neuron_id).where(t.run_id == run_id, t.metric == metric).order_by(t.neuron_id)
    return np.array(connection.scalars(ids).all(), dtype=np.int64)


def read_means(
    connection: Connection, kind: str, run_id: int, metric: str
) -> tuple[Int[np.ndarray, " neurons"], Float[np.ndarray, " neurons"]]:
    """Return the ids of a run's neurons, ascending, and their mean clean − ablated or its estimate.

    Neurons without a number are left out.
    """
    t = EFFECT_TABLES[kind].c
    rows = connection.execute(
        select(t.neuron_id, t.mean)
        .where(t.run_id == run_id, t.metric == metric, t.mean.is_not(None))
        .order_by(t.neuron_id)
    ).all()
    values = np.array([tuple(row) for row in rows], dtype=np.float64).reshape(-1, 2)
    return values[:, 0].astype(np.int64), values[:, 1]


def compute_agreement(
    connection: Connection, measured_run_id: int, attribution: int, metric: str
) -> Agreement:
    """Return how well the estimates of one run agree with the effects that another measured."""
    _, effects, estimates = match_estimates(connection, measured_run_id, attribution, metric)
    return Agreement(
        metric,
        len(effects),
        _correlate(effects, estimates),
        _correlate(_rank(effects), _rank(estimates)),
        _fit_slope(effects, estimates),
    )


def match_estimates(
    connection: Connection, measured_run_id: int, attribution: int, metric: str
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]:
    """Return the ids of the neurons that are in both runs, their effects and their estimates."""
    ids, effects = read_means(connection, SINGLE_NEURON, measured_run_id, metric)
    estimated_ids, estimates = read_means(connection, ATTRIBUTION, attribution, metric)
    common, of_effects, of_estimates = np.intersect1d(
        ids, estimated_ids, assume_unique=True, return_indices=True
    )
    return common, effects[of_effects], estimates[of_estimates]


def _correlate(x: NDArray[np.float64], y: NDArray[np.float64]) -> float | None:
    if len(x) < 2 or np.ptp(x) == 0 or np.ptp(y) == 0:
        return None
    return float(np.corrcoef(x, y)[0, 1])


def _rank(values: NDArray[np.float64]) -> NDArray[np.float64]:
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    mean_rank = np.cumsum(counts) - (counts - 1) / 2
    ranks: NDArray[np.float64] = mean_rank[place]
    return ranks


def _fit_slope(effects: NDArray[np.float64], estimates: NDArray[np.float64]) -> float | None:
    square = float(estimates @ estimates)
    return float(effects @ estimates) / square if square > 0 else None


def read_effect_rows(
    connection: Connection, model: Model, run: EffectRun, metrics: Sequence[str]
) -> Iterator[EffectRow]:
    """Yield the numbers of a run metric by metric, from the smallest mean to the largest."""
    t, n = EFFECT_TABLES[run.kind].c, tables.neurons.c
    q, k = tables.classes.c, tables.rw_classes.c
    of_class = (q.neuron_id == t.neuron_id) & (q.threshold == model.threshold)
    is_measured = run.kind == SINGLE_NEURON
    values = (t.n, t.mean, t.std, t.changed) if is_measured else (null(), t.mean, null(), null())
    for metric in metrics:
        rows = connection.execute(
            select(n.layer, n.neuron, t.neuron_id, k.name, t.metric, *values)
            .join_from(EFFECT_TABLES[run.kind], tables.neurons, n.neuron_id == t.neuron_id)
            .outerjoin(tables.classes, of_class)
            .outerjoin(tables.rw_classes, k.class_id == q.class_id)
            .where(t.run_id == run.run_id, t.metric == metric)
            .order_by(t.mean.nulls_last(), t.neuron_id)
        )
        yield from (EffectRow(model.name_place(row[0], row[1]), *row) for row in rows)
