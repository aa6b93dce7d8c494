"""Stored texts that models generated, as they are and with neurons held (METHODS §6)."""

from dataclasses import dataclass, fields
from typing import Final

from sqlalchemy import Connection, select

from neurondb.contracts.generate import Sample, SampleShare
from neurondb.reading.models import Model, find_model
from neurondb.reading.runs import make_absent_run_error
from neurondb.schema import tables

CLEAN, STEERED = "clean", "steered"
NEURONS_NAMED: Final = 8
"""Held neurons that a line names; sets of thousands are told by their expression."""


@dataclass(frozen=True)
class GenerationRun:
    """A request for texts as its row describes it; values are in the sign that it says.

    Attributes:
        ablated: the expression whose neurons were set to zero.
        n_samples: samples of each run; None of a single text.
    """

    run_id: int
    model_id: int
    prompt: str
    chat: bool
    hook: str
    sign: str
    ablated: str | None
    side_by_side: bool
    n_samples: int | None
    max_new_tokens: int
    greedy: bool
    temperature: float
    top_p: float
    seed: int
    seconds: float | None
    dtype: str
    device: str
    created_at: str


@dataclass(frozen=True)
class HeldNeuron:
    """A neuron that was held.

    Attributes:
        name: the neuron.
        value: what it was held at, in the sign that the run says.
        ablated: whether it is one that was set to zero by an expression.
    """

    name: str
    value: float
    ablated: bool


@dataclass(frozen=True)
class HeldRun:
    """A request in which one neuron was held.

    Attributes:
        value: what it was held at, in canonical sign.
        ablated: whether it was one that an expression set to zero.
    """

    run: GenerationRun
    value: float
    ablated: bool


@dataclass(frozen=True)
class GenerationPage:
    """A request, the neurons that were held, and the texts.

    Attributes:
        model: the name of the model.
        held: the clamped neurons, then those that were set to zero.
        texts: those of the clean run first, by seed.
        shares: of each text that was counted, in both runs.
    """

    run: GenerationRun
    model: str
    held: tuple[HeldNeuron, ...]
    texts: tuple[Sample, ...]
    shares: tuple[SampleShare, ...]

    @property
    def clamped(self) -> tuple[HeldNeuron, ...]:
        """The neurons that were held at values."""
        return tuple(one for one in self.held if not one.ablated)

    @property
    def steering(self) -> str:
        """What was done to neurons, in a line; empty where nothing was."""
        named = [f"{one.name}={one.value:g}" for one in self.clamped[:NEURONS_NAMED]]
        if len(self.clamped) > NEURONS_NAMED:
            named.append("…")
        if named:
            own = self.run.sign == "model"
            named[-1] += " in the model's own sign" if own else " in canonical sign"
        without = [] if self.run.ablated is None else [f"without {self.run.ablated}"]
        n_zeroed = len(self.held) - len(self.clamped)
        if n_zeroed and not without:
            without = [f"without {n_zeroed} neurons"]
        return ", ".join([*named, *without])


_RUN_COLUMNS: Final = tuple(tables.generation_runs.c[field.name] for field in fields(GenerationRun))


def find_stored_generation(connection: Connection, request: str) -> int | None:
    """Return the run that was asked for in this way, by the sha256 of the request; None if none."""
    r = tables.generation_runs.c
    return connection.scalar(select(r.run_id).where(r.request == request))


def list_generation_runs(connection: Connection, model: Model) -> tuple[GenerationRun, ...]:
    """Return the requests for texts of a model, the newest first."""
    r = tables.generation_runs.c
    of_model = select(*_RUN_COLUMNS).where(r.model_id == model.model_id)
    return tuple(
        GenerationRun(*row) for row in connection.execute(of_model.order_by(r.run_id.desc()))
    )


def list_neuron_generations(connection: Connection, neuron_id: int) -> tuple[HeldRun, ...]:
    """Return the requests in which a neuron was held, the newest first."""
    r, k, n = tables.generation_runs.c, tables.generation_neurons.c, tables.neurons.c
    rows = connection.execute(
        select(k.value, k.ablated, n.sign, *_RUN_COLUMNS)
        .join_from(tables.generation_neurons, tables.generation_runs, r.run_id == k.run_id)
        .join(tables.neurons, n.neuron_id == k.neuron_id)
        .where(k.neuron_id == neuron_id)
        .order_by(r.run_id.desc())
    )
    found = []
    for value, ablated, sign, *values in rows:
        run = GenerationRun(*values)
        found.append(HeldRun(run, value * (sign if run.sign == "model" else 1), bool(ablated)))
    return tuple(found)


def list_counted_runs(connection: Connection, model: Model) -> tuple[int, ...]:
    """Return the requests in whose samples a text was counted, the newest first."""
    r, c = tables.generation_runs.c, tables.generation_counts.c
    of_model = select(r.run_id).where(r.model_id == model.model_id)
    counted = of_model.where(r.run_id.in_(select(c.run_id)))
    return tuple(connection.scalars(counted.order_by(r.run_id.desc())).all())


def read_generation_page(connection: Connection, run_id: int) -> GenerationPage:
    """Return a request and the texts that answer it.

    Raises:
        UnknownNameError: when there is no such run.
    """
    r, m = tables.generation_runs.c, tables.models.c
    row = connection.execute(
        select(m.name, *_RUN_COLUMNS)
        .join_from(tables.generation_runs, tables.models, m.model_id == r.model_id)
        .where(r.run_id == run_id)
    ).first()
    if row is None:
        raise make_absent_run_error(
            connection,
            tables.generation_runs,
            run_id,
            kind="generation run",
            query="generated-texts",
        )
    name, *values = row
    run = GenerationRun(*values)
    return GenerationPage(
        run,
        name,
        _read_held(connection, find_model(connection, name), run),
        _read_texts(connection, run),
        _read_shares(connection, run),
    )


def _read_held(connection: Connection, model: Model, run: GenerationRun) -> tuple[HeldNeuron, ...]:
    k = tables.generation_neurons.c
    rows = connection.execute(
        select(k.neuron_id, k.value, k.ablated)
        .where(k.run_id == run.run_id)
        .order_by(k.ablated, k.neuron_id)
    )
    return tuple(
        HeldNeuron(model.name_neuron(neuron_id), value, bool(ablated))
        for neuron_id, value, ablated in rows
    )


def _read_texts(connection: Connection, run: GenerationRun) -> tuple[Sample, ...]:
    t = tables.generation_texts.c
    rows = connection.execute(
        select(t.run, t.seed, t.text, t.n_tokens, t.ended)
        .where(t.run_id == run.run_id)
        .order_by(t.run, t.seed)  # clean before steered
    )
    return tuple(Sample(*row) for row in rows)


def _read_shares(connection: Connection, run: GenerationRun) -> tuple[SampleShare, ...]:
    c = tables.generation_counts.c
    rows = connection.execute(
        select(c.run, c.counted, c.hits, c.n)
        .where(c.run_id == run.run_id)
        .order_by(c.run, c.counted)
    )
    return tuple(SampleShare(*row) for row in rows)
