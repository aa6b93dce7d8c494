"""What removing one neuron alone does, beside the other neurons of its layer (METHODS §6)."""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from jaxtyping import Bool, Float
from numpy.typing import NDArray
from sqlalchemy import Connection, select

from neurondb.reading.effects import (
    ATTRIBUTION,
    EACH,
    METRICS,
    TABLES,
    EffectRun,
    counterpart,
    shown_run,
)
from neurondb.reading.figure_rows.neuron_values import neuron_values
from neurondb.reading.models import Model
from neurondb.schema import tables

SHARES = (0.05, 0.25, 0.5, 0.75, 0.95)


@dataclass(frozen=True)
class Spread:
    """The same number of other neurons, the neuron itself included.

    Attributes:
        of: whose: the layer's, or those of its class in the layer.
        n: neurons that were removed.
        quantiles: at 5, 25, 50, 75 and 95%.
        below: share of them that have less.
    """

    of: str
    n: int
    quantiles: tuple[float, ...]
    below: float


@dataclass(frozen=True)
class RemovalMetric:
    """One metric: clean − ablated, and the first-order estimate of it where there is one."""

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
        ends += [abs(one.quantiles[i]) for one in self.spreads for i in (0, -1)]
        return max(ends) or 1.0


@dataclass(frozen=True)
class Removal:
    """What the runs that neuron_overview shows say of a neuron; either may be missing."""

    measured: EffectRun | None
    estimated: EffectRun | None
    metrics: tuple[RemovalMetric, ...]


def removal(connection: Connection, model: Model, neuron_id: int) -> Removal | None:
    """Return what removing a neuron alone does; None where no run has been through it."""
    measured = shown_run(connection, model, EACH)
    estimated = shown_run(connection, model, ATTRIBUTION)
    found = _rows(connection, EACH, measured, neuron_id)
    estimates = _rows(connection, ATTRIBUTION, estimated, neuron_id)
    if not found and not estimates:
        return None
    if found and measured is not None and counterpart(connection, model, measured) is None:
        estimates = {}
    classes = _classes(connection, model, neuron_id) if found else None
    metrics = []
    for metric in METRICS:
        if metric in found or metric in estimates:
            values: dict[str, Any] = found.get(metric, _UNKNOWN)
            spreads: tuple[Spread, ...] = ()
            if values["mean"] is not None and measured is not None and classes is not None:
                means = _means(connection, model, measured, metric, neuron_id)
                spreads = _spreads(
                    means, classes, (neuron_id - model.first_neuron_id) % model.d_mlp
                )
            estimate = estimates.get(metric, _UNKNOWN)["mean"]
            metrics.append(RemovalMetric(metric, **values, estimate=estimate, spreads=spreads))
    return Removal(measured if found else None, estimated if estimates else None, tuple(metrics))


_UNKNOWN: Final = dict.fromkeys(("n", "mean", "std", "changed"))


def _rows(
    connection: Connection, kind: str, run: EffectRun | None, neuron_id: int
) -> dict[str, dict[str, Any]]:
    if run is None:
        return {}
    t = TABLES[kind].c
    columns = (t.n, t.mean, t.std, t.changed) if kind == EACH else (t.mean,)
    rows = connection.execute(
        select(t.metric, *columns).where(
            t.run_id == run.run_id, t.metric.in_(METRICS), t.neuron_id == neuron_id
        )
    )
    names = [column.name for column in columns]
    return {metric: dict(zip(names, values, strict=True)) for metric, *values in rows}


def _classes(connection: Connection, model: Model, neuron_id: int) -> Float[np.ndarray, " neurons"]:
    """Return the class ids of the neuron's layer."""
    q = tables.classes.c
    layer = (neuron_id - model.first_neuron_id) // model.d_mlp
    here = q.threshold == model.threshold
    return np.asarray(neuron_values(connection, model, [q.class_id], here, layer=layer)[0, 0])


def _means(
    connection: Connection, model: Model, run: EffectRun, metric: str, neuron_id: int
) -> Float[np.ndarray, " neurons"]:
    """Return what removing each neuron of the layer does; NaN where that is not known."""
    e = tables.neuron_effects.c
    layer = (neuron_id - model.first_neuron_id) // model.d_mlp
    of_run = (e.run_id == run.run_id, e.metric == metric)
    return np.asarray(neuron_values(connection, model, [e.mean], *of_run, layer=layer)[0, 0])


def _spreads(
    means: Float[np.ndarray, " neurons"], classes: Float[np.ndarray, " neurons"], neuron: int
) -> tuple[Spread, ...]:
    known = ~np.isnan(means)
    alike = known & (classes == classes[neuron])
    found = [_spread("its layer", means, known, neuron)]
    if 1 < alike.sum() < known.sum():
        found.append(_spread("its class in the layer", means, alike, neuron))
    return tuple(one for one in found if one is not None)


def _spread(
    of: str,
    means: Float[np.ndarray, " neurons"],
    among: Bool[np.ndarray, " neurons"],
    neuron: int,
) -> Spread | None:
    if not among[neuron]:
        return None
    values: NDArray[np.float64] = means[among]
    at = tuple(float(x) for x in np.quantile(values, SHARES))
    return Spread(of, len(values), at, float((values < means[neuron]).mean()))
