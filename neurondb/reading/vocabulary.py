"""A neuron in tokens: top and bottom lists, moments, role, classes of tokens (METHODS §4).

Each of a neuron's vectors is compared with the tokens' rows of the unembedding U or the embedding
E, the basis. The tokens most along it are its top, those most against it its bottom.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection, column, select, table, text
from sqlalchemy.types import NullType

from neurondb.reading.models import Model
from neurondb.reading.provenance import UNUSED_ROWS_SETTING
from neurondb.schema import codes, tables

_PREPROCESSING_OF_U: Final = {"fold": "folded", "center": "centred"}
"""Setting of the vocab stage → what it does to U; both are on unless its step says otherwise."""

OUT_UNEMBED_TOP: Final = codes.encode_token_list(2, 0, 0)

OUT_UNEMBED_BOTTOM: Final = codes.encode_token_list(2, 0, 1)


# The view is asked, for it knows how a dot product follows from the cosine and two norms.
_LIST_COLUMNS: Final = ("vector", "basis", "direction")

_TOKEN_COLUMNS: Final = ("neuron_id", "rank", "token_id", "cosine", "dot")

_TOP_TOKENS: Final = table(
    "top_tokens", *(column(name, NullType()) for name in _LIST_COLUMNS + _TOKEN_COLUMNS)
)


@dataclass(frozen=True)
class ScoredToken:
    """A token in a list of a neuron.

    Attributes:
        rank: place in the list; 0 is the most extreme.
        token: its text; None where the vocabulary lacks the id.
        cosine: of the vector and the token's row of the basis.
        dot: their dot product; None where the token's norm is not known.
    """

    rank: int
    token_id: int
    token: str | None
    cosine: float
    dot: float | None


@dataclass(frozen=True)
class TokenList:
    """The tokens whose rows of the basis are most along a vector, or most against it.

    Attributes:
        vector: gate, in or out.
        basis: unembed or embed.
        direction: top, most along the vector; or bottom, most against it.
    """

    vector: str
    basis: str
    direction: str
    tokens: tuple[ScoredToken, ...]


@dataclass(frozen=True)
class VocabMoments:
    """Moments of cos(U, vector) over the vocabulary.

    Attributes:
        kurtosis: Pearson's; a Gaussian has 3.
        dot_variance: variance of the dot product.
        null_share: share of ‖out‖ in the null directions of U; None for gate and in.
    """

    vector: str
    mean: float | None
    variance: float | None
    skewness: float | None
    kurtosis: float | None
    dot_variance: float | None
    null_share: float | None = None


@dataclass(frozen=True)
class LmHeadToken:
    """The top token of softmax(U·in) at one side of `in`.

    Attributes:
        side: 1 is +in, −1 is −in.
        token: its text; None where the vocabulary lacks the id.
        normalised: the probability, divided by the mean of the 100 largest of the side.
    """

    side: int
    token_id: int
    token: str | None
    probability: float
    normalised: float


@dataclass(frozen=True)
class Vocabulary:
    """A neuron in tokens.

    Attributes:
        rows: what the vectors are compared with: `U folded and centred`, or `E as stored`.
        role: prediction, suppression or partition; None for none of them.
        promotes: the token most along `out` in the unembedding, whatever basis the lists have.
        suppresses: the token most against it.
        lists: top and bottom tokens of every vector, in the basis that was asked for.
        moments: those of every vector.
        lm_head: the top token at each side of `in`, the stronger side first; an ungated neuron has
            +in alone.
    """

    rows: str
    role: str | None
    promotes: ScoredToken | None
    suppresses: ScoredToken | None
    lists: tuple[TokenList, ...]
    moments: tuple[VocabMoments, ...]
    lm_head: tuple[LmHeadToken, ...]


def read_vocabulary(
    connection: Connection, model: Model, neuron_id: int, basis: str, k: int
) -> Vocabulary | None:
    """Return a neuron in tokens; None where nothing of it is ingested.

    Args:
        connection: an open connection.
        model: the neuron's model.
        neuron_id: id of the neuron.
        basis: unembed or embed.
        k: how many tokens of each list.
    """
    lists = _read_token_lists(connection, model, neuron_id, basis, k)
    moments = _read_moments(connection, neuron_id)
    lm_head = _read_lm_head(connection, model, neuron_id)
    if not (lists or moments or lm_head):
        return None
    return Vocabulary(
        _describe_rows(connection, model, basis),
        _read_role(connection, neuron_id),
        _get_first(lists.get(OUT_UNEMBED_TOP)),
        _get_first(lists.get(OUT_UNEMBED_BOTTOM)),
        tuple(
            TokenList(vector, of_basis, direction, tuple(lists[code][:k]))
            for code, vector, of_basis, direction in codes.TOKEN_LISTS
            if of_basis == basis and code in lists
        ),
        moments,
        lm_head,
    )


def _describe_rows(connection: Connection, model: Model, basis: str) -> str:
    """Return which rows were compared, and what was done to them before (METHODS §1)."""
    s = tables.ingest_steps.c
    stored_settings = connection.execute(
        select(s.settings)
        .where((s.model_id == model.model_id) & (s.stage == "vocab"))
        .order_by(s.step_id.desc())
        .limit(1)
    ).scalar()
    settings = {} if stored_settings is None else json.loads(stored_settings)
    unused = settings.get(UNUSED_ROWS_SETTING)
    without = f", without {unused:,} rows that no token has" if unused else ""
    if basis == "embed":
        return f"E as stored{without}"
    done = [word for key, word in _PREPROCESSING_OF_U.items() if settings.get(key, True)]
    return f"U {' and '.join(done) or 'as stored'}{without}"


def _get_first(tokens: list[ScoredToken] | None) -> ScoredToken | None:
    return tokens[0] if tokens else None


def _read_token_lists(
    connection: Connection, model: Model, neuron_id: int, basis: str, k: int
) -> dict[int, list[ScoredToken]]:
    v, t = _TOP_TOKENS, tables.tokens
    is_same_token = (t.c.model_id == model.model_id) & (t.c.token_id == v.c.token_id)
    of_list = [v.c[name] for name in _LIST_COLUMNS]
    of_out = (v.c.vector == "out") & (v.c.basis == "unembed")
    rows = connection.execute(
        select(*of_list, v.c.rank, v.c.token_id, t.c.token, v.c.cosine, v.c.dot)
        .outerjoin_from(v, t, is_same_token)
        .where((v.c.neuron_id == neuron_id) & ((v.c.basis == basis) | of_out))
        .where(v.c.rank < max(k, 1))
        .order_by(*of_list, v.c.rank)
    )
    return _group_by_list(rows)


def _group_by_list(rows: Iterable[Iterable[object]]) -> dict[int, list[ScoredToken]]:
    code_of: dict[tuple[object, ...], int] = {tuple(words): c for c, *words in codes.TOKEN_LISTS}
    lists: dict[int, list[ScoredToken]] = {}
    for vector, basis, direction, *token in rows:
        scored_tokens = lists.setdefault(code_of[vector, basis, direction], [])
        scored_tokens.append(ScoredToken(*token))  # type: ignore[arg-type]
    return lists


def _read_moments(connection: Connection, neuron_id: int) -> tuple[VocabMoments, ...]:
    r, v = tables.vocab_stat_rows.c, tables.vectors
    rows = connection.execute(
        select(v.c.vector, r.mean, r.variance, r.skewness, r.kurtosis, r.dot_variance, r.null_share)
        .join_from(tables.vocab_stat_rows, v, v.c.vector_id == r.vector_id)
        .where(r.neuron_id == neuron_id)
        .order_by(r.vector_id)
    )
    return tuple(VocabMoments(*row) for row in rows)


def _read_lm_head(connection: Connection, model: Model, neuron_id: int) -> tuple[LmHeadToken, ...]:
    h, t = tables.lm_head_tokens, tables.tokens
    is_same_token = (t.c.model_id == model.model_id) & (t.c.token_id == h.c.token_id)
    rows = connection.execute(
        select(h.c.side, h.c.token_id, t.c.token, h.c.probability, h.c.normalised)
        .outerjoin_from(h, t, is_same_token)
        .where(h.c.neuron_id == neuron_id)
        .order_by(h.c.normalised.desc(), h.c.side.desc())
    )
    return tuple(LmHeadToken(*row) for row in rows)


def _read_role(connection: Connection, neuron_id: int) -> str | None:
    # The rule stands in the view, so users' SQL and this page cannot disagree.
    query = text("SELECT role FROM neuron_overview WHERE neuron_id = :neuron_id")
    role = connection.execute(query, {"neuron_id": neuron_id}).scalar()
    return None if role is None else str(role)


@dataclass(frozen=True)
class DoubleChecking:
    """Whether gate and in look for the same tokens (weakening-neurons App. E).

    Attributes:
        k: how many tokens of each list are compared.
        jaccard: overlap of the top tokens of gate with the top or bottom tokens of in; None where
            it has no value.
        relative_sign: 1 if they are compared with the top of in, −1 if with its bottom.
    """

    k: int
    jaccard: float | None
    relative_sign: int | None


def read_double_checking(connection: Connection, neuron_id: int) -> DoubleChecking | None:
    """Return how far gate and in look for the same tokens; None where that is not stored."""
    d = tables.double_checking.c
    row = connection.execute(
        select(d.k, d.jaccard, d.relative_sign).where(d.neuron_id == neuron_id)
    ).first()
    return None if row is None else DoubleChecking(*row)


@dataclass(frozen=True)
class PropertyEffect:
    """How `out` acts on the tokens that have a property (universal-neurons Fig. 5).

    Attributes:
        property: name of the property, such as `is a year`.
        effect: difference of the two means, in standard deviations over the vocabulary; above zero
            the tokens with the property are promoted.
        inside_mean: mean cos(U, out) of the tokens that have it.
        outside_mean: mean cos(U, out) of all others.
    """

    property: str
    description: str
    effect: float
    inside_mean: float
    outside_mean: float


def read_property_effects(connection: Connection, neuron_id: int) -> tuple[PropertyEffect, ...]:
    """Return what a neuron does to the tokens of every property, the most promoted one first."""
    e, p = tables.property_effects.c, tables.properties.c
    rows = connection.execute(
        select(p.name, p.description, e.effect, e.inside_mean, e.outside_mean)
        .join_from(tables.property_effects, tables.properties, p.property_id == e.property_id)
        .where(e.neuron_id == neuron_id)
        .order_by(e.effect.desc(), p.name)
    )
    return tuple(PropertyEffect(*row) for row in rows)
