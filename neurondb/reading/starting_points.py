"""Something in a model that is worth a first look."""

from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection, select

from neurondb.reading.models import Model
from neurondb.reading.neuron_lines import first_tokens
from neurondb.reading.tokens import NamedToken
from neurondb.schema import tables

_LOOKED_AT: Final = 64
"""Neurons among which one that promotes a whole word is looked for."""
_LONGEST: Final = 24
"""Characters of a word that is shown as an example."""


@dataclass(frozen=True)
class StartingPoint:
    """The neuron that weakens what it reads the most, and a word that some neuron promotes.

    Attributes:
        name: `L.N`; None while no weights are ingested.
        token: None while no vocabulary is.
    """

    name: str | None
    token: NamedToken | None


def starting_point(connection: Connection, model: Model) -> StartingPoint:
    """Return where to begin with a model."""
    c, end = tables.cosines.c, model.first_neuron_id + model.n_neurons
    # A sum keeps SQLite from sorting the model's range of ids: the index by cos(in, out) is walked
    # from its low end to the first neurons of this model.
    mine = (c.neuron_id + 0).between(model.first_neuron_id, end - 1)
    lowest = (
        connection.execute(
            select(c.neuron_id)
            .where(mine & c.in_out.is_not(None))
            .order_by(c.in_out)
            .limit(_LOOKED_AT)
        )
        .scalars()
        .all()
    )
    if not lowest:
        return StartingPoint(None, None)
    layer, neuron = divmod(lowest[0] - model.first_neuron_id, model.d_mlp)
    found = first_tokens(connection, lowest)
    words = [found[one] for one in lowest if one in found and _is_word(found[one].token)]
    longest = max(words, key=lambda word: len(word.token), default=None)
    return StartingPoint(f"{layer}.{neuron}", longest)


def _is_word(token: str) -> bool:
    return len(token) <= _LONGEST and token.strip().isalpha()
