"""What a neuron does at, just after and just before frequent tokens (METHODS §5)."""

from dataclasses import dataclass

from sqlalchemy import Connection, select

from neurondb.reading.models import Model
from neurondb.schema import tables
from neurondb.schema.codes import TOKEN_STAT_PLACES


@dataclass(frozen=True)
class TokenStatistic:
    """What a neuron does where a token stands, or next to it.

    Attributes:
        rank: place in the list; 0 has the largest |mean|.
        token: its text; None where the vocabulary lacks the id.
        mean: mean of hook_post, in canonical sign, over the positions.
        freq: share of them with x_gate > 0; ungated: hook_post > 0.
        n: how many positions there are.
    """

    rank: int
    token_id: int
    token: str | None
    mean: float
    freq: float
    n: int


@dataclass(frozen=True)
class TokenStatistics:
    """The tokens of largest |mean hook_post| at one place, among the dataset's most frequent.

    Attributes:
        place: current where the token is at the position itself, previous where it is just before
            it, next where it is just after it.
    """

    place: str
    tokens: tuple[TokenStatistic, ...]


def read_token_statistics(
    connection: Connection, model: Model, neuron_id: int, dataset_id: int, k: int
) -> tuple[TokenStatistics, ...]:
    """Return a list for each place, of k tokens at most; none where the dataset has none stored."""
    r, t = tables.token_stat_rows.c, tables.tokens.c
    rows = connection.execute(
        select(r.place_id, r.rank, r.token_id, t.token, r.mean, r.freq, r.n)
        .outerjoin_from(
            tables.token_stat_rows,
            tables.tokens,
            (t.model_id == model.model_id) & (t.token_id == r.token_id),
        )
        .where(r.neuron_id == neuron_id, r.dataset_id == dataset_id, r.rank < k)
        .order_by(r.place_id, r.rank)
    ).all()
    if not rows:
        return ()
    return tuple(
        TokenStatistics(place, tuple(TokenStatistic(*row[1:]) for row in rows if row[0] == code))
        for code, place in enumerate(TOKEN_STAT_PLACES)
    )
