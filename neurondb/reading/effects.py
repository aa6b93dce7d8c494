"""What removing one neuron does, measured or estimated (METHODS §6)."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import NDArray
from sqlalchemy import Connection, Table, func, null, select

from neurondb.conditions import Condition, Treatment
from neurondb.interventions import METRICS
from neurondb.reading.ablation_runs import members
from neurondb.reading.models import Model
from neurondb.records import AblationSettings
from neurondb.schema import tables

EACH, ATTRIBUTION = "each", "attribution"
"""Kinds of runs that have a number for every neuron."""
TABLES: Final[dict[str, Table]] = {
    EACH: tables.neuron_effects,
    ATTRIBUTION: tables.neuron_attributions,
}


@dataclass(frozen=True)
class EffectRun:
    """A run that has a number for every neuron of its set.

    Attributes:
        kind: each or attribution.
        n_neurons: of its set.
        seconds: that it took.
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
        """What was done to each neuron."""
        return Treatment(self.mode, Condition.parse(self.condition))


def effect_run(connection: Connection, run_id: int) -> EffectRun | None:
    """Return a run that has a number for every neuron; None when it is no such run."""
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
        .where(r.run_id == run_id, r.kind.in_((EACH, ATTRIBUTION)))
    ).first()
    return None if row is None else EffectRun(*tuple(row))


def shown_run(connection: Connection, model: Model, kind: str) -> EffectRun | None:
    """Return the run of a kind that neuron_overview shows for a model, if any."""
    m = tables.models.c
    shown = {EACH: m.each_run_id, ATTRIBUTION: m.attribution_run_id}[kind]
    run_id = connection.scalar(select(shown).where(m.model_id == model.model_id))
    return None if run_id is None else effect_run(connection, run_id)


def counterpart(connection: Connection, model: Model, run: EffectRun) -> EffectRun | None:
    """Return the shown run on the other side, if it did the same.

    An estimate of what zero does says nothing of what means under a condition do.
    """
    other = shown_run(connection, model, ATTRIBUTION if run.kind == EACH else EACH)
    return other if other is not None and other.treatment == run.treatment else None


def like_run(
    connection: Connection,
    kind: str,
    settings: AblationSettings,
    treatment: Treatment,
    neuron_ids: Int[np.ndarray, " members"],
    metrics: Sequence[str],
) -> int | None:
    """Return the newest run that does the same to the same neurons, finished or not, if any."""
    r = tables.ablation_runs.c
    same: dict[str, Any] = vars(settings) | {
        "mode": treatment.mode,
        "condition": str(treatment.condition) or None,
        "kind": kind,
    }
    where = [r[name].is_not_distinct_from(value) for name, value in same.items()]
    rows = connection.execute(select(r.run_id, r.set_id).where(*where).order_by(r.run_id.desc()))
    wanted = neuron_ids.tolist()
    for run_id, set_id in rows.all():
        measured = measured_metrics(connection, kind, run_id)
        if measured in ([], sorted(metrics)) and members(connection, set_id) == wanted:
            return int(run_id)
    return None


def measured_metrics(connection: Connection, kind: str, run_id: int) -> list[str]:
    """Return the metrics of which a run has numbers, by name."""
    t = TABLES[kind].c
    return [
        metric
        for metric in sorted(METRICS)
        if connection.execute(
            select(t.neuron_id).where(t.run_id == run_id, t.metric == metric).limit(1)
        ).first()
    ]


def done_neurons(
    connection: Connection, kind: str, run_id: int, metric: str
) -> Int[np.ndarray, " neurons"]:
    """Return the neurons that a run has been through, ascending."""
    t = TABLES[kind].c
    ids = select(t.neuron_id).where(t.run_id == run_id, t.metric == metric).order_by(t.neuron_id)
    return np.array(connection.scalars(ids).all(), dtype=np.int64)


def numbers(
    connection: Connection, kind: str, run_id: int, metric: str
) -> tuple[Int[np.ndarray, " neurons"], Float[np.ndarray, " neurons"]]:
    """Return the neurons of a run, ascending, and their mean clean − ablated, or its estimate.

    Neurons of which there is no number are left out.
    """
    t = TABLES[kind].c
    rows = connection.execute(
        select(t.neuron_id, t.mean)
        .where(t.run_id == run_id, t.metric == metric, t.mean.is_not(None))
        .order_by(t.neuron_id)
    ).all()
    found = np.array([tuple(row) for row in rows], dtype=np.float64).reshape(-1, 2)
    return found[:, 0].astype(np.int64), found[:, 1]


class Agreement(NamedTuple):
    """How well estimates agree with what was measured; None where one of them never varies.

    Attributes:
        n: neurons that have both.
        pearson: correlation.
        spearman: correlation of the ranks, equal values sharing theirs.
        slope: of the line through zero that fits effect = slope · estimate best.
    """

    metric: str
    n: int
    pearson: float | None
    spearman: float | None
    slope: float | None


def agreement(connection: Connection, each: int, attribution: int, metric: str) -> Agreement:
    """Return how well the estimates of one run agree with the effects of another."""
    _, effects, estimates = both(connection, each, attribution, metric)
    return Agreement(
        metric,
        len(effects),
        _correlation(effects, estimates),
        _correlation(_ranks(effects), _ranks(estimates)),
        _slope(effects, estimates),
    )


def both(
    connection: Connection, each: int, attribution: int, metric: str
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]:
    """Return the neurons that are in two runs, their effects and their estimates."""
    ids, effects = numbers(connection, EACH, each, metric)
    others, estimates = numbers(connection, ATTRIBUTION, attribution, metric)
    common, of_effects, of_estimates = np.intersect1d(
        ids, others, assume_unique=True, return_indices=True
    )
    return common, effects[of_effects], estimates[of_estimates]


def _correlation(x: NDArray[np.float64], y: NDArray[np.float64]) -> float | None:
    if len(x) < 2 or np.ptp(x) == 0 or np.ptp(y) == 0:
        return None
    return float(np.corrcoef(x, y)[0, 1])


def _ranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    mean_rank = np.cumsum(counts) - (counts - 1) / 2
    ranks: NDArray[np.float64] = mean_rank[place]
    return ranks


def _slope(effects: NDArray[np.float64], estimates: NDArray[np.float64]) -> float | None:
    square = float(estimates @ estimates)
    return float(effects @ estimates) / square if square > 0 else None


class EffectRow(NamedTuple):
    """One metric of one neuron of a run; `n`, `std` and `changed` are None of an estimate."""

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


def effect_rows(
    connection: Connection, model: Model, run: EffectRun, metrics: Sequence[str]
) -> Iterator[EffectRow]:
    """Yield the numbers of a run: metric by metric, each by its mean, the smallest first."""
    t, n, q, k = (table.c for table in (TABLES[run.kind], *_NAMED))
    of_class = (q.neuron_id == t.neuron_id) & (q.threshold == model.threshold)
    measured = run.kind == EACH
    more = (t.n, t.mean, t.std, t.changed) if measured else (null(), t.mean, null(), null())
    for metric in metrics:
        rows = connection.execute(
            select(n.layer, n.neuron, t.neuron_id, k.name, t.metric, *more)
            .join_from(TABLES[run.kind], tables.neurons, n.neuron_id == t.neuron_id)
            .outerjoin(tables.classes, of_class)
            .outerjoin(tables.rw_classes, k.class_id == q.class_id)
            .where(t.run_id == run.run_id, t.metric == metric)
            .order_by(t.mean.nulls_last(), t.neuron_id)
        )
        yield from (EffectRow(f"{row[0]}.{row[1]}", *row) for row in rows)


_NAMED: Final = (tables.neurons, tables.classes, tables.rw_classes)
