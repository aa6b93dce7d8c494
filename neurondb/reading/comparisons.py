"""The comparison of two models: as a page, and neuron by neuron."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, case, func, select, text

from neurondb.reading.models import Model
from neurondb.reading.pairs import Pair, Vocabularies, vocabularies, without_vocabulary
from neurondb.schema import codes, tables
from neurondb.taxonomy import CLASSES, UNDEFINED

NEGATED: Final = -0.5
"""Where cos(in) and cos(out) are both below, a neuron's two vectors have changed their sign."""

LEAST_MOVE: Final = 1e-6
"""What rounding does to `moved`, at most: below it a neuron has not moved."""

CLASS_NAMES: Final = tuple(one.name for one in (*CLASSES, UNDEFINED))
OUT_TOP: Final = codes.token_list(codes.VECTORS.index("out"), 0, 0)

ROW_COLUMNS: Final = (
    *("model_a", "model_b", "layer", "neuron", "name", "gate_cosine", "in_cosine", "out_cosine"),
    *("moved", "class_a", "class_b", "same_token", "token_a", "token_b"),
)

# Tokens are subqueries: looked up for the neurons that are shown, not for those sorted away.
_HEAD = """
(SELECT t.token FROM lm_head_tokens h
 JOIN tokens t ON t.model_id = :{model} AND t.token_id = h.token_id
 WHERE h.neuron_id = :first_{model} + r.layer * :d_mlp + r.neuron AND h.side = 1)"""
_OUT = """
(SELECT t.token FROM top_token_rows h
 JOIN tokens t ON t.model_id = :{model} AND t.token_id = h.token_id
 WHERE h.neuron_id = :first_{model} + r.layer * :d_mlp + r.neuron
   AND h.list_id = :out_top AND h.rank = 0)"""
_NEURONS = f"""
SELECT r.layer, r.neuron, r.gate_cosine, r.in_cosine, r.out_cosine, r.moved, ka.name AS class_a,
       kb.name AS class_b, r.same_token, {_HEAD.format(model="a")} AS token_a,
       {_HEAD.format(model="b")} AS token_b{{more}}
FROM (SELECT * FROM comparison_neurons r WHERE r.comparison_id = :id {{only}}
      ORDER BY {{order}} LIMIT :limit) r
LEFT JOIN rw_classes ka ON ka.class_id = r.class_a
LEFT JOIN rw_classes kb ON kb.class_id = r.class_b
ORDER BY {{order}}"""  # noqa: S608  (put together from the constants above)
_ALL_NEURONS = _NEURONS.format(
    more="",
    only="",
    # Databases differ in where NULL comes.
    order="CASE WHEN r.moved IS NULL THEN 1 ELSE 0 END, r.moved DESC, r.layer, r.neuron",
)
_MOVED_NEURONS = _NEURONS.format(
    more=f",{_OUT.format(model='a')} AS out_a,{_OUT.format(model='b')} AS out_b",
    only=f"AND r.moved > {LEAST_MOVE}",
    order="r.moved DESC, r.layer, r.neuron",  # what the index has
)


@dataclass(frozen=True)
class Summary:
    """Some neurons of two models, compared: those of a layer, or all.

    Attributes:
        layer: None for all layers.
        n: neurons.
        n_tokens: those with a top token of the LM-head decoding of +in in both models.
        n_kept: those that have the same one.
        gate: median cosine of the gates; None when ungated or there is none.
        in_: of the `in` vectors.
        out: of the `out` vectors.
        n_changed: neurons of another read-write class.
        moved: of the neuron that moved most; None when all vectors are zero.
    """

    layer: int | None
    n: int
    n_tokens: int
    n_kept: int
    gate: float | None
    in_: float | None
    out: float | None
    n_changed: int
    moved: float | None

    @property
    def share_kept(self) -> float | None:
        """Share of neurons that keep their top token (specialised-feature-neurons §2)."""
        return self.n_kept / self.n_tokens if self.n_tokens else None


@dataclass(frozen=True)
class Migration:
    """Neurons of one class before and of one after."""

    before: str
    after: str
    n: int


@dataclass(frozen=True)
class MovedNeuron:
    """A neuron in both models; tokens are the LM head's of +in, and the first of `out`'s list."""

    layer: int
    neuron: int
    gate_cosine: float | None
    in_cosine: float | None
    out_cosine: float | None
    moved: float
    class_a: str | None
    class_b: str | None
    same_token: bool | None
    token_a: str | None
    token_b: str | None
    out_a: str | None
    out_b: str | None


@dataclass(frozen=True)
class ComparisonPage:
    """Two models compared.

    Attributes:
        threshold: τ of the classes: that of the first model.
        created_at: when they were compared, UTC.
        without_vocab: those of the two whose top tokens are not ingested.
        migration: how many neurons went from which class to which, by the published order.
        n_negated: neurons of which both in and out point the other way.
        moved: those that moved most; none that has not moved.
    """

    before: Model
    after: Model
    threshold: float
    created_at: str
    vocabularies: Vocabularies
    without_vocab: tuple[Model, ...]
    whole: Summary
    layers: tuple[Summary, ...]
    migration: tuple[Migration, ...]
    n_negated: int
    moved: tuple[MovedNeuron, ...]


def comparison_page(
    connection: Connection, pair: Pair, comparison_id: int, limit: int | None = 10
) -> ComparisonPage:
    """Return what a stored comparison says; `limit` neurons that moved most, None for all."""
    c = tables.comparisons.c
    created_at = connection.execute(
        select(c.created_at).where(c.comparison_id == comparison_id)
    ).scalar_one()
    counts = _counts(connection, comparison_id)
    cosines = [_cosines(connection, comparison_id, n) for n in range(pair.before.n_layers)]
    of_all = [np.concatenate(of_layers) for of_layers in zip(*cosines, strict=True)]
    return ComparisonPage(
        before=pair.before,
        after=pair.after,
        threshold=pair.before.threshold,
        created_at=created_at,
        vocabularies=vocabularies(connection, pair),
        without_vocab=without_vocabulary(connection, pair),
        whole=_summary(None, counts, of_all),
        layers=tuple(
            _summary(layer, [one for one in counts if one.layer == layer], of_layer)
            for layer, of_layer in enumerate(cosines)
        ),
        migration=_migration(counts),
        n_negated=sum(one.negated for one in counts),
        moved=_moved(connection, pair, comparison_id, limit),
    )


def comparison_rows(
    connection: Connection, pair: Pair, comparison_id: int, limit: int | None = None
) -> Iterator[tuple[Any, ...]]:
    """Yield `ROW_COLUMNS` of every neuron, the one that moved most first."""
    found = connection.execute(
        text(_ALL_NEURONS), _parameters(connection, pair, comparison_id, limit)
    )
    names = (pair.before.name, pair.after.name)
    for row in found:
        same = None if row.same_token is None else bool(row.same_token)
        place = (row.layer, row.neuron, f"{row.layer}.{row.neuron}")
        cosines = (row.gate_cosine, row.in_cosine, row.out_cosine, row.moved)
        yield (*names, *place, *cosines, row.class_a, row.class_b, same, row.token_a, row.token_b)


def _moved(
    connection: Connection, pair: Pair, comparison_id: int, limit: int | None
) -> tuple[MovedNeuron, ...]:
    parameters = _parameters(connection, pair, comparison_id, limit) | {"out_top": OUT_TOP}
    rows = connection.execute(text(_MOVED_NEURONS), parameters)
    return tuple(MovedNeuron(**row._mapping) for row in rows)


def _parameters(
    connection: Connection, pair: Pair, comparison_id: int, limit: int | None
) -> dict[str, Any]:
    if limit is None:
        limit = pair.before.n_neurons
    return {
        "id": comparison_id,
        "limit": limit,
        "a": pair.before.model_id,
        "b": pair.after.model_id,
        "first_a": pair.before.first_neuron_id,
        "first_b": pair.after.first_neuron_id,
        "d_mlp": pair.before.d_mlp,
    }


class _Count(NamedTuple):
    """Neurons of a layer with one class in the first model and one in the second."""

    layer: int
    class_a: int | None
    class_b: int | None
    n: int
    n_tokens: int
    n_kept: int
    negated: int
    moved: float | None


def _counts(connection: Connection, comparison_id: int) -> list[_Count]:
    n = tables.comparison_neurons.c
    negated = (n.in_cosine < NEGATED) & (n.out_cosine < NEGATED)
    place = (n.layer, n.class_a, n.class_b)
    rows = connection.execute(
        select(
            *place,
            func.count(),
            func.count(n.same_token),
            func.sum(case((n.same_token.is_(True), 1), else_=0)),
            func.sum(case((negated, 1), else_=0)),
            func.max(n.moved),
        )
        .where(n.comparison_id == comparison_id)
        .group_by(*place)
    )
    return [_Count(*row) for row in rows]


def _cosines(connection: Connection, comparison_id: int, layer: int) -> list[NDArray[np.float64]]:
    """Return a layer's cosines of gate, in and out; NULL is NaN."""
    n = tables.comparison_neurons.c
    rows = connection.execute(
        select(n.gate_cosine, n.in_cosine, n.out_cosine).where(
            n.comparison_id == comparison_id, n.layer == layer
        )
    ).all()
    return [np.array(column, dtype=np.float64) for column in zip(*rows, strict=True)]


def _summary(
    layer: int | None, counts: Sequence[_Count], cosines: Sequence[NDArray[np.float64]]
) -> Summary:
    gate, in_, out = map(_median, cosines)
    return Summary(
        layer=layer,
        n=sum(one.n for one in counts),
        n_tokens=sum(one.n_tokens for one in counts),
        n_kept=sum(one.n_kept for one in counts),
        gate=gate,
        in_=in_,
        out=out,
        n_changed=sum(one.n for one in counts if _changed(one)),
        moved=max((one.moved for one in counts if one.moved is not None), default=None),
    )


def _changed(one: _Count) -> bool:
    known = one.class_a is not None and one.class_b is not None
    return known and one.class_a != one.class_b


def _median(values: NDArray[np.float64]) -> float | None:
    known = values[~np.isnan(values)]
    return float(np.median(known)) if len(known) else None


def _migration(counts: Iterable[_Count]) -> tuple[Migration, ...]:
    total: Counter[tuple[int, int]] = Counter()
    for one in counts:
        if one.class_a is not None and one.class_b is not None:
            total[one.class_a, one.class_b] += one.n
    return tuple(Migration(CLASS_NAMES[a], CLASS_NAMES[b], total[a, b]) for a, b in sorted(total))
