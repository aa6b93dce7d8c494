"""Stored entropy runs: neurons fixed at values, beside random ones (METHODS §4, §6)."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Final, NamedTuple

import numpy as np
from sqlalchemy import ColumnElement, Connection, func, select

from neurondb.contracts.entropy import EntropyCurves
from neurondb.interventions import ENTROPY_METRICS
from neurondb.reading.models import Model, find_model
from neurondb.reading.runs import make_absent_run_error
from neurondb.schema import tables


@dataclass(frozen=True)
class EntropyRun:
    """An entropy run as its row describes it.

    Attributes:
        n_texts: texts of the dataset that were run, of `max_len` tokens at most.
        n_tokens: tokens counted.
        skip_bos: whether the first position of each text was left out.
        n_random: random neurons beside those asked for, drawn by `seed`.
        seconds: seconds that it took.
    """

    run_id: int
    model_id: int
    dataset_id: int
    n_texts: int
    n_tokens: int
    max_len: int
    skip_bos: bool
    n_random: int
    seed: int
    clean_scale: float | None
    clean_entropy: float | None
    clean_rank: float | None
    clean_loss: float | None
    seconds: float | None
    dtype: str
    device: str
    created_at: str


class EntropyRunPage(NamedTuple):
    """A run, the names of its model and of its dataset, and what was measured."""

    run: EntropyRun
    model: str
    dataset: str
    curves: EntropyCurves


@dataclass(frozen=True)
class NeuronEntropy:
    """What a run says of one neuron: its total effect at the last value.

    Attributes:
        run: the run.
        dataset: the name of its dataset.
        random: whether the neuron is one of the random ones.
        value: what hook_post was fixed at.
        total: metric → change of its mean.
        direct: metric → the part of it that does not go through the final norm.
    """

    run: EntropyRun
    dataset: str
    random: bool
    value: float
    total: dict[str, float | None]
    direct: dict[str, float | None]


_RUN_COLUMNS: Final = tuple(tables.entropy_runs.c[field.name] for field in fields(EntropyRun))


def find_stored_entropy(connection: Connection, request: str) -> int | None:
    """Return the run that was asked for in this way, by the sha256 of the request; None if none."""
    r = tables.entropy_runs.c
    return connection.scalar(select(r.run_id).where(r.request == request))


def list_entropy_runs(connection: Connection, model: Model) -> tuple[EntropyRun, ...]:
    """Return the runs of a model, the newest first."""
    r = tables.entropy_runs.c
    of_model = select(*_RUN_COLUMNS).where(r.model_id == model.model_id)
    return tuple(EntropyRun(*row) for row in connection.execute(of_model.order_by(r.run_id.desc())))


def read_entropy_page(connection: Connection, run_id: int) -> EntropyRunPage:
    """Return a run and what was measured, to the bit as the job returned it.

    Raises:
        UnknownNameError: when there is no such run.
    """
    r, m, d = tables.entropy_runs.c, tables.models.c, tables.dataset_rows.c
    row = connection.execute(
        select(m.name, d.name, *_RUN_COLUMNS)
        .join_from(tables.entropy_runs, tables.models, m.model_id == r.model_id)
        .join(tables.dataset_rows, d.dataset_id == r.dataset_id)
        .where(r.run_id == run_id)
    ).first()
    if row is None:
        raise make_absent_run_error(
            connection,
            tables.entropy_runs,
            run_id,
            kind="entropy run",
            query="entropy-runs",
        )
    name, dataset, *values = row
    run = EntropyRun(*values)
    return EntropyRunPage(
        run, name, dataset, _read_curves(connection, find_model(connection, name), run)
    )


def _read_curves(connection: Connection, model: Model, run: EntropyRun) -> EntropyCurves:
    k, x = tables.entropy_neurons.c, tables.entropy_results.c
    neurons = connection.execute(
        select(k.neuron_id, k.random).where(k.run_id == run.run_id).order_by(k.place)
    ).all()
    rows = connection.execute(
        select(x.neuron_id, x.step, x.metric, x.value, x.fixed, x.frozen).where(
            x.run_id == run.run_id
        )
    ).all()
    place_of = {row.neuron_id: place for place, row in enumerate(neurons)}
    values = {row.step: row.value for row in rows}
    shape = (len(neurons), len(values))
    fixed = {metric: np.full(shape, np.nan) for metric in ENTROPY_METRICS}
    frozen = {metric: np.full(shape, np.nan) for metric in ENTROPY_METRICS}
    for row in rows:
        cell = (place_of[row.neuron_id], row.step)
        for found, number in ((fixed, row.fixed), (frozen, row.frozen)):
            found[row.metric][cell] = np.nan if number is None else number
    places = [model.find_place(row.neuron_id) for row in neurons]
    n_asked = sum(not row.random for row in neurons)
    means = {metric: getattr(run, f"clean_{metric}") for metric in ENTROPY_METRICS}
    return EntropyCurves(
        neurons=tuple(places[:n_asked]),
        baseline=tuple(places[n_asked:]),
        values=np.array([values[step] for step in sorted(values)]),
        n_tokens=run.n_tokens,
        clean={metric: np.nan if mean is None else mean for metric, mean in means.items()},
        fixed=fixed,
        frozen=frozen,
        run_id=run.run_id,
        is_new=False,
    )


def list_neuron_entropy(connection: Connection, neuron_id: int) -> tuple[NeuronEntropy, ...]:
    """Return what runs say of a neuron that was fixed in them, the newest first."""
    r, k, d = tables.entropy_runs.c, tables.entropy_neurons.c, tables.dataset_rows.c
    rows = connection.execute(
        select(k.random, d.name, *_RUN_COLUMNS)
        .join_from(tables.entropy_neurons, tables.entropy_runs, r.run_id == k.run_id)
        .join(tables.dataset_rows, d.dataset_id == r.dataset_id)
        .where(k.neuron_id == neuron_id)
        .order_by(r.run_id.desc())
    ).all()
    found = []
    for is_random, dataset, *values in rows:
        run = EntropyRun(*values)
        x = tables.entropy_results.c
        of_neuron = (x.run_id == run.run_id) & (x.neuron_id == neuron_id)
        found.append(_read_last_step(connection, run, dataset, bool(is_random), of_neuron))
    return tuple(found)


def _read_last_step(
    connection: Connection,
    run: EntropyRun,
    dataset: str,
    is_random: bool,
    of_neuron: ColumnElement[bool],
) -> NeuronEntropy:
    x = tables.entropy_results.c
    last = select(func.max(x.step)).where(of_neuron).scalar_subquery()
    rows: Sequence[tuple[str, float, float | None, float | None]] = [
        tuple(row)
        for row in connection.execute(
            select(x.metric, x.value, x.fixed, x.frozen).where(of_neuron, x.step == last)
        )
    ]
    clean = {metric: getattr(run, f"clean_{metric}") for metric in ENTROPY_METRICS}
    total = {metric: _subtract(fixed, clean[metric]) for metric, _, fixed, _ in rows}
    direct = {metric: _subtract(frozen, clean[metric]) for metric, _, _, frozen in rows}
    return NeuronEntropy(run, dataset, is_random, rows[0][1], total, direct)


def _subtract(mean: float | None, clean: float | None) -> float | None:
    return None if mean is None or clean is None else mean - clean
