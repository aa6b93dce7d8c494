"""The page of one run: what was done to which neurons, and what came of it (METHODS §6)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, func, null, select

from neurondb.interventions import METRICS
from neurondb.reading.changed_tokens import ChangedTokens, read_changed_tokens
from neurondb.reading.effects import (
    EFFECT_TABLES,
    SINGLE_NEURON,
    Agreement,
    compute_agreement,
    find_counterpart_run,
    find_effect_run,
    find_shown_run,
)
from neurondb.reading.models import Model, find_model
from neurondb.reading.neuron_table import NeuronLine, read_neuron_lines
from neurondb.reading.runs import (
    ALL_TOKENS,
    CHANGED_TOKENS,
    AblationRun,
    MeasuredRun,
    find_run,
    list_baselines,
)
from neurondb.schema import tables

MEMBERS_SHOWN: Final = 50
"""How many neurons of the run's set are listed."""

NEURONS_PER_END: Final = 10
"""How many neurons are listed at either end of a run that has a number for each."""


@dataclass(frozen=True)
class BaselineMean:
    """What a run's counterpart on random neurons did to a metric: mean of clean − ablated."""

    run_id: int
    seed: int | None
    n_neurons: int
    mean: float


@dataclass(frozen=True)
class MetricLine:
    """What a run did to one metric.

    Mean, standard deviation and quartiles are those of clean − ablated over all tokens.

    Attributes:
        n: how many tokens.
        clean: mean of the metric in the clean pass.
        ablated: mean of the metric in the intervened pass.
        changed: share of the tokens at which it changed.
        changed_mean: mean of clean − ablated over those alone; None where there are none.
        baselines: what the counterparts on random neurons did, over all tokens.
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
    """One neuron of a run that has a number for each.

    Attributes:
        mean: of clean − ablated, or its estimate.
        std: None for an estimate.
        changed: share of the tokens at which the metric changed; None for an estimate.
    """

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
        kind: `together` intervenes on a set at once, `each` on one neuron at a time, and
            `attribution` estimates the latter.
        seconds: how long it took; None where that is not known.
        metrics: results of a run on a set.
        changed: the tokens that it changed most; empty of other runs, and where none are stored.
        layers: layer → how many neurons of the set are in it.
        members: the first neurons of the set.
        ends: extreme neurons of a run that has a number for each; otherwise empty.
        agreements: how well such a run agrees with `other`, by metric.
        other: id of the run that estimates what this one measured, or the reverse; None without.
        shown: whether `find` shows the run's numbers, as those of its condition.
    """

    run: AblationRun
    kind: str
    finished: bool
    seconds: float | None
    metrics: tuple[MetricLine, ...]
    changed: tuple[ChangedTokens, ...]
    layers: dict[int, int]
    members: tuple[NeuronLine, ...]
    ends: tuple[Ends, ...]
    agreements: tuple[Agreement, ...]
    other: int | None
    shown: bool


def read_run_page(connection: Connection, run_id: int) -> RunPage:
    """Return the page of a run of any kind.

    Raises:
        UnknownNameError: when there is no run with this id.
    """
    measured_run = find_run(connection, run_id)
    r = tables.ablation_runs.c
    kind, finished, seconds = connection.execute(
        select(r.kind, r.finished, r.seconds).where(r.run_id == run_id)
    ).one()
    model = find_model(connection, measured_run.run.model)
    counterpart_id, agreements = _compute_agreements(connection, model, kind, run_id)
    shown_run = None
    if kind in EFFECT_TABLES:
        condition = measured_run.run.treatment.condition
        shown_run = find_shown_run(connection, model, kind, condition)
    return RunPage(
        measured_run.run,
        kind,
        bool(finished),
        seconds,
        _make_metric_lines(measured_run, list_baselines(connection, run_id)),
        read_changed_tokens(connection, model, run_id),
        _count_members_by_layer(connection, measured_run.run.set_id),
        read_neuron_lines(connection, _read_first_members(connection, measured_run.run.set_id)),
        _read_ends(connection, kind, run_id),
        agreements,
        counterpart_id,
        shown_run is not None and shown_run.run_id == run_id,
    )


def _make_metric_lines(
    measured_run: MeasuredRun, baselines: Sequence[MeasuredRun]
) -> tuple[MetricLine, ...]:
    lines = []
    for metric in measured_run.metrics:
        all_tokens, changed_tokens = (
            measured_run.results[metric, name] for name in (ALL_TOKENS, CHANGED_TOKENS)
        )
        means = tuple(
            BaselineMean(
                baseline.run.run_id, baseline.run.seed, baseline.run.n_neurons, result.mean
            )
            for baseline in baselines
            if (result := baseline.results.get((metric, ALL_TOKENS))) is not None
        )
        lines.append(
            MetricLine(
                *(
                    metric,
                    all_tokens.n,
                    all_tokens.clean_mean,
                    all_tokens.ablated_mean,
                    all_tokens.mean,
                    all_tokens.std,
                ),
                *(all_tokens.q25, all_tokens.q50, all_tokens.q75),
                changed_tokens.n / all_tokens.n if all_tokens.n else None,
                changed_tokens.mean if changed_tokens.n else None,
                means,
            )
        )
    return tuple(lines)


def _count_members_by_layer(connection: Connection, set_id: int) -> dict[int, int]:
    n, m = tables.neurons.c, tables.neuron_set_members.c
    rows = connection.execute(
        select(n.layer, func.count())
        .join_from(tables.neuron_set_members, tables.neurons, n.neuron_id == m.neuron_id)
        .where(m.set_id == set_id)
        .group_by(n.layer)
        .order_by(n.layer)
    )
    return dict(tuple(row) for row in rows)


def _read_first_members(connection: Connection, set_id: int) -> list[int]:
    m = tables.neuron_set_members.c
    ids = select(m.neuron_id).where(m.set_id == set_id).order_by(m.neuron_id).limit(MEMBERS_SHOWN)
    return list(connection.scalars(ids).all())


def _read_ends(connection: Connection, kind: str, run_id: int) -> tuple[Ends, ...]:
    if kind not in EFFECT_TABLES:
        return ()
    t = EFFECT_TABLES[kind].c
    query = select(t.neuron_id).where(t.run_id == run_id)
    return tuple(
        Ends(
            metric,
            _read_end(connection, kind, run_id, metric, t.mean),
            _read_end(connection, kind, run_id, metric, t.mean.desc()),
        )
        for metric in METRICS
        if connection.execute(query.where(t.metric == metric).limit(1)).first()
    )


def _read_end(
    connection: Connection, kind: str, run_id: int, metric: str, order: ColumnElement[Any]
) -> tuple[NeuronEffect, ...]:
    t = EFFECT_TABLES[kind].c
    spread_columns = (t.std, t.changed) if "std" in t else (null(), null())
    rows = connection.execute(
        select(t.neuron_id, t.mean, *spread_columns)
        .where(t.run_id == run_id, t.metric == metric, t.mean.is_not(None))
        .order_by(order)
        .limit(NEURONS_PER_END)
    ).all()
    values = {row[0]: row[1:] for row in rows}
    lines = read_neuron_lines(connection, list(values))
    return tuple(NeuronEffect(line, *values[line.neuron_id]) for line in lines)


def _compute_agreements(
    connection: Connection, model: Model, kind: str, run_id: int
) -> tuple[int | None, tuple[Agreement, ...]]:
    run = find_effect_run(connection, run_id)
    counterpart = None if run is None else find_counterpart_run(connection, model, run)
    if counterpart is None:
        return None, ()
    pair = (run_id, counterpart.run_id) if kind == SINGLE_NEURON else (counterpart.run_id, run_id)
    agreements = (compute_agreement(connection, *pair, metric) for metric in ("loss", "entropy"))
    return counterpart.run_id, tuple(agreement for agreement in agreements if agreement.n)
