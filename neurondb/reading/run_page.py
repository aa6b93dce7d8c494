"""One run on the page of its own: what was done to which neurons, and what came of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, func, select

from neurondb.reading.ablation_runs import (
    ALL,
    CHANGED,
    METRICS,
    AblationRun,
    MeasuredRun,
    baselines_of,
    run_of_any_kind,
)
from neurondb.reading.effects import (
    TABLES,
    Agreement,
    agreement,
    counterpart,
    effect_run,
    shown_run,
)
from neurondb.reading.models import Model, find_model
from neurondb.reading.neuron_lines import NeuronLine, neuron_lines
from neurondb.schema import tables

MEMBERS: Final = 50
ENDS: Final = 10
"""Neurons at either end of a run that has a number for each."""


@dataclass(frozen=True)
class BaselineMean:
    """What a random counterpart of the run did to a metric."""

    run_id: int
    seed: int | None
    n_neurons: int
    mean: float


@dataclass(frozen=True)
class MetricLine:
    """A metric: clean − ablated over all tokens, and over those that changed.

    Attributes:
        changed: share of tokens that changed.
        changed_mean: over those alone.
        baselines: of the random counterparts, over all tokens.
    """

    metric: str
    n: int
    clean: float
    ablated: float
    mean: float
    std: float
    q25: float
    median: float
    q75: float
    changed: float | None
    changed_mean: float | None
    baselines: tuple[BaselineMean, ...]


@dataclass(frozen=True)
class NeuronEffect:
    """One neuron of a run that has a number for each; `changed` is None of an estimate."""

    neuron: NeuronLine
    mean: float
    std: float | None
    changed: float | None


@dataclass(frozen=True)
class Ends:
    """The neurons with the smallest and the largest means of a metric, the extreme ones first."""

    metric: str
    lowest: tuple[NeuronEffect, ...]
    highest: tuple[NeuronEffect, ...]


@dataclass(frozen=True)
class RunPage:
    """A run.

    Attributes:
        kind: together, each or attribution.
        seconds: that it took, where known.
        layers: layer → members.
        members: the first of them.
        ends: of a run that has a number for every neuron.
        agreements: of that with the run on the other side, which is `other`.
        shown: whether neuron_overview has its numbers.
    """

    run: AblationRun
    kind: str
    finished: bool
    seconds: float | None
    metrics: tuple[MetricLine, ...]
    layers: dict[int, int]
    members: tuple[NeuronLine, ...]
    ends: tuple[Ends, ...]
    agreements: tuple[Agreement, ...]
    other: int | None
    shown: bool


def run_page(connection: Connection, run_id: int) -> RunPage:
    """Return a run's page.

    Raises:
        UnknownNameError: when there is no such run.
    """
    measured = run_of_any_kind(connection, run_id)
    r = tables.ablation_runs.c
    kind, finished, seconds = connection.execute(
        select(r.kind, r.finished, r.seconds).where(r.run_id == run_id)
    ).one()
    model = find_model(connection, measured.run.model)
    other, agreements = _agreements(connection, model, kind, run_id)
    shown = shown_run(connection, model, kind) if kind in TABLES else None
    return RunPage(
        measured.run,
        kind,
        bool(finished),
        seconds,
        _metrics(measured, baselines_of(connection, run_id)),
        _layers(connection, measured.run.set_id),
        neuron_lines(connection, _first_members(connection, measured.run.set_id)),
        _ends(connection, kind, run_id),
        agreements,
        other,
        shown is not None and shown.run_id == run_id,
    )


def _metrics(measured: MeasuredRun, baselines: Sequence[MeasuredRun]) -> tuple[MetricLine, ...]:
    found = []
    for metric in measured.metrics:
        whole, changed = (measured.results[metric, name] for name in (ALL, CHANGED))
        means = tuple(
            BaselineMean(one.run.run_id, one.run.seed, one.run.n_neurons, result.mean)
            for one in baselines
            if (result := one.results.get((metric, ALL))) is not None
        )
        found.append(
            MetricLine(
                *(metric, whole.n, whole.clean_mean, whole.ablated_mean, whole.mean, whole.std),
                *(whole.q25, whole.q50, whole.q75),
                changed.n / whole.n if whole.n else None,
                changed.mean if changed.n else None,
                means,
            )
        )
    return tuple(found)


def _layers(connection: Connection, set_id: int) -> dict[int, int]:
    n, m = tables.neurons.c, tables.neuron_set_members.c
    rows = connection.execute(
        select(n.layer, func.count())
        .join_from(tables.neuron_set_members, tables.neurons, n.neuron_id == m.neuron_id)
        .where(m.set_id == set_id)
        .group_by(n.layer)
        .order_by(n.layer)
    )
    return dict(tuple(row) for row in rows)


def _first_members(connection: Connection, set_id: int) -> list[int]:
    m = tables.neuron_set_members.c
    ids = select(m.neuron_id).where(m.set_id == set_id).order_by(m.neuron_id).limit(MEMBERS)
    return list(connection.scalars(ids).all())


def _ends(connection: Connection, kind: str, run_id: int) -> tuple[Ends, ...]:
    if kind not in TABLES:
        return ()
    t = TABLES[kind].c
    there = select(t.neuron_id).where(t.run_id == run_id)
    return tuple(
        Ends(
            metric,
            _end(connection, kind, run_id, metric, t.mean),
            _end(connection, kind, run_id, metric, t.mean.desc()),
        )
        for metric in METRICS
        if connection.execute(there.where(t.metric == metric).limit(1)).first()
    )


def _end(
    connection: Connection, kind: str, run_id: int, metric: str, order: ColumnElement[Any]
) -> tuple[NeuronEffect, ...]:
    t = TABLES[kind].c
    more = (t.std, t.changed) if "std" in t else ()
    rows = connection.execute(
        select(t.neuron_id, t.mean, *more)
        .where(t.run_id == run_id, t.metric == metric, t.mean.is_not(None))
        .order_by(order)
        .limit(ENDS)
    ).all()
    found = {row[0]: row for row in rows}
    lines = neuron_lines(connection, list(found))
    return tuple(NeuronEffect(one, *(*found[one.neuron_id][1:], None, None)[:3]) for one in lines)


def _agreements(
    connection: Connection, model: Model, kind: str, run_id: int
) -> tuple[int | None, tuple[Agreement, ...]]:
    run = effect_run(connection, run_id)
    other = None if run is None else counterpart(connection, model, run)
    if other is None:
        return None, ()
    pair = (run_id, other.run_id) if kind == "each" else (other.run_id, run_id)
    found = (agreement(connection, *pair, metric) for metric in ("loss", "entropy"))
    return other.run_id, tuple(one for one in found if one.n)
