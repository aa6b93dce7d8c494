"""A series of models summed up: the paths of classes, each step, each layer, who moved most.

Everything is counted from the comparisons of the series (`neurondb.reading.series`) as arrays of
steps × neurons.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Final, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy.typing import NDArray
from sqlalchemy import Connection, func, select, text

from neurondb.reading.arrays import (
    COMPARED_VECTORS,
    list_pairs,
    read_all_cosines,
    read_compared_cosines,
    read_numbers,
)
from neurondb.reading.comparisons import CLASS_NAMES, SMALLEST_MOVE
from neurondb.reading.models import Model
from neurondb.reading.pairs import Pair, find_stored_comparison
from neurondb.reading.series import Series, require_current
from neurondb.schema import tables

Classes = Int[np.ndarray, "steps neurons"]
Medians = dict[str, float | None]

ROW_COLUMNS: Final = (
    *("series_id", "step", "model", "layer", "neuron", "name", "class"),
    *("gate_cosine", "in_cosine", "out_cosine", "moved"),
    *("first_gate_cosine", "first_in_cosine", "first_out_cosine", "first_moved"),
)
"""The columns of `read_series_rows`, which are those of the view `series_neurons`."""

_ROWS_SQL = f"""
SELECT {", ".join(f"n.{name}" for name in ROW_COLUMNS)}
FROM (SELECT r.layer, r.neuron, r.moved FROM comparison_neurons r WHERE r.comparison_id = :whole
      ORDER BY CASE WHEN r.moved IS NULL THEN 1 ELSE 0 END, r.moved DESC, r.layer, r.neuron
      LIMIT :limit) x
JOIN series_neurons n ON n.series_id = :series AND n.layer = x.layer AND n.neuron = x.neuron
ORDER BY CASE WHEN x.moved IS NULL THEN 1 ELSE 0 END, x.moved DESC, x.layer, x.neuron, n.step
"""  # noqa: S608  (put together from the constants above)


class ClassRun(NamedTuple):
    """A class that a neuron keeps over so many steps, one after the other."""

    name: str
    n_steps: int


@dataclass(frozen=True)
class ClassPath:
    """A sequence of classes, one a step, and how many neurons go through it."""

    classes: tuple[str, ...]
    n: int

    @property
    def runs(self) -> tuple[ClassRun, ...]:
        """The classes with those that repeat drawn together."""
        return tuple(ClassRun(name, len(list(same))) for name, same in groupby(self.classes))


@dataclass(frozen=True)
class SeriesStep:
    """A model of a series.

    Attributes:
        step: its place; 0 is the first.
        n_classified: neurons that have a class at every step.
        n_kept: those of them whose class is that of the model before; None at step 0.
        n_kept_first: those whose class is that of the first model; None at step 0.
        n_settled: those whose class is the same from here to the last model.
        cosines: vector → median cosine with the same vector in the model before, of the vectors
            that there are; empty at step 0.
        first_cosines: the same with the first model.
        medians: pair of vectors → median of their cosine in this model.
    """

    step: int
    model: str
    n_classified: int
    n_kept: int | None
    n_kept_first: int | None
    n_settled: int
    cosines: Medians
    first_cosines: Medians
    medians: Medians


@dataclass(frozen=True)
class SeriesLayer:
    """A layer over a series.

    Attributes:
        n_classified: neurons that have a class at every step.
        n_kept: those whose class never changes.
        n_kept_ends: those whose class is the same in the first and in the last model.
        cosines: vector → median cosine between the first and the last model.
        medians: pair of vectors → median of their cosine in each model.
    """

    layer: int
    n_classified: int
    n_kept: int
    n_kept_ends: int
    cosines: Medians
    medians: dict[str, tuple[float | None, ...]]


@dataclass(frozen=True)
class SeriesNeuron:
    """A neuron over a series.

    Attributes:
        cosines: vector → cosine between the first and the last model; None for a zero vector.
        moved: 1 − the smallest of these.
        path: its classes; None where it has none at some step.
        moved_by_step: 1 − the smallest cosine with the model before, for each step from 1.
    """

    layer: int
    neuron: int
    cosines: dict[str, float | None]
    moved: float
    path: ClassPath | None
    moved_by_step: tuple[float | None, ...]

    @property
    def furthest_step(self) -> int | None:
        """The step that moved it most; None where no step has a cosine."""
        known = [(moved, -step) for step, moved in enumerate(self.moved_by_step, 1) if moved]
        return -max(known)[1] if known else None


@dataclass(frozen=True)
class SeriesPage:
    """A series of models.

    Attributes:
        threshold: the τ of the classes, which is that of the first model.
        n: neurons of a model.
        n_classified: those that have a class at every step; shares of classes are of these.
        n_kept: those whose class never changes.
        n_kept_ends: those whose class is the same in the first and in the last model.
        n_paths: how many paths there are.
        paths: the paths that most neurons go through, the most first.
        moved: the neurons furthest from where they began, without those that have not moved.
    """

    series: Series
    threshold: float
    n: int
    n_classified: int
    n_kept: int
    n_kept_ends: int
    n_paths: int
    paths: tuple[ClassPath, ...]
    steps: tuple[SeriesStep, ...]
    layers: tuple[SeriesLayer, ...]
    moved: tuple[SeriesNeuron, ...]


class SeriesComparisons:
    """The comparisons of a series, each found once.

    Raises:
        UnknownNameError: when one of them no longer holds.
    """

    def __init__(self, connection: Connection, series: Series) -> None:
        require_current(connection, series)
        self._connection = connection
        self.models = series.models
        self._ids: dict[Pair, int] = {}

    def find(self, before: int, after: int) -> int:
        """Return the id of the comparison of two steps."""
        pair = Pair(self.models[before], self.models[after])
        if pair not in self._ids:
            found = find_stored_comparison(self._connection, pair)
            assert found is not None  # all of them hold
            self._ids[pair] = found
        return self._ids[pair]

    def read_classes(self) -> Classes:
        """Return the class id of every neuron at every step, −1 where it has none."""
        rows = [self._read_classes(1, "class_a")]
        rows += [self._read_classes(step, "class_b") for step in range(1, len(self.models))]
        return np.stack(rows)

    def _read_classes(self, step: int, column: str) -> NDArray[np.int8]:
        n = tables.comparison_neurons.c
        (values,) = read_numbers(
            self._connection,
            select(func.coalesce(n[column], -1))
            .where(n.comparison_id == self.find(0, step))
            .order_by(n.layer, n.neuron),
        )
        return np.asarray(values.astype(np.int8))

    def read_cosines(self, before: int, after: int) -> dict[str, Float[np.ndarray, " neurons"]]:
        """Return vector → cosines of every neuron between two steps; NaN where there is none."""
        found = read_compared_cosines(
            self._connection, self.models[0], self.find(before, after)
        ).items()
        gated = self.models[0].gated
        return {name: values.ravel() for name, values in found if gated or name != "gate"}


def read_series_page(
    connection: Connection, series: Series, n_paths: int | None = 12, n_moved: int | None = 10
) -> SeriesPage:
    """Return a stored series as a page.

    Args:
        connection: an open connection.
        series: the series.
        n_paths: how many of the paths that most neurons go through; None is all.
        n_moved: how many of the neurons that moved most; None is all.

    Raises:
        UnknownNameError: when a comparison of it no longer holds.
    """
    comparisons = SeriesComparisons(connection, series)
    classes = comparisons.read_classes()
    classified = (classes >= 0).all(0)
    ends = comparisons.read_cosines(0, len(series.models) - 1)
    by_model = [read_all_cosines(connection, model) for model in series.models]
    from_before = [
        comparisons.read_cosines(step - 1, step) for step in range(1, len(series.models))
    ]
    paths = count_paths(classes)
    steps = [
        _summarise_step(comparisons, step, classes[:, classified], from_before, by_model[step])
        for step in range(len(series.models))
    ]
    return SeriesPage(
        series=series,
        threshold=series.models[0].threshold,
        n=classes.shape[1],
        n_classified=int(classified.sum()),
        n_kept=int((_keep(classes) & classified).sum()),
        n_kept_ends=int(((classes[0] == classes[-1]) & classified).sum()),
        n_paths=len(paths),
        paths=tuple(paths[:n_paths]),
        steps=tuple(steps),
        layers=tuple(_summarise_layers(series.models[0], classes, ends, by_model)),
        moved=tuple(_list_moved(series.models[0], classes, ends, from_before, n_moved)),
    )


def count_paths(classes: Classes) -> list[ClassPath]:
    """Return the paths and how many neurons go through each, the most first.

    Neurons that have no class at some step are left out.
    """
    whole = classes[::-1, (classes >= 0).all(0)]
    # Of equally many by the last class, then the one before: the order of the query `class-paths`.
    found, counts = np.unique(whole.T, axis=0, return_counts=True)
    order = np.argsort(-counts, kind="stable")
    return [
        ClassPath(tuple(CLASS_NAMES[i] for i in reversed(found[place])), int(counts[place]))
        for place in order
    ]


def find_settling_steps(classes: Classes) -> Int[np.ndarray, " neurons"]:
    """Return the first step from which each neuron keeps its class to the end."""
    differs = classes != classes[-1]
    # The place after the last step at which it differs; 0 where it never does.
    last = len(classes) - 1 - np.argmax(differs[::-1], axis=0)
    return np.where(differs.any(0), last + 1, 0)


def measure_moves(cosines: dict[str, Float[np.ndarray, " neurons"]]) -> NDArray[np.float64]:
    """Return 1 − the smallest of each neuron's cosines; NaN where it has none."""
    return np.asarray(1 - np.fmin.reduce(list(cosines.values())))


def read_series_rows(
    connection: Connection, series: Series, limit: int | None = None
) -> Iterator[tuple[Any, ...]]:
    """Yield a row of `ROW_COLUMNS` for each neuron and step, those that moved furthest first.

    Raises:
        UnknownNameError: when a comparison of the series no longer holds.
    """
    comparisons = SeriesComparisons(connection, series)
    parameters = {
        "series": series.series_id,
        "whole": comparisons.find(0, len(series.models) - 1),
        "limit": series.models[0].n_neurons if limit is None else limit,
    }
    for row in connection.execute(text(_ROWS_SQL), parameters):
        yield tuple(row)


def _keep(classes: Classes) -> Bool[np.ndarray, " neurons"]:
    return np.asarray((classes == classes[0]).all(0))


def _summarise_step(
    comparisons: SeriesComparisons,
    step: int,
    classes: Classes,
    from_before: list[dict[str, NDArray[np.float64]]],
    of_model: dict[str, NDArray[np.float64]],
) -> SeriesStep:
    """Return the summary of a step; `classes` are of the neurons that have one at every step."""
    first = {} if step == 0 else _compute_medians(comparisons.read_cosines(0, step))
    return SeriesStep(
        step=step,
        model=comparisons.models[step].name,
        n_classified=classes.shape[1],
        n_kept=None if step == 0 else int((classes[step] == classes[step - 1]).sum()),
        n_kept_first=None if step == 0 else int((classes[step] == classes[0]).sum()),
        n_settled=int(np.count_nonzero(find_settling_steps(classes) <= step)),
        cosines={} if step == 0 else _compute_medians(from_before[step - 1]),
        first_cosines=first,
        medians=_compute_medians(of_model),
    )


def _summarise_layers(
    model: Model,
    classes: Classes,
    ends: dict[str, NDArray[np.float64]],
    by_model: list[dict[str, NDArray[np.float64]]],
) -> Iterator[SeriesLayer]:
    shape = (model.n_layers, model.d_mlp)
    classified = np.asarray((classes >= 0).all(0))
    kept = np.logical_and(_keep(classes), classified).reshape(shape)
    kept_ends = np.logical_and(classes[0] == classes[-1], classified).reshape(shape)
    for layer in range(model.n_layers):
        yield SeriesLayer(
            layer=layer,
            n_classified=int(classified.reshape(shape)[layer].sum()),
            n_kept=int(kept[layer].sum()),
            n_kept_ends=int(kept_ends[layer].sum()),
            cosines={
                name: _compute_median(values.reshape(shape)[layer]) for name, values in ends.items()
            },
            medians={
                pair: tuple(_compute_median(cosines[pair][layer]) for cosines in by_model)
                for pair in reversed(list_pairs(model))
                if all(pair in cosines for cosines in by_model)
            },
        )


def _list_moved(
    model: Model,
    classes: Classes,
    ends: dict[str, NDArray[np.float64]],
    from_before: Iterable[dict[str, NDArray[np.float64]]],
    limit: int | None,
) -> Iterator[SeriesNeuron]:
    moved = measure_moves(ends)
    by_step = np.stack([measure_moves(cosines) for cosines in from_before])
    order = np.argsort(-np.nan_to_num(moved, nan=-1), kind="stable")[:limit]
    for place in order.tolist():
        if not moved[place] > SMALLEST_MOVE:
            return
        layer, neuron = divmod(place, model.d_mlp)
        of_neuron = classes[:, place]
        path = ClassPath(tuple(CLASS_NAMES[i] for i in of_neuron), 1)
        yield SeriesNeuron(
            layer=layer,
            neuron=neuron,
            cosines={
                name: _drop_nan(ends[name][place]) for name in COMPARED_VECTORS if name in ends
            },
            moved=float(moved[place]),
            path=path if (of_neuron >= 0).all() else None,
            moved_by_step=tuple(_drop_nan(value) for value in by_step[:, place]),
        )


def _compute_medians(values: dict[str, NDArray[np.float64]]) -> Medians:
    return {name: _compute_median(of_name) for name, of_name in values.items()}


def _compute_median(values: NDArray[np.float64]) -> float | None:
    finite = values[~np.isnan(values)]
    return float(np.median(finite)) if finite.size else None


def _drop_nan(value: Any) -> float | None:
    return None if np.isnan(value) else float(value)
