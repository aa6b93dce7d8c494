"""The stored comparison of two models: summed up as a page, and neuron by neuron.

A comparison has the cosines between the vectors of each neuron before and after, and whether its
class and its top token stayed. `moved` is 1 − the smallest of a neuron's cosines.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, case, func, select, text

from neurondb.reading.models import Model
from neurondb.reading.pairs import Pair, Vocabularies, compare_vocabularies, list_without_vocabulary
from neurondb.schema import codes, tables
from neurondb.taxonomy import CLASSES, UNDEFINED

NEGATED_BELOW: Final = -0.5
"""A neuron whose cos(in) and cos(out) are both below this has changed the sign of both vectors."""


SMALLEST_MOVE: Final = 1e-6
"""The most that rounding does to `moved`; a neuron below it has not moved."""


CLASS_NAMES: Final = tuple(entry.name for entry in (*CLASSES, UNDEFINED))
"""Class id → name."""

OUT_TOP: Final = codes.encode_token_list(codes.VECTORS.index("out"), 0, 0)
"""Code of the list of the tokens that `out` promotes most."""


ROW_COLUMNS: Final = (
    *("model_a", "model_b", "layer", "neuron", "name", "gate_cosine", "in_cosine", "out_cosine"),
    *("moved", "class_a", "class_b", "same_token", "token_a", "token_b"),
)
"""The columns of `read_comparison_rows`."""


# Tokens are subqueries, so that they are looked up only for the neurons that are shown.
_LM_HEAD_TOP_SQL = """
(SELECT t.token FROM lm_head_tokens h
 JOIN tokens t ON t.model_id = :{model} AND t.token_id = h.token_id
 WHERE h.neuron_id = :first_{model} + r.layer * :d_mlp + r.neuron AND h.side = 1)"""

_OUT_TOP_SQL = """
(SELECT t.token FROM top_token_rows h
 JOIN tokens t ON t.model_id = :{model} AND t.token_id = h.token_id
 WHERE h.neuron_id = :first_{model} + r.layer * :d_mlp + r.neuron
   AND h.list_id = :out_top AND h.rank = 0)"""

_NEURONS_SQL = f"""
SELECT r.layer, r.neuron, r.gate_cosine, r.in_cosine, r.out_cosine, r.moved, ka.name AS class_a,
       kb.name AS class_b, r.same_token, {_LM_HEAD_TOP_SQL.format(model="a")} AS token_a,
       {_LM_HEAD_TOP_SQL.format(model="b")} AS token_b{{more}}
FROM (SELECT * FROM comparison_neurons r WHERE r.comparison_id = :id {{only}}
      ORDER BY {{order}} LIMIT :limit) r
LEFT JOIN rw_classes ka ON ka.class_id = r.class_a
LEFT JOIN rw_classes kb ON kb.class_id = r.class_b
ORDER BY {{order}}"""  # noqa: S608  (put together from the constants above)

_ALL_NEURONS_SQL = _NEURONS_SQL.format(
    more="",
    only="",
    # Databases differ in where they sort NULL.
    order="CASE WHEN r.moved IS NULL THEN 1 ELSE 0 END, r.moved DESC, r.layer, r.neuron",
)

_MOVED_NEURONS_SQL = _NEURONS_SQL.format(
    more=f",{_OUT_TOP_SQL.format(model='a')} AS out_a,{_OUT_TOP_SQL.format(model='b')} AS out_b",
    only=f"AND r.moved > {SMALLEST_MOVE}",
    order="r.moved DESC, r.layer, r.neuron",  # the order of the index
)


@dataclass(frozen=True)
class Summary:
    """How the neurons of a layer, or of all layers, differ between two models.

    Attributes:
        layer: the layer; None for all layers.
        n: how many neurons.
        n_tokens: how many have a top token of the LM-head decoding of +in in both models.
        n_kept: how many of those have the same one.
        gate: median of cos(gate before, gate after); None for ungated neurons, or without values.
        in_: median of cos(in before, in after).
        out: median of cos(out before, out after).
        n_changed: how many have another read-write class.
        moved: `moved` of the neuron that moved most; None when all vectors are zero.
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
    """How many neurons went from one read-write class to another, or stayed in it."""

    before: str
    after: str
    n: int


@dataclass(frozen=True)
class MovedNeuron:
    """A neuron in both models; the first is model a, the second model b.

    Attributes:
        gate_cosine: cos(gate before, gate after); None where one is zero or there is none.
        token_a: top token of the LM-head decoding of +in in model a; likewise `token_b`.
        out_a: the token that `out` promotes most in model a; likewise `out_b`.
    """

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
        threshold: the τ of the classes, which is that of the first model.
        created_at: when they were compared, in UTC.
        vocabularies: how far token ids mean the same in both.
        without_vocab: the models whose top tokens are not ingested.
        whole: all layers together.
        layers: each layer.
        migration: how many neurons went from which class to which, in the published order.
        n_negated: how many neurons have both `in` and `out` point the other way.
        moved: the neurons that moved most, without those that have not moved.
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


def read_comparison_page(
    connection: Connection, pair: Pair, comparison_id: int, limit: int | None = 10
) -> ComparisonPage:
    """Return a stored comparison as a page.

    Args:
        connection: an open connection.
        pair: the two models.
        comparison_id: id of their comparison.
        limit: how many of the neurons that moved most; None is all.
    """
    c = tables.comparisons.c
    created_at = connection.execute(
        select(c.created_at).where(c.comparison_id == comparison_id)
    ).scalar_one()
    counts = _read_counts(connection, comparison_id)
    cosines = [_read_cosines(connection, comparison_id, n) for n in range(pair.before.n_layers)]
    of_all = [np.concatenate(of_layers) for of_layers in zip(*cosines, strict=True)]
    return ComparisonPage(
        before=pair.before,
        after=pair.after,
        threshold=pair.before.threshold,
        created_at=created_at,
        vocabularies=compare_vocabularies(connection, pair),
        without_vocab=list_without_vocabulary(connection, pair),
        whole=_summarise(None, counts, of_all),
        layers=tuple(
            _summarise(layer, [count for count in counts if count.layer == layer], of_layer)
            for layer, of_layer in enumerate(cosines)
        ),
        migration=_sum_migration(counts),
        n_negated=sum(count.negated for count in counts),
        moved=_read_moved(connection, pair, comparison_id, limit),
    )


def read_comparison_rows(
    connection: Connection, pair: Pair, comparison_id: int, limit: int | None = None
) -> Iterator[tuple[Any, ...]]:
    """Yield a row of `ROW_COLUMNS` for each neuron, the one that moved most first."""
    rows = connection.execute(
        text(_ALL_NEURONS_SQL), _make_parameters(connection, pair, comparison_id, limit)
    )
    names = (pair.before.name, pair.after.name)
    for row in rows:
        same_token = None if row.same_token is None else bool(row.same_token)
        place = (row.layer, row.neuron, f"{row.layer}.{row.neuron}")
        cosines = (row.gate_cosine, row.in_cosine, row.out_cosine, row.moved)
        yield (
            *names,
            *place,
            *cosines,
            row.class_a,
            row.class_b,
            same_token,
            row.token_a,
            row.token_b,
        )


def _read_moved(
    connection: Connection, pair: Pair, comparison_id: int, limit: int | None
) -> tuple[MovedNeuron, ...]:
    parameters = _make_parameters(connection, pair, comparison_id, limit) | {"out_top": OUT_TOP}
    rows = connection.execute(text(_MOVED_NEURONS_SQL), parameters)
    return tuple(MovedNeuron(**row._mapping) for row in rows)


def _make_parameters(
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
    """Counts of the neurons of a layer that have given classes in the first and second model."""

    layer: int
    class_a: int | None
    class_b: int | None
    n: int
    n_tokens: int
    n_kept: int
    negated: int
    moved: float | None


def _read_counts(connection: Connection, comparison_id: int) -> list[_Count]:
    n = tables.comparison_neurons.c
    negated = (n.in_cosine < NEGATED_BELOW) & (n.out_cosine < NEGATED_BELOW)
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


def _read_cosines(
    connection: Connection, comparison_id: int, layer: int
) -> list[NDArray[np.float64]]:
    """Return the cosines of gate, in and out of a layer's neurons, with NaN for NULL."""
    n = tables.comparison_neurons.c
    rows = connection.execute(
        select(n.gate_cosine, n.in_cosine, n.out_cosine).where(
            n.comparison_id == comparison_id, n.layer == layer
        )
    ).all()
    return [np.array(column, dtype=np.float64) for column in zip(*rows, strict=True)]


def _summarise(
    layer: int | None, counts: Sequence[_Count], cosines: Sequence[NDArray[np.float64]]
) -> Summary:
    gate, in_, out = map(_compute_median, cosines)
    return Summary(
        layer=layer,
        n=sum(count.n for count in counts),
        n_tokens=sum(count.n_tokens for count in counts),
        n_kept=sum(count.n_kept for count in counts),
        gate=gate,
        in_=in_,
        out=out,
        n_changed=sum(count.n for count in counts if _has_changed(count)),
        moved=max((count.moved for count in counts if count.moved is not None), default=None),
    )


def _has_changed(count: _Count) -> bool:
    classified = count.class_a is not None and count.class_b is not None
    return classified and count.class_a != count.class_b


def _compute_median(values: NDArray[np.float64]) -> float | None:
    finite = values[~np.isnan(values)]
    return float(np.median(finite)) if len(finite) else None


def _sum_migration(counts: Iterable[_Count]) -> tuple[Migration, ...]:
    total: Counter[tuple[int, int]] = Counter()
    for count in counts:
        if count.class_a is not None and count.class_b is not None:
            total[count.class_a, count.class_b] += count.n
    return tuple(Migration(CLASS_NAMES[a], CLASS_NAMES[b], total[a, b]) for a, b in sorted(total))
