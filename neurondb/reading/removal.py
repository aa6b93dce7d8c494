"""What removing one neuron did: alone, beside others of its layer, and in sets (METHODS §6)."""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from jaxtyping import Bool, Float
from numpy.typing import NDArray
from sqlalchemy import Connection, func, select

from neurondb.interventions import ALWAYS, METRICS, Condition
from neurondb.reading.arrays import read_neuron_values
from neurondb.reading.effects import (
    ATTRIBUTION,
    EFFECT_TABLES,
    SINGLE_NEURON,
    EffectRun,
    find_counterpart_run,
    find_shown_run,
)
from neurondb.reading.models import Model
from neurondb.schema import tables

SPREAD_SHARES: Final = (0.05, 0.25, 0.5, 0.75, 0.95)
"""The quantiles that tell how a neuron compares with others."""

_NO_VALUES: Final = dict.fromkeys(("n", "mean", "std", "changed"))


@dataclass(frozen=True)
class Spread:
    """How the same number is distributed over a group of neurons that includes this one.

    Attributes:
        of: the group: `its layer`, or `its class in the layer`.
        n: how many of them have the number.
        quantiles: at `SPREAD_SHARES`.
        below: share of them that have a smaller number.
    """

    of: str
    n: int
    quantiles: tuple[float, ...]
    below: float


@dataclass(frozen=True)
class RemovalMetric:
    """What removing a neuron does to one metric: clean − ablated.

    Attributes:
        n: how many tokens it was measured at; None where it is only estimated.
        mean: over those tokens.
        changed: share of the tokens at which the metric changed.
        estimate: the first-order estimate of the mean; None without one.
        spreads: how other neurons compare.
    """

    metric: str
    n: int | None
    mean: float | None
    std: float | None
    changed: float | None
    estimate: float | None
    spreads: tuple[Spread, ...]

    @property
    def reach(self) -> float:
        """Half the width of an axis that shows the neuron and most of the others."""
        ends = [abs(self.mean or 0.0)]
        ends += [abs(spread.quantiles[i]) for spread in self.spreads for i in (0, -1)]
        return max(ends) or 1.0


@dataclass(frozen=True)
class Removal:
    """What the runs that `neuron_overview` shows say of a neuron.

    Attributes:
        measured: the run that removed it; None where none has.
        estimated: the run that estimated what removing it does; None where none has.
        metrics: a metric that neither run has is left out.
    """

    measured: EffectRun | None
    estimated: EffectRun | None
    metrics: tuple[RemovalMetric, ...]


@dataclass(frozen=True)
class Ablation:
    """One metric of a run that intervened on a neuron, alone or with others.

    Attributes:
        run: id of the run.
        set_name: name of the set of neurons, or what defines it.
        set_size: how many neurons were intervened on at once.
        filter: the tokens that the numbers are over: `all`, or `changed`, where the metric changed.
        n: how many tokens these are.
        mean: of clean − ablated over them.
        q50: median of it.
    """

    run: int
    dataset: str
    set_name: str
    set_size: int
    mode: str
    condition: str | None
    value: float | None
    metric: str
    filter: str
    n: int
    mean: float | None
    std: float | None
    q50: float | None
    clean_mean: float | None
    ablated_mean: float | None


def read_removal(
    connection: Connection, model: Model, neuron_id: int, condition: Condition = ALWAYS
) -> Removal | None:
    """Return what removing a neuron alone does; None where no shown run has been through it.

    Args:
        connection: an open connection.
        model: the neuron's model.
        neuron_id: id of the neuron.
        condition: the signs under which it was removed; `ALWAYS` is at every token.
    """
    measured_run = find_shown_run(connection, model, SINGLE_NEURON, condition)
    estimated = find_shown_run(connection, model, ATTRIBUTION, condition)
    effects = _read_metrics(connection, SINGLE_NEURON, measured_run, neuron_id)
    estimates = _read_metrics(connection, ATTRIBUTION, estimated, neuron_id)
    if not effects and not estimates:
        return None
    if (
        effects
        and measured_run is not None
        and find_counterpart_run(connection, model, measured_run) is None
    ):
        estimates = {}  # they are of another intervention than the measured one
    classes = _read_layer_classes(connection, model, neuron_id) if effects else None
    metrics = []
    for metric in METRICS:
        if metric in effects or metric in estimates:
            values: dict[str, Any] = effects.get(metric, _NO_VALUES)
            spreads: tuple[Spread, ...] = ()
            if values["mean"] is not None and measured_run is not None and classes is not None:
                means = _read_layer_means(connection, model, measured_run, metric, neuron_id)
                spreads = _compute_spreads(means, classes, model.locate(neuron_id)[1])
            estimate = estimates.get(metric, _NO_VALUES)["mean"]
            metrics.append(RemovalMetric(metric, **values, estimate=estimate, spreads=spreads))
    return Removal(
        measured_run if effects else None, estimated if estimates else None, tuple(metrics)
    )


def _read_metrics(
    connection: Connection, kind: str, run: EffectRun | None, neuron_id: int
) -> dict[str, dict[str, Any]]:
    if run is None:
        return {}
    t = EFFECT_TABLES[kind].c
    columns = (t.n, t.mean, t.std, t.changed) if kind == SINGLE_NEURON else (t.mean,)
    rows = connection.execute(
        select(t.metric, *columns).where(
            t.run_id == run.run_id, t.metric.in_(METRICS), t.neuron_id == neuron_id
        )
    )
    names = [column.name for column in columns]
    return {metric: dict(zip(names, values, strict=True)) for metric, *values in rows}


def _read_layer_classes(
    connection: Connection, model: Model, neuron_id: int
) -> Float[np.ndarray, " neurons"]:
    """Return the class ids of all neurons in a neuron's layer; NaN for no class."""
    q = tables.classes.c
    layer, _ = model.locate(neuron_id)
    at_threshold = q.threshold == model.threshold
    return np.asarray(
        read_neuron_values(connection, model, [q.class_id], at_threshold, layer=layer)[0, 0]
    )


def _read_layer_means(
    connection: Connection, model: Model, run: EffectRun, metric: str, neuron_id: int
) -> Float[np.ndarray, " neurons"]:
    """Return what removing each neuron of a neuron's layer does; NaN where it is not known."""
    e = tables.neuron_effects.c
    layer, _ = model.locate(neuron_id)
    of_run = (e.run_id == run.run_id, e.metric == metric)
    return np.asarray(read_neuron_values(connection, model, [e.mean], *of_run, layer=layer)[0, 0])


def _compute_spreads(
    means: Float[np.ndarray, " neurons"], classes: Float[np.ndarray, " neurons"], neuron: int
) -> tuple[Spread, ...]:
    finite = ~np.isnan(means)
    of_class = finite & (classes == classes[neuron])
    spreads = [_compute_spread("its layer", means, finite, neuron)]
    if 1 < of_class.sum() < finite.sum():
        spreads.append(_compute_spread("its class in the layer", means, of_class, neuron))
    return tuple(spread for spread in spreads if spread is not None)


def _compute_spread(
    population: str,
    means: Float[np.ndarray, " neurons"],
    in_population: Bool[np.ndarray, " neurons"],
    neuron: int,
) -> Spread | None:
    if not in_population[neuron]:
        return None
    values: NDArray[np.float64] = means[in_population]
    quantiles = tuple(float(x) for x in np.quantile(values, SPREAD_SHARES))
    return Spread(population, len(values), quantiles, float((values < means[neuron]).mean()))


def read_ablations(connection: Connection, model_id: int, neuron_id: int) -> tuple[Ablation, ...]:
    """Return the results of every run of a model whose set has the neuron, by run and metric."""
    r, x = tables.ablation_runs.c, tables.ablation_results.c
    s, d, m = tables.neuron_sets.c, tables.dataset_rows.c, tables.neuron_set_members.c
    is_member = (m.set_id == r.set_id) & (m.neuron_id == neuron_id)
    members = tables.neuron_set_members.alias().c
    size = select(func.count()).where(members.set_id == r.set_id).scalar_subquery()
    rows = connection.execute(
        select(
            *(r.run_id, d.name, func.coalesce(s.name, s.definition), size),
            *(r.mode, r.condition, r.value, x.metric, x.filter, x.n, x.mean, x.std, x.q50),
            *(x.clean_mean, x.ablated_mean),
        )
        .join_from(tables.ablation_runs, tables.ablation_results, x.run_id == r.run_id)
        .join(tables.neuron_sets, s.set_id == r.set_id)
        .join(tables.dataset_rows, d.dataset_id == r.dataset_id)
        .where((r.model_id == model_id) & select(m.set_id).where(is_member).exists())
        .order_by(r.run_id, x.metric, x.filter)
    )
    return tuple(Ablation(*tuple(row)) for row in rows)
