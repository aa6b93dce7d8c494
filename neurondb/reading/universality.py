"""Stored matches of neurons between models: runs, whole models, single neurons (METHODS §8)."""

from dataclasses import dataclass, fields
from typing import Final, NamedTuple

import numpy as np
from jaxtyping import Float, Int
from sqlalchemy import Connection, exists, func, select

from neurondb.reading.arrays import read_numbers, replace_null_by_nan
from neurondb.reading.models import Model, find_model
from neurondb.reading.runs import make_absent_run_error
from neurondb.reading.universality_cases import CaseMatch, list_case_matches
from neurondb.schema import tables
from neurondb.schema.named_neurons import named_neurons

REVERSE_LISTED: Final = 5
"""Neurons of other models that are listed where a neuron is their best match."""


@dataclass(frozen=True)
class UniversalityRun:
    """A run as its row describes it.

    Attributes:
        layer_window: layers on each side of the same relative depth that were compared; None: all.
        seed: of the random matrices of the baseline.
        seconds: seconds that it took.
    """

    run_id: int
    model_id: int
    dataset_id: int
    n_texts: int
    max_len: int
    layer_window: int | None
    seed: int
    seconds: float | None
    dtype: str
    device: str
    created_at: str


class OtherRun(NamedTuple):
    """One of the other models of a run, and how its tokens were put beside the model's."""

    place: int
    name: str
    aligned_by: str
    n_tokens: int
    n_unaligned: int
    n_tiles: int
    n_passes: int


@dataclass(frozen=True)
class UniversalityPage:
    """A run with all its numbers; arrays are other models × layers × neurons.

    Attributes:
        run: the run.
        model: the model whose neurons were matched.
        dataset: the name of the dataset.
        others: the other models, in order.
        correlation: largest correlation; NaN for neurons that are constant.
        baseline: that of the rotated baseline.
        best_layer: layer of the neuron that has it; −1 for none.
        best_neuron: its number in that layer.
        other_models: the other models, as they are stored.
    """

    run: UniversalityRun
    model: Model
    dataset: str
    others: tuple[OtherRun, ...]
    correlation: Float[np.ndarray, "others layers neurons"]
    baseline: Float[np.ndarray, "others layers neurons"]
    best_layer: Int[np.ndarray, "others layers neurons"]
    best_neuron: Int[np.ndarray, "others layers neurons"]
    other_models: tuple[Model, ...]

    @property
    def excess(self) -> Float[np.ndarray, "layers neurons"]:
        """Mean over models of the largest correlation − mean over models of the baseline's."""
        excess: np.ndarray = average_known(self.correlation) - average_known(self.baseline)
        return excess

    def name_best(self, other: int, layer: int, neuron: int) -> str:
        """Return the name of a neuron's best match in an other model, by that model's place."""
        place = (other, layer, neuron)
        best = int(self.best_layer[place]), int(self.best_neuron[place])
        return self.other_models[other].name_place(*best)


@dataclass(frozen=True)
class NeuronMatch:
    """What a run says of one neuron and one other model.

    Attributes:
        run_id: the run, the newest of the model.
        other: name of the other model.
        best: name of the neuron there that it is most correlated with; None where it is constant.
        correlation: with that one.
        baseline: largest correlation with a random mixture of neurons of a layer.
        lowest: name of the neuron with the smallest correlation.
        lowest_correlation: with that one.
        aligned_by: `tokens` or `characters`.
    """

    run_id: int
    other: str
    best: str | None
    correlation: float | None
    baseline: float | None
    lowest: str | None
    lowest_correlation: float | None
    aligned_by: str


@dataclass(frozen=True)
class ReverseMatch:
    """A neuron of another model whose best match this neuron is."""

    model: str
    name: str
    correlation: float


@dataclass(frozen=True)
class NeuronUniversality:
    """A neuron's matches in the other models of its model's newest run, and its excess."""

    run_id: int
    dataset: str
    matches: tuple[NeuronMatch, ...]
    excess: float | None
    n_reverse: int = 0
    """Neurons of other models whose best match it is, in any run."""
    reverse: tuple[ReverseMatch, ...] = ()
    """The most correlated of them."""
    cases: tuple[CaseMatch, ...] = ()
    """The neuron in each of its sign cases, where the run was asked for them."""


def average_known(
    values: Float[np.ndarray, "others layers neurons"],
) -> Float[np.ndarray, "layers neurons"]:
    """Return means over the other models in which a neuron has a value; NaN where in none."""
    known = np.isfinite(values)
    with np.errstate(invalid="ignore"):
        means: np.ndarray = np.where(known, values, 0).sum(0) / known.sum(0)
    return means


_RUN_COLUMNS: Final = tuple(
    tables.universality_runs.c[field.name] for field in fields(UniversalityRun)
)


def find_stored_universality(
    connection: Connection, request: str, *, with_cases: bool = False
) -> int | None:
    """Return the run that was asked for in this way; None if there is none.

    Args:
        connection: The database.
        request: The sha256 of the request.
        with_cases: Whether it must have sign cases.
    """
    r, c = tables.universality_runs.c, tables.universality_cases.c
    of_request = select(r.run_id).where(r.request == request)
    if with_cases:
        of_request = of_request.where(exists().where(c.run_id == r.run_id))
    return connection.scalar(of_request)


def find_shown_universality(connection: Connection, model: Model) -> int | None:
    """Return the run whose numbers `neuron_overview` shows: the newest; None if there is none."""
    r = tables.universality_runs.c
    newest = select(func.max(r.run_id)).where(r.model_id == model.model_id)
    run_id: int | None = connection.scalar(newest)
    return run_id


def list_universality_runs(connection: Connection, model: Model) -> tuple[UniversalityRun, ...]:
    """Return the runs of a model, the newest first."""
    r = tables.universality_runs.c
    of_model = select(*_RUN_COLUMNS).where(r.model_id == model.model_id)
    rows = connection.execute(of_model.order_by(r.run_id.desc()))
    return tuple(UniversalityRun(*row) for row in rows)


def read_universality_page(connection: Connection, run_id: int) -> UniversalityPage:
    """Return a run and all its numbers.

    Raises:
        UnknownNameError: when there is no such run.
    """
    r, m, d = tables.universality_runs.c, tables.models.c, tables.dataset_rows.c
    row = connection.execute(
        select(m.name, d.name, *_RUN_COLUMNS)
        .join_from(tables.universality_runs, tables.models, m.model_id == r.model_id)
        .join(tables.dataset_rows, d.dataset_id == r.dataset_id)
        .where(r.run_id == run_id)
    ).first()
    if row is None:
        raise make_absent_run_error(
            connection,
            tables.universality_runs,
            run_id,
            kind="universality run",
            query="universality-runs",
        )
    name, dataset, *values = row
    model = find_model(connection, name)
    others = _list_others(connection, run_id)
    shape = (len(others), model.n_layers, model.d_mlp)
    numbers = np.full((4, *shape), np.nan)
    u, b = tables.universality.c, tables.neurons.c
    last = model.first_neuron_id + model.n_ids - 1
    ids, places, *found = read_numbers(
        connection,
        select(
            u.neuron_id,
            u.place,
            replace_null_by_nan(u.correlation),
            replace_null_by_nan(u.baseline),
            func.coalesce(b.layer, -1),
            func.coalesce(b.neuron, -1),
        )
        .outerjoin_from(tables.universality, tables.neurons, b.neuron_id == u.best_id)
        .where(u.run_id == run_id, u.neuron_id.between(model.first_neuron_id, last)),
    )
    at = ids.astype(np.int64) - model.first_neuron_id
    numbers.reshape(4, len(others), -1)[:, places.astype(np.int64), at] = found
    best_layer, best_neuron = numbers[2:].astype(np.int64)
    run = UniversalityRun(*values)
    other_models = tuple(find_model(connection, other.name) for other in others)
    return UniversalityPage(
        *(run, model, dataset, others, numbers[0], numbers[1], best_layer, best_neuron),
        other_models,
    )


def _list_others(connection: Connection, run_id: int) -> tuple[OtherRun, ...]:
    k, m = tables.universality_models.c, tables.models.c
    numbers = (k.n_tokens, k.n_unaligned, k.n_tiles, k.n_passes)
    rows = connection.execute(
        select(k.place, m.name, k.aligned_by, *numbers)
        .join_from(tables.universality_models, tables.models, m.model_id == k.other_id)
        .where(k.run_id == run_id)
        .order_by(k.place)
    )
    return tuple(OtherRun(*row) for row in rows)


def read_neuron_universality(
    connection: Connection, model: Model, neuron_id: int
) -> NeuronUniversality | None:
    """Return a neuron's matches in the newest run of its model, and whose match it is itself.

    None where there is neither.
    """
    run_id = find_shown_universality(connection, model)
    reverse = _list_reverse(connection, neuron_id)
    if run_id is None:
        found = NeuronUniversality(0, "", (), None, *reverse)
        return found if reverse[0] else None
    r, d = tables.universality_runs.c, tables.dataset_rows.c
    dataset = connection.execute(
        select(d.name)
        .join_from(tables.universality_runs, tables.dataset_rows, d.dataset_id == r.dataset_id)
        .where(r.run_id == run_id)
    ).scalar_one()
    matches = _list_matches(connection, run_id, neuron_id)
    known = [(x.correlation, x.baseline) for x in matches if x.correlation is not None]
    excess = None
    if known:
        best, baseline = np.array(known, dtype=np.float64).mean(0)
        excess = float(best - baseline)
    cases = list_case_matches(connection, run_id, neuron_id)
    return NeuronUniversality(run_id, dataset, matches, excess, *reverse, cases)


def _list_matches(connection: Connection, run_id: int, neuron_id: int) -> tuple[NeuronMatch, ...]:
    u, k, m = tables.universality.c, tables.universality_models.c, tables.models.c
    best, lowest = named_neurons.alias(), named_neurons.alias()
    rows = connection.execute(
        select(m.name, k.aligned_by, u.correlation, u.baseline, u.lowest)
        .add_columns(best.c.name, lowest.c.name)
        .join_from(
            tables.universality,
            tables.universality_models,
            (k.run_id == u.run_id) & (k.place == u.place),
        )
        .join(tables.models, m.model_id == k.other_id)
        .outerjoin(best, best.c.neuron_id == u.best_id)
        .outerjoin(lowest, lowest.c.neuron_id == u.lowest_id)
        .where(u.run_id == run_id, u.neuron_id == neuron_id)
        .order_by(u.place)
    )
    return tuple(
        NeuronMatch(
            run_id,
            name,
            best_name,
            correlation,
            baseline,
            lowest_name,
            low,
            aligned_by,
        )
        for name, aligned_by, correlation, baseline, low, best_name, lowest_name in rows
    )


def _list_reverse(connection: Connection, neuron_id: int) -> tuple[int, tuple[ReverseMatch, ...]]:
    """Return how many neurons have this one as their best match, and the most correlated ones."""
    u, n, m = tables.universality.c, named_neurons.c, tables.models.c
    ids = select(func.count(u.neuron_id.distinct())).where(u.best_id == neuron_id)
    rows = connection.execute(
        select(m.name, n.name, func.max(u.correlation))
        .join_from(tables.universality, named_neurons, n.neuron_id == u.neuron_id)
        .join(tables.models, m.model_id == n.model_id)
        .where(u.best_id == neuron_id)
        .group_by(m.name, n.layer, n.neuron, n.name)
        .order_by(func.max(u.correlation).desc(), m.name, n.layer, n.neuron)
        .limit(REVERSE_LISTED)
    )
    found = tuple(ReverseMatch(*row) for row in rows)
    return connection.scalar(ids) or 0, found
