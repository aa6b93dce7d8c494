"""Neurons and attention heads as they are stored (METHODS §7)."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from statistics import NormalDist
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection, Select, func, select

from neurondb.reading.head_cases import HeadEffectCase, list_head_cases
from neurondb.reading.models import Model
from neurondb.schema import tables
from neurondb.schema.named_neurons import named_neurons

STRONG: Final = 4.0
"""Standard deviations of random directions from which a pair counts as strong."""
CHANCE: Final = 3.167e-5
"""Share of random directions beyond that on one side."""
RARE: Final = 0.05
"""A neuron's heads are beyond chance where so few random directions have any head as strong."""


@dataclass(frozen=True)
class HeadRun:
    """A run as its row describes it; `head_runs` documents the columns."""

    run_id: int
    model_id: int
    bos_token_id: int
    per_neuron: int
    per_head: int
    n_random: int
    seed: int
    n_pairs: int
    baseline_std: float | None
    ignored: str | None
    dataset_id: int | None
    n_texts: int | None
    n_tokens: int | None
    max_len: int | None
    norm_ratio: float | None
    seconds: float | None
    dtype: str
    device: str
    created_at: str


class AttentionHead(NamedTuple):
    """A head; `attention_heads` documents the columns."""

    layer: int
    head: int
    baseline_std: float
    n_deactivating: int
    n_activating: int
    bos_norm: float | None
    other_norm: float | None
    norm_ratio: float | None
    bos_attention: float | None

    @property
    def name(self) -> str:
        """Return layer and head as they are written."""
        return f"{self.layer}.{self.head}"


@dataclass(frozen=True)
class NeuronHead:
    """A neuron and a head of a later layer.

    Attributes:
        neuron_id: The neuron.
        layer: Its layer.
        neuron: Its number there.
        name: The neuron as it is written.
        head_layer: The layer of the head.
        head: The head.
        score: Positive where firing raises the head's attention to BOS.
        standardised: The same in standard deviations of random directions.
        rank: Among the neuron's heads on this side; None beyond those kept.
        head_rank: Among the head's neurons on this side; None beyond those kept.
    """

    neuron_id: int
    layer: int
    neuron: int
    name: str
    head_layer: int
    head: int
    score: float
    standardised: float
    rank: int | None
    head_rank: int | None

    @property
    def head_name(self) -> str:
        """Return the head as it is written."""
        return f"{self.head_layer}.{self.head}"

    @property
    def effect(self) -> str:
        """Return what firing does to the head: `deactivates` or `activates`."""
        return "deactivates" if self.score > 0 else "activates"


@dataclass(frozen=True)
class HeadEffect:
    """A path ablation; `head_ablations` documents the columns."""

    neuron_id: int
    layer: int
    neuron: int
    name: str
    head_layer: int
    head: int
    score: float
    standardised: float
    n: int
    n_firing: int
    activation: float | None
    bos_attention: float | None
    bos_change: float | None
    output_norm: float | None
    norm_change: float | None
    firing_activation: float | None
    firing_bos_attention: float | None
    firing_bos_change: float | None
    firing_output_norm: float | None
    firing_norm_change: float | None
    bos_correlation: float | None
    norm_correlation: float | None

    @property
    def head_name(self) -> str:
        """Return the head as it is written."""
        return f"{self.head_layer}.{self.head}"


@dataclass(frozen=True)
class KnownHead:
    """What is stored of a neuron and a head.

    Attributes:
        pair: Their score.
        ablation: What taking the neuron out of the head's query changed; None where nobody asked.
        cases: The same by the sign case that the neuron is in.
        chance: The |standardised score| that the strongest of as many heads has for one random
            direction in twenty.
    """

    pair: NeuronHead
    ablation: HeadEffect | None
    chance: float
    cases: Sequence[HeadEffectCase] = ()

    @property
    def stands_out(self) -> bool:
        """Whether it is beyond chance, or somebody has asked what it does."""
        return abs(self.pair.standardised) > self.chance or self.ablation is not None


class ScoreCount(NamedTuple):
    """How many scores lie in a bin."""

    low: float
    high: float
    n_neurons: int
    n_random: int


class AblatedToken(NamedTuple):
    """What was measured of a path ablation at one position."""

    activation: float
    bos_clean: float
    bos_ablated: float
    norm_clean: float
    norm_ablated: float


class HeadPage(NamedTuple):
    """A run, and the most that a page of it shows.

    Attributes:
        run: The run.
        model: The model's name.
        bos: The token that stood for BOS; None where its text is not stored.
        dataset: The name of the dataset; None of scores alone.
        heads: All heads.
        strongest: By side, the pairs of the strongest scores.
        effects: The path ablations, those of the strongest scores first.
    """

    run: HeadRun
    model: str
    bos: str | None
    dataset: str | None
    heads: Sequence[AttentionHead]
    strongest: dict[str, Sequence[NeuronHead]]
    effects: Sequence[HeadEffect]

    def count_strong(self, effect: str) -> int:
        """Return how many pairs are beyond `STRONG` on a side."""
        name = "n_deactivating" if effect == "deactivates" else "n_activating"
        return sum(getattr(head, name) for head in self.heads)

    @property
    def expected(self) -> float:
        """How many of so many random directions would be beyond `STRONG` on a side."""
        return self.run.n_pairs * CHANCE


_RUN_COLUMNS: Final = tuple(tables.head_runs.c[field.name] for field in fields(HeadRun))


def find_head_run(connection: Connection, model: Model) -> HeadRun | None:
    """Return a model's run; None where there is none."""
    r = tables.head_runs.c
    row = connection.execute(
        select(*_RUN_COLUMNS).where(r.model_id == model.model_id).order_by(r.run_id.desc()).limit(1)
    ).first()
    return None if row is None else HeadRun(*row)


def read_head_page(connection: Connection, model: Model, limit: int | None) -> HeadPage | None:
    """Return a model's run with `limit` pairs of each side, or all; None where there is none."""
    run = find_head_run(connection, model)
    if run is None:
        return None
    t, d = tables.tokens.c, tables.dataset_rows.c
    bos = select(t.token).where(t.model_id == run.model_id, t.token_id == run.bos_token_id)
    return HeadPage(
        run,
        model.name,
        connection.scalar(bos),
        connection.scalar(select(d.name).where(d.dataset_id == run.dataset_id)),
        list_heads(connection, run),
        {
            "deactivates": list_strongest(connection, model, limit, deactivates=True),
            "activates": list_strongest(connection, model, limit, deactivates=False),
        },
        list_head_effects(connection, run),
    )


def list_heads(connection: Connection, run: HeadRun) -> tuple[AttentionHead, ...]:
    """Return the heads of a run in order."""
    a = tables.attention_heads.c
    columns = [a[name] for name in AttentionHead._fields]
    rows = connection.execute(
        select(*columns).where(a.run_id == run.run_id).order_by(a.layer, a.head)
    )
    return tuple(AttentionHead(*row) for row in rows)


def _select_pairs() -> Select[Any]:
    r, n = tables.neuron_head_rows.c, named_neurons.c
    return select(
        r.neuron_id,
        n.layer,
        n.neuron,
        n.name,
        r.head_layer,
        r.head,
        r.score,
        r.standardised,
        r.rank,
        r.head_rank,
    ).join_from(tables.neuron_head_rows, named_neurons, n.neuron_id == r.neuron_id)


def list_strongest(
    connection: Connection, model: Model, limit: int | None, *, deactivates: bool
) -> tuple[NeuronHead, ...]:
    """Return the pairs of a model with the largest scores of one sign, the largest first."""
    r = tables.neuron_head_rows.c
    last = model.first_neuron_id + model.n_ids - 1
    side = r.score > 0 if deactivates else r.score < 0
    rows = connection.execute(
        _select_pairs()
        .where(r.neuron_id.between(model.first_neuron_id, last), side)
        .where(r.head_rank.is_not(None))
        .order_by(func.abs(r.score).desc(), r.neuron_id, r.head_layer, r.head)
        .limit(limit)
    )
    return tuple(NeuronHead(*row) for row in rows)


def list_neuron_heads(connection: Connection, neuron_id: int) -> tuple[KnownHead, ...]:
    """Return the heads that are kept of a neuron, the strongest first, and their ablations."""
    r = tables.neuron_head_rows.c
    rows = connection.execute(
        _select_pairs()
        .where(r.neuron_id == neuron_id)
        .order_by(func.abs(r.standardised).desc(), r.head_layer, r.head)
    )
    pairs = [NeuronHead(*row) for row in rows]
    if not pairs:
        return ()
    chance = find_chance_bound(_count_later_heads(connection, neuron_id))
    effects = {
        (one.head_layer, one.head): one
        for one in list_head_effects(connection, neuron_id=neuron_id)
    }
    cases = list_head_cases(connection, neuron_id)
    places = [(pair.head_layer, pair.head) for pair in pairs]
    return tuple(
        KnownHead(pair, effects.get(place), chance, cases.get(place, ()))
        for pair, place in zip(pairs, places, strict=True)
    )


def find_chance_bound(n_heads: int, rare: float = RARE) -> float:
    """Return the |standardised score| that any of n heads exceeds for few random directions.

    A random direction's standardised score at a head is all but Gaussian, of standard deviation 1
    (METHODS §7). The strongest of n independent ones is below z with probability (2Φ(z) − 1)ⁿ;
    heads that resemble one another only make it smaller.

    Args:
        n_heads: heads that a neuron can act on.
        rare: the share of random directions that exceed the result.
    """
    within = (1 - rare) ** (1 / max(1, n_heads))
    return NormalDist().inv_cdf((1 + within) / 2)


def _count_later_heads(connection: Connection, neuron_id: int) -> int:
    """Return how many heads stand behind a neuron in the newest run over its model."""
    n, r, a = tables.neurons.c, tables.head_runs.c, tables.attention_heads.c
    newest = (
        select(r.run_id, n.layer)
        .join_from(tables.neurons, tables.head_runs, r.model_id == n.model_id)
        .where(n.neuron_id == neuron_id)
        .order_by(r.run_id.desc())
        .limit(1)
        .subquery()
    )
    later = (a.run_id == newest.c.run_id) & (a.layer > newest.c.layer)
    return int(connection.scalar(select(func.count()).where(later)) or 0)


def list_head_effects(
    connection: Connection, run: HeadRun | None = None, neuron_id: int | None = None
) -> tuple[HeadEffect, ...]:
    """Return path ablations of a run or of a neuron, those of the strongest scores first."""
    a, n = tables.head_ablations.c, named_neurons.c
    names = [field.name for field in fields(HeadEffect)]
    columns = [n[name] if name in ("layer", "neuron", "name") else a[name] for name in names]
    chosen = select(*columns).join_from(
        tables.head_ablations, named_neurons, n.neuron_id == a.neuron_id
    )
    if run is not None:
        chosen = chosen.where(a.run_id == run.run_id)
    if neuron_id is not None:
        chosen = chosen.where(a.neuron_id == neuron_id)
    order = (func.abs(a.score).desc(), a.neuron_id, a.head_layer, a.head)
    return tuple(HeadEffect(*row) for row in connection.execute(chosen.order_by(*order)))


def list_score_counts(
    connection: Connection, run: HeadRun, *, standardised: bool
) -> tuple[ScoreCount, ...]:
    """Return the distribution of scores, bin by bin."""
    c = tables.head_score_counts.c
    rows = connection.execute(
        select(c.low, c.high, c.n_neurons, c.n_random)
        .where(c.run_id == run.run_id, c.standardised == standardised)
        .order_by(c.bin)
    )
    return tuple(ScoreCount(*row) for row in rows)


def list_ablated_tokens(
    connection: Connection, run: HeadRun, effect: HeadEffect
) -> tuple[AblatedToken, ...]:
    """Return the positions that were kept of a path ablation."""
    k = tables.head_ablation_tokens.c
    rows = connection.execute(
        select(*(k[name] for name in AblatedToken._fields))
        .where(k.run_id == run.run_id, k.neuron_id == effect.neuron_id)
        .where(k.head_layer == effect.head_layer, k.head == effect.head)
        .order_by(k.place)
    )
    return tuple(AblatedToken(*row) for row in rows)
