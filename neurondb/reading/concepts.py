"""Concept runs: which neurons were tried for a word or phrase, and what came of it (METHODS §6)."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, Final

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import NDArray
from sqlalchemy import ColumnElement, Connection, func, select

from neurondb.contracts.concept import CONTEXT, OTHER, PROMPT, SPELLING
from neurondb.interventions import Hook
from neurondb.reading.models import Model
from neurondb.reading.runs import make_absent_run_error
from neurondb.reading.tokens import read_token_texts
from neurondb.schema import tables
from neurondb.schema.named_neurons import named_neurons

_IDS_PER_STATEMENT: Final = 500
"""How many ids a statement binds at most."""


@dataclass(frozen=True)
class ConceptRun:
    """A run as its row describes it.

    Attributes:
        n_candidates: neurons of each vector, direction and sign that were tried.
        n_random: random neurons beside them.
        scale: ends of the sweep in multiples of each neuron's largest |value|; None where they
            are `low` and `high` for all.
        clean_log_probability: mean of ln p(concept) over the prompts, no neuron held.
        clean_probability: mean of p(concept), the same.
    """

    run_id: int
    model_id: int
    concept: str
    hook: Hook
    n_candidates: int
    n_random: int
    seed: int
    scale: float | None
    low: float | None
    high: float | None
    clean_log_probability: float
    clean_probability: float
    seconds: float | None
    dtype: str
    device: str
    tool_version: str
    created_at: str


@dataclass(frozen=True)
class TriedNeuron:
    """A neuron that was held alone; changes are means over the prompts of ln p − clean ln p.

    Attributes:
        rank: its place by change, from 0, among the candidates or among the random neurons.
        vector: gate, in or out: the one that made it a candidate; None of a random neuron.
        direction: what that lies near.
        cosine: of the two, in canonical sign.
        low: the lower value that it was held at, in canonical sign.
        low_other_change: the mean change of ln p of other words, held at `low`; None if unknown.
        change: the larger of the two changes.
        stronger: random neurons whose change is as large at least; None of a random neuron.
        class_name: its read-write class; None without one.
    """

    neuron_id: int
    name: str
    layer: int
    random: bool
    rank: int
    vector: str | None
    direction: str | None
    cosine: float | None
    low: float
    high: float
    low_change: float
    high_change: float
    low_probability: float
    high_probability: float
    low_other_change: float | None
    high_other_change: float | None
    change: float
    stronger: int | None
    class_name: str | None

    @property
    def best_value(self) -> float:
        """The value at which it changes the concept's probability most, upwards."""
        return self.high if self.high_change >= self.low_change else self.low

    @property
    def other_change(self) -> float | None:
        """The mean change of ln p of other words at that value."""
        upper = self.high_change >= self.low_change
        return self.high_other_change if upper else self.low_other_change

    @property
    def best_probability(self) -> float:
        """The concept's probability at that value."""
        upper = self.high_change >= self.low_change
        return self.high_probability if upper else self.low_probability


@dataclass(frozen=True)
class ConceptPoint:
    """What one value of a sweep does."""

    value: float
    change: float
    probability: float


@dataclass(frozen=True)
class NeuronSweep:
    """A neuron held at value after value."""

    neuron_id: int
    name: str
    random: bool
    points: tuple[ConceptPoint, ...]


@dataclass(frozen=True)
class WrittenSpelling:
    """One way to write the concept, and the texts of its tokens."""

    text: str
    tokens: tuple[str, ...]


@dataclass(frozen=True)
class ConceptPage:
    """A run and what came of it.

    Attributes:
        prompts: text → ln p(concept) after it, no neuron held.
        candidates: by rank.
        random_neurons: by rank.
        sweeps: of the strongest candidates, by rank, then of the strongest random neurons.
    """

    run: ConceptRun
    model: str
    spellings: tuple[WrittenSpelling, ...]
    prompts: dict[str, float]
    contexts: tuple[str, ...]
    others: tuple[str, ...]
    candidates: tuple[TriedNeuron, ...]
    random_neurons: tuple[TriedNeuron, ...]
    sweeps: tuple[NeuronSweep, ...]

    def p_value(self, one: TriedNeuron) -> float | None:
        """Return (stronger + 1) / (random + 1), the Monte-Carlo p; None with nothing to compare."""
        if one.stronger is None or not self.run.n_random:
            return None
        return (one.stronger + 1) / (self.run.n_random + 1)


@dataclass(frozen=True)
class NeuronConcept:
    """A concept that a neuron was tried for, as its candidate or as a random neuron."""

    run_id: int
    concept: str
    n_random: int
    n_tried: int
    clean_probability: float
    tried: TriedNeuron


def read_fingerprint(connection: Connection, model: Model) -> str:
    """Return the fingerprint of the weights that a model was ingested from."""
    m = tables.models.c
    found = connection.scalar(select(m.fingerprint).where(m.model_id == model.model_id))
    return str(found)


def find_stored_concept(connection: Connection, request: str) -> int | None:
    """Return the run that was asked for in this way, by the sha256 of the request; None if none."""
    r = tables.concept_runs.c
    return connection.scalar(select(r.run_id).where(r.request == request))


def read_largest_values(
    connection: Connection, model: Model, neuron_ids: Int[np.ndarray, " chosen"], hook: Hook
) -> Float[NDArray[np.float64], " chosen"] | None:
    """Return the largest |value| of neurons on the dataset that `neuron_overview` shows.

    It is 0 where a neuron has none; the result is None where the model has no activations.
    """
    if model.dataset_id is None:
        return None
    s = tables.sign_case_rows.c
    quantity = "pre_linear" if hook == "hook_pre_linear" else "post"
    low, high = s[f"{quantity}_min"], s[f"{quantity}_max"]
    found: dict[int, float] = {}
    wanted = neuron_ids.tolist()
    for start in range(0, len(wanted), _IDS_PER_STATEMENT):
        rows = connection.execute(
            select(s.neuron_id, func.min(low), func.max(high))
            .where(s.neuron_id.in_(wanted[start : start + _IDS_PER_STATEMENT]))
            .where(s.dataset_id == model.dataset_id)
            .group_by(s.neuron_id)
        )
        found |= {key: max(abs(least or 0.0), abs(most or 0.0)) for key, least, most in rows}
    return np.array([found.get(key, 0.0) for key in wanted])


_RUN_COLUMNS: Final = tuple(tables.concept_runs.c[field.name] for field in fields(ConceptRun))


def find_concept_run(connection: Connection, run_id: int) -> ConceptRun:
    """Return a run by its id.

    Raises:
        UnknownNameError: when there is none.
    """
    r = tables.concept_runs.c
    row = connection.execute(select(*_RUN_COLUMNS).where(r.run_id == run_id)).first()
    if row is None:
        raise make_absent_run_error(
            connection,
            tables.concept_runs,
            run_id,
            kind="concept run",
            query="concept-runs",
        )
    return ConceptRun(*row)


def list_concept_runs(
    connection: Connection, model: Model, concept: str | None = None
) -> tuple[ConceptRun, ...]:
    """Return the runs of a model, of one concept if it is named, the newest first."""
    r = tables.concept_runs.c
    of_model = select(*_RUN_COLUMNS).where(r.model_id == model.model_id)
    if concept is not None:
        of_model = of_model.where(r.concept == concept.strip())
    rows = connection.execute(of_model.order_by(r.run_id.desc()))
    return tuple(ConceptRun(*row) for row in rows)


def read_concept_page(connection: Connection, run_id: int) -> ConceptPage:
    """Return a run and what came of it.

    Raises:
        UnknownNameError: when there is no such run.
    """
    run = find_concept_run(connection, run_id)
    m = tables.models.c
    model = connection.scalar(select(m.name).where(m.model_id == run.model_id))
    texts = _read_texts(connection, run_id)
    c = tables.concept_candidates.c
    tried = _read_tried(connection, c.run_id == run_id)
    return ConceptPage(
        run,
        str(model),
        _read_spellings(connection, run, [text for text, _ in texts[SPELLING]]),
        {text: float(known) for text, known in texts[PROMPT] if known is not None},
        tuple(text for text, _ in texts[CONTEXT]),
        tuple(text for text, _ in texts[OTHER]),
        tuple(one for _, one in tried if not one.random),
        tuple(one for _, one in tried if one.random),
        _read_sweeps(connection, run_id, [one for _, one in tried]),
    )


def _read_texts(connection: Connection, run_id: int) -> dict[str, list[tuple[str, float | None]]]:
    t = tables.concept_texts.c
    found: dict[str, list[tuple[str, float | None]]] = {
        kind: [] for kind in (SPELLING, PROMPT, CONTEXT, OTHER)
    }
    for kind, text, known in connection.execute(
        select(t.kind, t.text, t.log_probability).where(t.run_id == run_id).order_by(t.place)
    ):
        found.setdefault(kind, []).append((text, known))
    return found


def _read_spellings(
    connection: Connection, run: ConceptRun, texts: Sequence[str]
) -> tuple[WrittenSpelling, ...]:
    t, m = tables.concept_tokens.c, tables.models
    rows = connection.execute(
        select(t.spelling, t.token_id).where(t.run_id == run.run_id).order_by(t.spelling, t.place)
    ).all()
    names = [field.name for field in fields(Model)]
    row = connection.execute(
        select(*(m.c[name] for name in names)).where(m.c.model_id == run.model_id)
    ).one()
    known = read_token_texts(connection, Model(*row), [token_id for _, token_id in rows])
    return tuple(
        WrittenSpelling(text, tuple(known[token_id] for place, token_id in rows if place == i))
        for i, text in enumerate(texts)
    )


def _read_tried(
    connection: Connection, where: ColumnElement[bool]
) -> list[tuple[int, TriedNeuron]]:
    """Return run id and neuron, in the order of runs, candidates first, then by rank."""
    c, n, m = tables.concept_candidates.c, named_neurons.c, tables.models.c
    q, k = tables.classes.c, tables.rw_classes.c
    names = [field.name for field in fields(TriedNeuron)]
    known: dict[str, Any] = {
        "name": n.name.label("name"),
        "layer": n.layer,
        "class_name": k.name.label("class_name"),
    }
    of_class = (q.neuron_id == c.neuron_id) & (q.threshold == m.threshold)
    rows = connection.execute(
        select(c.run_id, *(known[name] if name in known else c[name] for name in names))
        .join_from(tables.concept_candidates, named_neurons, n.neuron_id == c.neuron_id)
        .join(tables.models, m.model_id == n.model_id)
        .outerjoin(tables.classes, of_class)
        .outerjoin(tables.rw_classes, k.class_id == q.class_id)
        .where(where)
        .order_by(c.run_id, c.random, c.rank)
    )
    found = []
    for run_id, *values in rows:
        named = dict(zip(names, values, strict=True))
        found.append((run_id, TriedNeuron(**named | {"random": bool(named["random"])})))
    return found


def _read_sweeps(
    connection: Connection, run_id: int, tried: Sequence[TriedNeuron]
) -> tuple[NeuronSweep, ...]:
    p = tables.concept_points.c
    rows = connection.execute(
        select(p.neuron_id, p.value, p.change, p.probability)
        .where(p.run_id == run_id)
        .order_by(p.neuron_id, p.step)
    )
    points: dict[int, list[ConceptPoint]] = {}
    for neuron_id, *values in rows:
        points.setdefault(neuron_id, []).append(ConceptPoint(*values))
    return tuple(
        NeuronSweep(one.neuron_id, one.name, one.random, tuple(points[one.neuron_id]))
        for one in tried
        if one.neuron_id in points
    )


def list_neuron_concepts(connection: Connection, neuron_id: int) -> tuple[NeuronConcept, ...]:
    """Return the concepts that a neuron was tried for; where it did most for them comes first."""
    c, r = tables.concept_candidates.c, tables.concept_runs.c
    tried = dict(_read_tried(connection, c.neuron_id == neuron_id))
    rows = connection.execute(
        select(r.run_id, r.concept, r.n_random, r.clean_probability).where(r.run_id.in_(tried))
    )
    sizes = dict(
        tuple(row)
        for row in connection.execute(
            select(c.run_id, func.count()).where(c.run_id.in_(tried), ~c.random).group_by(c.run_id)
        )
    )
    found = [
        NeuronConcept(run_id, concept, n_random, sizes.get(run_id, 0), clean, tried[run_id])
        for run_id, concept, n_random, clean in rows
    ]
    return tuple(sorted(found, key=lambda one: (one.tried.random, -one.tried.change)))
