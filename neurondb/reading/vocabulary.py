"""What a neuron's vectors say in tokens: top and bottom lists, moments, role (METHODS §4)."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection, column, select, table, text
from sqlalchemy.types import NullType

from neurondb.reading.models import Model
from neurondb.reading.unused_rows import SETTING
from neurondb.schema import codes, tables

_DONE_TO_U: Final = {"fold": "folded", "center": "centred"}
"""Setting of the vocab stage → what it does to U; both are on unless the ledger says otherwise."""
OUT_UNEMBED_TOP: Final = codes.token_list(2, 0, 0)
OUT_UNEMBED_BOTTOM: Final = codes.token_list(2, 0, 1)

# The view, for it knows how a dot product follows from the cosine and two norms.
_LIST: Final = ("vector", "basis", "direction")
_SCORED: Final = ("neuron_id", "rank", "token_id", "cosine", "dot")
_TOP_TOKENS: Final = table("top_tokens", *(column(name, NullType()) for name in _LIST + _SCORED))


@dataclass(frozen=True)
class ScoredToken:
    """A token of a list; `token` is None where the vocabulary lacks the id.

    `dot` is None where the token's norm is not known.
    """

    rank: int
    token_id: int
    token: str | None
    cosine: float
    dot: float | None


@dataclass(frozen=True)
class TokenList:
    """The tokens whose rows of the basis are most (top) or least (bottom) along a vector."""

    vector: str
    basis: str
    direction: str
    tokens: tuple[ScoredToken, ...]


@dataclass(frozen=True)
class VocabMoments:
    """Moments of cos(U, vector) over the vocabulary, and the variance of the dot product.

    `null_share` is the share of ‖out‖ in the null directions of U, None of gate and in.
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
    """Top token of softmax(U·in) at one side of `in`: 1 is +in, −1 is −in.

    `normalised` is ÷ the mean of the side's 100 largest probabilities.
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
        rows: what is compared with: `U folded and centred`, or `E as stored`.
        role: prediction, suppression, partition, or None: none of them.
        promotes: first token of `out` under the unembedding, whatever basis the lists are of.
        suppresses: last one.
        lm_head: top token at each side of `in` (ungated: of +in alone), the stronger side first.
    """

    rows: str
    role: str | None
    promotes: ScoredToken | None
    suppresses: ScoredToken | None
    lists: tuple[TokenList, ...]
    moments: tuple[VocabMoments, ...]
    lm_head: tuple[LmHeadToken, ...]


def vocabulary(
    connection: Connection, model: Model, neuron_id: int, basis: str, k: int
) -> Vocabulary | None:
    """Return a neuron's first k tokens a list in one basis; None where they are not ingested."""
    found = _token_lists(connection, model, neuron_id, basis, k)
    moments = _moments(connection, neuron_id)
    lm_head = _lm_head(connection, model, neuron_id)
    if not (found or moments or lm_head):
        return None
    return Vocabulary(
        _rows(connection, model, basis),
        _role(connection, neuron_id),
        _first(found.get(OUT_UNEMBED_TOP)),
        _first(found.get(OUT_UNEMBED_BOTTOM)),
        tuple(
            TokenList(vector, of_basis, direction, tuple(found[code][:k]))
            for code, vector, of_basis, direction in codes.TOKEN_LISTS
            if of_basis == basis and code in found
        ),
        moments,
        lm_head,
    )


def _rows(connection: Connection, model: Model, basis: str) -> str:
    """Say which rows of a basis were compared, and what was done to them before (METHODS §1)."""
    s = tables.ingest_steps.c
    stored = connection.execute(
        select(s.settings)
        .where((s.model_id == model.model_id) & (s.stage == "vocab"))
        .order_by(s.step_id.desc())
        .limit(1)
    ).scalar()
    settings = {} if stored is None else json.loads(stored)
    unused = settings.get(SETTING)
    without = f", without {unused:,} rows that no token has" if unused else ""
    if basis == "embed":
        return f"E as stored{without}"
    done = [word for key, word in _DONE_TO_U.items() if settings.get(key, True)]
    return f"U {' and '.join(done) or 'as stored'}{without}"


def _first(tokens: list[ScoredToken] | None) -> ScoredToken | None:
    return tokens[0] if tokens else None


def _token_lists(
    connection: Connection, model: Model, neuron_id: int, basis: str, k: int
) -> dict[int, list[ScoredToken]]:
    v, t = _TOP_TOKENS, tables.tokens
    same = (t.c.model_id == model.model_id) & (t.c.token_id == v.c.token_id)
    one_list = [v.c[name] for name in _LIST]
    of_out = (v.c.vector == "out") & (v.c.basis == "unembed")
    rows = connection.execute(
        select(*one_list, v.c.rank, v.c.token_id, t.c.token, v.c.cosine, v.c.dot)
        .outerjoin_from(v, t, same)
        .where((v.c.neuron_id == neuron_id) & ((v.c.basis == basis) | of_out))
        .where(v.c.rank < max(k, 1))
        .order_by(*one_list, v.c.rank)
    )
    return _by_list(rows)


def _by_list(rows: Iterable[Iterable[object]]) -> dict[int, list[ScoredToken]]:
    code_of: dict[tuple[object, ...], int] = {tuple(words): c for c, *words in codes.TOKEN_LISTS}
    lists: dict[int, list[ScoredToken]] = {}
    for vector, basis, direction, *token in rows:
        found = lists.setdefault(code_of[vector, basis, direction], [])
        found.append(ScoredToken(*token))  # type: ignore[arg-type]
    return lists


def _moments(connection: Connection, neuron_id: int) -> tuple[VocabMoments, ...]:
    r, v = tables.vocab_stat_rows.c, tables.vectors
    rows = connection.execute(
        select(v.c.vector, r.mean, r.variance, r.skewness, r.kurtosis, r.dot_variance, r.null_share)
        .join_from(tables.vocab_stat_rows, v, v.c.vector_id == r.vector_id)
        .where(r.neuron_id == neuron_id)
        .order_by(r.vector_id)
    )
    return tuple(VocabMoments(*row) for row in rows)


def _lm_head(connection: Connection, model: Model, neuron_id: int) -> tuple[LmHeadToken, ...]:
    h, t = tables.lm_head_tokens, tables.tokens
    same = (t.c.model_id == model.model_id) & (t.c.token_id == h.c.token_id)
    rows = connection.execute(
        select(h.c.side, h.c.token_id, t.c.token, h.c.probability, h.c.normalised)
        .outerjoin_from(h, t, same)
        .where(h.c.neuron_id == neuron_id)
        .order_by(h.c.normalised.desc(), h.c.side.desc())
    )
    return tuple(LmHeadToken(*row) for row in rows)


def _role(connection: Connection, neuron_id: int) -> str | None:
    # The rule stands in the view, so that users' SQL and this page cannot disagree.
    query = text("SELECT role FROM neuron_overview WHERE neuron_id = :neuron_id")
    role = connection.execute(query, {"neuron_id": neuron_id}).scalar()
    return None if role is None else str(role)


@dataclass(frozen=True)
class DoubleChecking:
    """Whether gate and in look for the same tokens (weakening-neurons App. E).

    Attributes:
        k: tokens of each list.
        jaccard: overlap of the top tokens of gate with those of in at `relative_sign`.
        relative_sign: 1: with the top of in, −1: with its bottom.
    """

    k: int
    jaccard: float | None
    relative_sign: int | None


def double_checking(connection: Connection, neuron_id: int) -> DoubleChecking | None:
    """Return how far gate and in look for the same tokens; None where it is not stored."""
    d = tables.double_checking.c
    row = connection.execute(
        select(d.k, d.jaccard, d.relative_sign).where(d.neuron_id == neuron_id)
    ).first()
    return None if row is None else DoubleChecking(*row)
