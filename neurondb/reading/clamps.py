"""Stored clamp sweeps: a next token's probability with neurons held at values (METHODS §6)."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Final

from sqlalchemy import ColumnElement, Connection, func, select

from neurondb.reading.models import Model
from neurondb.reading.tokens import read_token_texts
from neurondb.schema import tables

NEWEST: Final = 8
"""So many sweeps of a neuron are read, the newest first."""


@dataclass(frozen=True)
class ClampRun:
    """A sweep as its row describes it; values are in the sign that it says."""

    run_id: int
    model_id: int
    prompt: str
    chat: bool
    hook: str
    position: str
    sign: str
    n_prompt: int
    created_at: str


@dataclass(frozen=True)
class ClampedTarget:
    """What became of one next token.

    Attributes:
        token: its text.
        clean: its probability with nothing held.
        values: what the neurons were held at, ascending: in canonical sign where one was, else in
            the sign that the run says.
        probabilities: at each of them.
    """

    token_id: int
    token: str
    clean: float
    values: tuple[float, ...]
    probabilities: tuple[float, ...]

    @property
    def best(self) -> tuple[float, float]:
        """The largest probability, and the value that it is at."""
        place = max(range(len(self.values)), key=lambda i: self.probabilities[i])
        return self.probabilities[place], self.values[place]


@dataclass(frozen=True)
class ClampSweep:
    """A sweep.

    Attributes:
        neurons: names of the neurons, all held at once.
        targets: the next tokens that were followed.
    """

    run: ClampRun
    neurons: tuple[str, ...]
    targets: tuple[ClampedTarget, ...]


_RUN_COLUMNS: Final = tuple(tables.clamp_runs.c[field.name] for field in fields(ClampRun))


def list_neuron_clamps(
    connection: Connection, model: Model, neuron_id: int
) -> tuple[ClampSweep, ...]:
    """Return the sweeps in which a neuron was held, the newest first, `NEWEST` at most."""
    k = tables.clamp_run_neurons.c
    held = select(k.run_id).where(k.neuron_id == neuron_id)
    return _read_sweeps(connection, model, tables.clamp_runs.c.run_id.in_(held))


def list_clamps(
    connection: Connection, model: Model, run_id: int | None = None
) -> tuple[ClampSweep, ...]:
    """Return one sweep; without its id the newest, and those beside it of the same prompt."""
    r = tables.clamp_runs.c
    if run_id is not None:
        return _read_sweeps(connection, model, r.run_id == run_id)
    of_model = select(*_RUN_COLUMNS).where(r.model_id == model.model_id)
    row = connection.execute(of_model.order_by(r.run_id.desc()).limit(1)).first()
    if row is None:
        return ()
    same = [r[name] == getattr(row, name) for name in ("prompt", "chat", "hook", "position")]
    where = same[0]
    for condition in same[1:]:
        where = where & condition
    return _read_sweeps(connection, model, where)


def count_clamps(connection: Connection, model: Model) -> int:
    """Return the number of sweeps that are stored of a model."""
    r = tables.clamp_runs
    of_model = select(func.count()).select_from(r).where(r.c.model_id == model.model_id)
    return int(connection.scalar(of_model) or 0)


def _read_sweeps(
    connection: Connection, model: Model, where: ColumnElement[bool]
) -> tuple[ClampSweep, ...]:
    r = tables.clamp_runs.c
    rows = connection.execute(
        select(*_RUN_COLUMNS)
        .where(where, r.model_id == model.model_id)
        .order_by(r.run_id.desc())
        .limit(NEWEST)
    )
    return tuple(_read_sweep(connection, model, ClampRun(*row)) for row in rows)


def _read_sweep(connection: Connection, model: Model, run: ClampRun) -> ClampSweep:
    k, n, x = tables.clamp_run_neurons.c, tables.neurons.c, tables.clamp_results.c
    held = connection.execute(
        select(k.neuron_id, n.sign)
        .join_from(tables.clamp_run_neurons, tables.neurons, n.neuron_id == k.neuron_id)
        .where(k.run_id == run.run_id)
        .order_by(k.neuron_id)
    ).all()
    # Several neurons have signs of their own: their values stay as they were given.
    turned = held[0].sign if run.sign == "model" and len(held) == 1 else 1
    rows = connection.execute(
        select(x.token_id, x.value, x.probability)
        .where(x.run_id == run.run_id)
        .order_by(x.token_id, x.step)
    ).all()
    ids = list(dict.fromkeys(row.token_id for row in rows))
    texts = read_token_texts(connection, model, ids)
    targets = [
        _make_target(
            token_id,
            texts[token_id],
            [(v, p) for token, v, p in rows if token == token_id],
            turned,
        )
        for token_id in ids
    ]
    names = tuple(model.name_neuron(row.neuron_id) for row in held)
    return ClampSweep(run, names, tuple(targets))


def _make_target(
    token_id: int, text: str, points: Sequence[tuple[float | None, float]], turned: int
) -> ClampedTarget:
    clean = next(probability for value, probability in points if value is None)
    held = sorted((turned * value, p) for value, p in points if value is not None)
    values, probabilities = zip(*held, strict=True)
    return ClampedTarget(token_id, text, clean, values, probabilities)
