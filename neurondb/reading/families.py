"""Families of neurons: which test of tokens explains a neuron, a layer, a model (METHODS §9)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection, func, select, text

from neurondb.errors import UnknownNameError
from neurondb.reading.models import Model
from neurondb.schema import tables
from neurondb.schema.named_neurons import named_neurons
from neurondb.schema.tables.families import ALL_CASES

EVERY: Final = "all"
"""The sign case that is all tokens."""

LEAST_COUNTED: Final = 0.1
"""A neuron counts as one of its family where the best test explains more of its variance."""

NEURON_STATEMENT: Final = """SELECT sign_case, rank, family, test, description, score, sign, share,
       inside_mean, outside_mean
FROM families
WHERE neuron_id = :neuron_id AND run_id = :run_id
ORDER BY sign_case <> 'all', sign_case, rank"""
"""What explains a neuron, over all tokens first, then case by case."""


@dataclass(frozen=True)
class FamilyRun:
    """A run as its row describes it, with the names of its model and dataset."""

    run_id: int
    model: str
    dataset_id: int
    dataset: str
    n_texts: int
    n_tokens: int
    skip_bos: bool
    n_tests: int
    min_count: int
    least_score: float
    tagger: str | None
    n_positions: int
    seconds: float | None
    tool_version: str
    created_at: str

    @property
    def chance_information(self) -> float:
        """What position information chance alone gives about: (positions − 1) / 2 tokens, nats."""
        return (self.n_positions - 1) / (2 * self.n_tokens)


@dataclass(frozen=True)
class Explanation:
    """The best test of a family, and how well it explains a neuron; a row of `families`."""

    sign_case: str
    rank: int
    family: str
    test: str
    description: str
    score: float
    sign: int
    share: float
    inside_mean: float
    outside_mean: float


@dataclass(frozen=True)
class NeuronFamilies:
    """What explains one neuron on a dataset.

    Attributes:
        explanations: over all tokens and by sign case, each in the order of rank.
        information: mutual information of firing and position, in nats.
    """

    run: FamilyRun
    explanations: Sequence[Explanation]
    information: float | None

    @property
    def overall(self) -> list[Explanation]:
        """Those over all tokens."""
        return [one for one in self.explanations if one.sign_case == EVERY]

    @property
    def by_case(self) -> list[Explanation]:
        """The best one of each sign case."""
        return [one for one in self.explanations if one.sign_case != EVERY and one.rank == 0]


def find_stored_families(connection: Connection, request: str) -> int | None:
    """Return the id of the run that was asked for in the same way; None where there is none."""
    r = tables.family_runs.c
    found = connection.scalar(select(r.run_id).where(r.request == request))
    return None if found is None else int(found)


def list_family_runs(connection: Connection, model: Model | None = None) -> list[FamilyRun]:
    """Return the runs of a model, or of all, the newest first."""
    return _read_runs(
        connection, () if model is None else (tables.family_runs.c.model_id == model.model_id,)
    )


def read_family_run(connection: Connection, run_id: int) -> FamilyRun:
    """Return a run.

    Raises:
        UnknownNameError: when there is none with this id.
    """
    found = _read_runs(connection, (tables.family_runs.c.run_id == run_id,))
    if not found:
        raise UnknownNameError(f"there is no run {run_id} of families")
    return found[0]


def _read_runs(connection: Connection, conditions: Sequence[Any]) -> list[FamilyRun]:
    r, m, d, t = (
        table.c
        for table in (
            tables.family_runs,
            tables.models,
            tables.dataset_rows,
            tables.token_tests,
        )
    )
    n_tests = (
        select(func.count()).select_from(tables.token_tests).where(t.run_id == r.run_id)
    ).scalar_subquery()
    rows = connection.execute(
        select(
            *(r.run_id, m.name, r.dataset_id, d.name, r.n_texts, r.n_tokens, r.skip_bos),
            *(n_tests, r.min_count, r.least_score, r.tagger, r.n_positions, r.seconds),
            *(r.tool_version, r.created_at),
        )
        .select_from(tables.family_runs)
        .join(tables.models, m.model_id == r.model_id)
        .join(tables.dataset_rows, d.dataset_id == r.dataset_id)
        .where(*conditions)
        .order_by(r.created_at.desc(), r.run_id.desc())
    )
    return [FamilyRun(*values) for values in map(tuple, rows)]


def choose_family_run(
    connection: Connection, model: Model, dataset_id: int | None = None
) -> FamilyRun | None:
    """Return the run over the dataset, if there is one; else the newest of the model, if any.

    Without a dataset it is the one that the model is shown on.
    """
    runs = list_family_runs(connection, model)
    wanted = model.dataset_id if dataset_id is None else dataset_id
    of_dataset = [run for run in runs if run.dataset_id == wanted]
    return next(iter([*of_dataset, *runs]), None)


def read_neuron_families(
    connection: Connection, model: Model, neuron_id: int, dataset_id: int | None = None
) -> NeuronFamilies | None:
    """Return what explains a neuron; None where nothing was computed of its model."""
    run = choose_family_run(connection, model, dataset_id)
    if run is None:
        return None
    key = {"neuron_id": neuron_id, "run_id": run.run_id}
    rows = connection.execute(text(NEURON_STATEMENT), key)
    p = tables.position_information.c
    information = connection.scalar(
        select(p.information).where(p.neuron_id == neuron_id, p.run_id == run.run_id)
    )
    return NeuronFamilies(run, [Explanation(*row) for row in rows], information)


class LayerCount(NamedTuple):
    """How many neurons of a layer have a family as their best one, above a score."""

    layer: int
    family: str
    n: int


def count_families(
    connection: Connection, run_id: int, least_score: float = 0.0
) -> list[LayerCount]:
    """Return how many neurons of each layer each family explains best, above a score."""
    f, t, n = tables.neuron_families.c, tables.token_tests.c, tables.neurons.c
    rows = connection.execute(
        select(n.layer, t.family, func.count())
        .select_from(tables.neuron_families)
        .join(tables.token_tests, (t.run_id == f.run_id) & (t.test == f.test))
        .join(tables.neurons, n.neuron_id == f.neuron_id)
        .where(f.run_id == run_id, f.case_id == ALL_CASES, f.rank == 0, f.score > least_score)
        .group_by(n.layer, t.family)
        .order_by(n.layer, t.family)
    )
    return [LayerCount(*row) for row in rows]


class Explained(NamedTuple):
    """A neuron whose best test of all is one of a family."""

    neuron_id: int
    name: str
    test: str
    score: float
    sign: int


class FamilySummary(NamedTuple):
    """A family over a whole model.

    Attributes:
        n: neurons that it explains best, with a score above `LEAST_COUNTED`.
        layer: the layer with most of them; None where there is none.
        best: the neurons that it explains best, the best explained first.
    """

    family: str
    n: int
    layer: int | None
    best: Sequence[Explained]


class FamilyPage(NamedTuple):
    """A run, and its families, that of most neurons first."""

    run: FamilyRun
    n_neurons: int
    families: Sequence[FamilySummary]


def read_family_page(connection: Connection, run_id: int, k: int) -> FamilyPage:
    """Return a run with its families, each with k neurons; 0 for all.

    Raises:
        UnknownNameError: when there is no such run.
    """
    run = read_family_run(connection, run_id)
    counts = count_families(connection, run_id, LEAST_COUNTED)
    names = connection.scalars(
        select(tables.token_tests.c.family).where(tables.token_tests.c.run_id == run_id).distinct()
    )
    families = [
        FamilySummary(
            name,
            sum(one.n for one in counts if one.family == name),
            max(
                (one for one in counts if one.family == name),
                key=lambda one: (one.n, -one.layer),
                default=LayerCount(-1, name, 0),
            ).layer,
            _list_explained(connection, run_id, name, k),
        )
        for name in names
    ]
    p = tables.position_information.c
    of_run = select(func.count()).select_from(tables.position_information)
    n_neurons = int(connection.scalar(of_run.where(p.run_id == run_id)) or 0)
    return FamilyPage(run, n_neurons, sorted(families, key=lambda one: (-one.n, one.family)))


def _list_explained(
    connection: Connection, run_id: int, family: str, k: int
) -> Sequence[Explained]:
    f, t, n = tables.neuron_families.c, tables.token_tests.c, named_neurons.c
    rows = connection.execute(
        select(f.neuron_id, n.name, t.name, f.score, f.inside_mean >= f.outside_mean)
        .select_from(tables.neuron_families)
        .join(tables.token_tests, (t.run_id == f.run_id) & (t.test == f.test))
        .join(named_neurons, n.neuron_id == f.neuron_id)
        .where(f.run_id == run_id, f.case_id == ALL_CASES, f.rank == 0, t.family == family)
        .order_by(f.score.desc(), f.neuron_id)
        .limit(k or None)
    )
    return [
        Explained(key, name, test, score, 1 if more else -1)
        for key, name, test, score, more in rows
    ]


class PartOfTokens(NamedTuple):
    """Tokens of one kind, and quantiles of a neuron's canonical hook_post on them."""

    place: int
    part: str
    n: int
    mean: float
    q05: float
    q25: float
    q50: float
    q75: float
    q95: float


class ShownNeuron(NamedTuple):
    """A neuron whose activations are stored part by part, and its best test."""

    neuron_id: int
    name: str
    test: str
    score: float
    sign: int
    parts: Sequence[PartOfTokens]


def list_shown_families(connection: Connection, run_id: int) -> list[str]:
    """Return the families of whose neurons activations are stored part by part, by name."""
    a, f, t = tables.family_activations.c, tables.neuron_families.c, tables.token_tests.c
    return list(
        connection.scalars(
            select(t.family)
            .select_from(tables.neuron_families)
            .join(tables.token_tests, (t.run_id == f.run_id) & (t.test == f.test))
            .where(f.run_id == run_id, f.case_id == ALL_CASES, f.rank == 0)
            .where(f.neuron_id.in_(select(a.neuron_id).where(a.run_id == run_id)))
            .distinct()
            .order_by(t.family)
        )
    )


def read_shown_neurons(
    connection: Connection, run_id: int, family: str, split: str
) -> list[ShownNeuron]:
    """Return the neurons of a family with their activations part by part, the best first."""
    a = tables.family_activations.c
    columns = (getattr(a, name) for name in PartOfTokens._fields)
    rows = connection.execute(
        select(a.neuron_id, *columns)
        .where(a.run_id == run_id, a.split == split)
        .order_by(a.neuron_id, a.place)
    )
    parts: dict[int, list[PartOfTokens]] = {}
    for neuron_id, *values in rows:
        parts.setdefault(neuron_id, []).append(PartOfTokens(*values))
    return [
        ShownNeuron(*one, parts[one.neuron_id])
        for one in _list_explained(connection, run_id, family, 0)
        if one.neuron_id in parts
    ]
