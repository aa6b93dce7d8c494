"""What the LM head makes of every `in` vector, for one token (METHODS §4).

A neuron's `in` vector is multiplied by the unembedding, as if it were a residual stream: the
softmax of U·in gives each token a probability. The sign of `in` is arbitrary in a gated neuron, so
+in and −in are both decoded: the neuron's two sides. An ungated neuron has one side. Every function
here looks at all sides that there are.

Figure 1 of specialised-feature-neurons draws this: `Decoding.normalised` is its vertical axis,
`find_layer_peaks` its outline. Layers count from 0 here and from 1 there.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float
from sqlalchemy import Connection, func, select

from neurondb.reading.arrays import read_neuron_values
from neurondb.reading.models import Model, match_neurons
from neurondb.schema import codes, tables


@dataclass(frozen=True)
class Decoding:
    """The probability of one token under softmax(U·in) of every neuron, at each side of `in`.

    U and `in` are taken as the checkpoint stores them. A number is NaN where the neuron was not
    looked at, or its `in` is zero.

    Attributes:
        token_id: the token.
        probability: its probability.
        normalised: that, divided by the mean of the 100 largest probabilities of the side.
    """

    token_id: int
    probability: Float[np.ndarray, "sides layers neurons"]
    normalised: Float[np.ndarray, "sides layers neurons"]

    @property
    def sides(self) -> tuple[int, ...]:
        """What the first axis of the arrays stands for: 1 is +in, −1 is −in."""
        return codes.SIDES[: len(self.normalised)]


class DecodedNeuron(NamedTuple):
    """A neuron and the probability of a token at one side of its `in`: 1 is +in, −1 is −in."""

    layer: int
    neuron: int
    side: int
    probability: float
    normalised: float


@dataclass(frozen=True)
class HeadPlace:
    """A neuron and the probability of a token under the LM head.

    Attributes:
        name: the neuron as `layer.neuron`.
        side: 1 is +in, −1 is −in.
        normalised: the probability, divided by the mean of the 100 largest of the side.
    """

    name: str
    class_name: str | None
    side: int
    probability: float
    normalised: float


@dataclass(frozen=True)
class HeadNeurons:
    """Neurons by the probability of a token under the LM head.

    Attributes:
        count: how many there are.
        places: the first of them, by normalised probability, each at one side.
    """

    count: int
    places: tuple[HeadPlace, ...]


def read_decoding(connection: Connection, model: Model, token_id: int) -> Decoding | None:
    """Return what `neurondb tokens --lm-head --store` stored for a token.

    The result is None where nothing is stored, and where an earlier version stored +in only.
    """
    h = tables.lm_head_rows.c
    columns, of_token = [h.probability, h.normalised], h.token_id == token_id
    by_side = [
        read_neuron_values(connection, model, columns, of_token, h.side == side)
        for side in codes.list_sides(gated=model.gated)
    ]
    if any(np.isnan(side_values).all() for side_values in by_side):
        return None
    return Decoding(token_id, *np.stack(by_side, axis=1))


def rank_neurons(
    decoding: Decoding, n: int | None, layers: Sequence[int] | None = None
) -> list[DecodedNeuron]:
    """Return the neurons of largest normalised probability, each at one side.

    Equal ones go in the order of the neurons, and of one neuron +in goes first.

    Args:
        decoding: the decoding of one token.
        n: how many, where a neuron counts at each of its sides; None is all.
        layers: only neurons of these layers; None is all.
    """
    values = np.moveaxis(decoding.normalised, 0, -1)  # layers × neurons × sides
    if layers is not None:
        layer_values = np.full_like(values, np.nan)
        layer_values[list(layers)] = values[list(layers)]
        values = layer_values
    flat = values.ravel()
    order = np.argsort(-flat, kind="stable")  # NaN, whatever its sign, goes last
    ranked = order[: int(np.count_nonzero(~np.isnan(flat)))][:n]
    places = zip(*(axis.tolist() for axis in np.unravel_index(ranked, values.shape)), strict=True)
    return [_make_neuron(decoding, *place) for place in places]


def find_layer_peaks(
    decoding: Decoding, layers: Sequence[int] | None = None
) -> list[DecodedNeuron | None]:
    """Return the neuron of largest normalised probability in each layer, from layer 0.

    An entry is None for a layer that was not looked at, that is not among `layers`, or that has
    zero vectors only.
    """
    n_layers = decoding.normalised.shape[1]
    chosen_layers = range(n_layers) if layers is None else layers
    return [
        _find_peak(decoding, layer) if layer in chosen_layers else None for layer in range(n_layers)
    ]


def _find_peak(decoding: Decoding, layer: int) -> DecodedNeuron | None:
    values = decoding.normalised[:, layer].T  # neurons × sides
    if np.isnan(values).all():
        return None
    neuron, side = divmod(int(np.nanargmax(values)), values.shape[1])  # the first of equals
    return _make_neuron(decoding, layer, neuron, side)


def _make_neuron(decoding: Decoding, layer: int, neuron: int, side: int) -> DecodedNeuron:
    place = (side, layer, neuron)
    values = float(decoding.probability[place]), float(decoding.normalised[place])
    return DecodedNeuron(layer, neuron, decoding.sides[side], *values)


def list_encoding_neurons(
    connection: Connection, model: Model, token_id: int, count: int
) -> HeadNeurons:
    """Return the neurons that have this as their top token under the LM head, at +in or −in."""
    h = tables.lm_head_tokens
    of_token = (h.c.token_id == token_id) & match_neurons(h.c.neuron_id, model)
    n = connection.execute(select(func.count()).select_from(h).where(of_token)).scalar_one()
    return HeadNeurons(n, _read_head_places(connection, model, h, of_token, count))


def list_decoded_neurons(
    connection: Connection, model: Model, token_id: int, count: int
) -> HeadNeurons | None:
    """Return the neurons of largest normalised probability in a stored decoding of a token.

    The result is None where no decoding is stored, and where an earlier version stored +in only.
    """
    h = tables.lm_head_rows
    of_token = (h.c.token_id == token_id) & match_neurons(h.c.neuron_id, model)
    last_side = of_token & (h.c.side == codes.list_sides(gated=model.gated)[-1])
    if connection.execute(select(h.c.token_id).where(last_side).limit(1)).first() is None:
        return None
    return HeadNeurons(model.n_neurons, _read_head_places(connection, model, h, of_token, count))


def _read_head_places(
    connection: Connection, model: Model, table: Any, of_token: Any, count: int
) -> tuple[HeadPlace, ...]:
    q, k = tables.classes.c, tables.rw_classes.c
    top = (
        select(table.c.neuron_id, table.c.side, table.c.probability, table.c.normalised)
        .where(of_token)
        .order_by(table.c.normalised.desc(), table.c.neuron_id, table.c.side.desc())
        .limit(count)
        .subquery()
    ).c
    rows = connection.execute(
        select(top.neuron_id, k.name, top.side, top.probability, top.normalised)
        .outerjoin(
            tables.classes, (q.neuron_id == top.neuron_id) & (q.threshold == model.threshold)
        )
        .outerjoin(tables.rw_classes, k.class_id == q.class_id)
        .order_by(top.normalised.desc(), top.neuron_id, top.side.desc())
    )
    return tuple(HeadPlace(model.name_neuron(row[0]), *row[1:]) for row in rows)
