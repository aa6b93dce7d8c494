"""The strongest texts of a layer's neurons, read from the examples of hook_post."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Bool, Float, Int
from sqlalchemy import Connection, select

from neurondb.describing.firing import NO_TOKEN, PLACES, Peaks, Shares
from neurondb.describing.vocabulary import TokenKin, count_shares
from neurondb.reading.arrays import read_numbers
from neurondb.reading.models import Model, match_neurons
from neurondb.schema import codes, tables
from neurondb.schema.columns import unscale

MOST_TEXTS: Final = 16
"""Texts of a sign of hook_post that are looked at."""
_LISTS: Final = tuple(
    code for code, _, quantity in codes.EXAMPLE_LISTS if quantity == codes.QUANTITIES[0]
)


@dataclass(frozen=True)
class Texts:
    """The token ids of a dataset's texts, one after another, and where each text begins."""

    tokens: Int[np.ndarray, " positions"]
    text_ids: Int[np.ndarray, " texts"]
    starts: Int[np.ndarray, " texts"]
    ends: Int[np.ndarray, " texts"]

    def look_up(
        self,
        text: Int[np.ndarray, " rows"],
        position: Int[np.ndarray, " rows"],
        shift: int,
    ) -> Int[np.ndarray, " rows"]:
        """Return the tokens so many places from positions of texts; `NO_TOKEN` beyond a text."""
        place = np.minimum(np.searchsorted(self.text_ids, text), len(self.text_ids) - 1)
        at = self.starts[place] + position + shift
        inside = (self.text_ids[place] == text) & (at >= self.starts[place])
        inside &= at < self.ends[place]
        return np.where(inside, self.tokens[np.where(inside, at, 0)], NO_TOKEN)


def read_texts(connection: Connection, model: Model, dataset_id: int) -> Texts | None:
    """Return the stored token ids of a dataset under a model's tokenizer; None without any."""
    k, t = tables.text_token_ids.c, tables.texts.c
    rows = connection.execute(
        select(k.text_id, k.token_ids)
        .join_from(tables.text_token_ids, tables.texts, t.text_id == k.text_id)
        .where(k.model_id == model.model_id, t.dataset_id == dataset_id)
        .order_by(k.text_id)
    ).all()
    if not rows:
        return None
    pieces = [np.frombuffer(row.token_ids, dtype="<u4") for row in rows]
    ends = np.cumsum([len(piece) for piece in pieces])
    starts = ends - [len(piece) for piece in pieces]
    tokens = np.concatenate(pieces).astype(np.int64)
    return Texts(tokens, np.array([row.text_id for row in rows]), starts, ends)


def measure_shares(texts: Texts, kin: TokenKin) -> Shares:
    """Return how often tokens of each kind are among those of the texts, the first ones left out.

    The first token of every text is BOS, at which few peaks stand that mean anything.
    """
    later = np.ones(len(texts.tokens), dtype=bool)
    later[texts.starts[texts.starts < len(later)]] = False
    return Shares(*count_shares(texts.tokens[later], kin))


def read_peaks(
    connection: Connection, model: Model, layer: int, dataset_id: int, texts: Texts
) -> dict[int, tuple[Peaks, Float[np.ndarray, " neurons"]]]:
    """Return, by sign of hook_post, the strongest texts of a layer's neurons and how strong.

    Of each sign the texts come from whichever case has the largest |hook_post| of that sign.
    """
    r = tables.example_rows.c
    neuron_id, list_id, rank, text, position, value = read_numbers(
        connection,
        select(
            *(r.neuron_id, r.list_id, r.rank, r.text_id, r.position), unscale(r.scaled_value)
        ).where(
            match_neurons(r.neuron_id, model, layer),
            r.dataset_id == dataset_id,
            r.list_id.in_(_LISTS),
            r.rank < MOST_TEXTS,
        ),
    )
    neuron = neuron_id.astype(np.int64) - model.first_neuron_id - layer * model.d_mlp
    rank, text, position = (column.astype(np.int64) for column in (rank, text, position))
    found = {}
    for sign in (1, -1):
        strength = np.zeros(model.d_mlp)
        np.maximum.at(strength, neuron, np.where(value * sign > 0, np.abs(value), 0))
        # The list of the case whose first example is the strongest of this sign.
        leads = (rank == 0) & (value * sign > 0) & (np.abs(value) == strength[neuron])
        chosen = np.full(model.d_mlp, -1, dtype=np.int64)
        chosen[neuron[leads]] = list_id[leads].astype(np.int64)
        rows = (list_id == chosen[neuron]) & (value * sign > 0)
        peaks = _arrange(neuron[rows], rank[rows], text[rows], position[rows], texts, model.d_mlp)
        found[sign] = peaks, strength
    return found


def _arrange(
    neuron: Int[np.ndarray, " rows"],
    rank: Int[np.ndarray, " rows"],
    text: Int[np.ndarray, " rows"],
    position: Int[np.ndarray, " rows"],
    texts: Texts,
    n_neurons: int,
) -> Peaks:
    """Return rows of examples as arrays of neurons × texts."""
    tokens = {}
    for place, shift in PLACES.items():
        tokens[place] = np.full((n_neurons, MOST_TEXTS), NO_TOKEN, dtype=np.int64)
        tokens[place][neuron, rank] = texts.look_up(text, position, shift)
    first: Bool[np.ndarray, "neurons texts"] = np.zeros((n_neurons, MOST_TEXTS), dtype=bool)
    first[neuron, rank] = position == 0
    return Peaks(tokens, first)
