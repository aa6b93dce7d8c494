"""The tokens that a run on a set of neurons changed most, in their texts (METHODS §6)."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Final

from sqlalchemy import Connection, select

from neurondb.interventions import METRICS
from neurondb.reading.excerpts import Excerpt, Place, read_excerpts
from neurondb.reading.models import Model
from neurondb.schema import tables

TOKENS_BEFORE: Final = 10
"""How many tokens of the text are shown before one that changed; after it, the next one is."""
CHANGED_SHOWN: Final = 20
"""How many tokens of a metric are shown."""


@dataclass(frozen=True)
class ChangedToken:
    """A token, and a metric of it in the clean and in the intervened run.

    Attributes:
        rank: place among the tokens by |clean − ablated|, from 0.
        ordinal: number of the text in its dataset.
        position: of the token in the text.
        excerpt: the tokens before it, the token and the next one, which loss and rank are of.
    """

    rank: int
    text_id: int
    ordinal: int
    position: int
    clean: float
    ablated: float
    excerpt: Excerpt

    @property
    def difference(self) -> float:
        """The change, clean − ablated."""
        return self.clean - self.ablated


@dataclass(frozen=True)
class ChangedTokens:
    """The tokens that changed a metric most, the largest change first."""

    metric: str
    tokens: tuple[ChangedToken, ...]


def read_changed_tokens(
    connection: Connection,
    model: Model,
    run_id: int,
    limit: int = CHANGED_SHOWN,
    metrics: Sequence[str] = METRICS,
) -> tuple[ChangedTokens, ...]:
    """Return the tokens that a run changed most, for each metric; empty where none are stored.

    Args:
        connection: an open connection.
        model: the run's model.
        run_id: the run.
        limit: tokens of a metric at most.
        metrics: the metrics to return.
    """
    c, t = tables.changed_tokens.c, tables.texts.c
    rows = connection.execute(
        select(c.metric, c.rank, c.text_id, t.ordinal, c.position, c.clean, c.ablated)
        .join_from(tables.changed_tokens, tables.texts, t.text_id == c.text_id)
        .where(c.run_id == run_id, c.rank < limit, c.metric.in_(metrics))
        .order_by(c.metric, c.rank)
    ).all()
    places = [Place(row.text_id, row.position) for row in rows]
    excerpts = map(_cut_behind_next, read_excerpts(connection, model, places, TOKENS_BEFORE))
    tokens = {
        metric: tuple(ChangedToken(*row[1:], excerpt) for row, excerpt in of_metric)
        for metric, of_metric in groupby(
            zip(rows, excerpts, strict=True), key=lambda pair: str(pair[0].metric)
        )
    }
    return tuple(ChangedTokens(metric, tokens[metric]) for metric in METRICS if metric in tokens)


def _cut_behind_next(excerpt: Excerpt) -> Excerpt:
    """Return an excerpt with one token after its peak, where its tokens are known."""
    if excerpt.peak is None:
        return excerpt
    n_before, length = 0, 0
    while length < len(excerpt.before):
        length += len(excerpt.tokens[n_before])
        n_before += 1
    # The tokens that add nothing to the peak only begin or end its characters.
    end = len(excerpt.before) + len(excerpt.peak)
    texts, n = list(excerpt.tokens), n_before
    while length < end:
        length += len(texts[n])
        n += 1
    following = next((i for i in range(n, len(texts)) if texts[i]), None)
    if following is None:
        return excerpt
    after = texts[following]
    ends = excerpt.ends and following == len(texts) - 1
    return replace(excerpt, after=after, ends=ends, tokens=tuple(texts[: following + 1]))
