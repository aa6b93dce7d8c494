"""What the LM head makes of every `in` vector, for one token (METHODS §4).

The sign of `in` is arbitrary in a gated neuron: +in and −in are decoded, its two sides. Ungated
neurons have one. Every question here looks at all sides that there are.

specialised-feature-neurons, figure 1, draws this: `Decoding.normalised` is its
vertical axis, `layer_peaks` its outline. Layers count from 0 here, from 1 there.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from sqlalchemy import Connection

from neurondb.reading.figure_rows.neuron_values import neuron_values
from neurondb.reading.models import Model
from neurondb.schema import codes, tables


@dataclass(frozen=True)
class Decoding:
    """A token under softmax(U·in) of every neuron of a model, U and in as they are stored.

    By side of `in`: as it is and, of gated neurons, negated. NaN where the neuron was not looked
    at, or its `in` is zero.

    Attributes:
        token_id: the token.
        probability: its probability.
        normalised: ÷ mean of the 100 largest probabilities of that side.
    """

    token_id: int
    probability: Float[np.ndarray, "sides layers neurons"]
    normalised: Float[np.ndarray, "sides layers neurons"]

    @property
    def sides(self) -> tuple[int, ...]:
        """What the first axis stands for: 1 for +in, −1 for −in."""
        return codes.SIDES[: len(self.normalised)]


class DecodedNeuron(NamedTuple):
    """A neuron and what the LM head makes of it, at one side of `in`: 1 for +in, −1 for −in."""

    layer: int
    neuron: int
    side: int
    probability: float
    normalised: float

    @property
    def name(self) -> str:
        """The neuron as `layer.neuron`."""
        return f"{self.layer}.{self.neuron}"


def stored_decoding(connection: Connection, model: Model, token_id: int) -> Decoding | None:
    """Return what `neurondb tokens --lm-head --store` wrote for a token; None where it did not.

    None too where an earlier version did, which knew +in only.
    """
    h = tables.lm_head_rows.c
    columns, of_token = [h.probability, h.normalised], h.token_id == token_id
    by_side = [
        neuron_values(connection, model, columns, of_token, h.side == side)
        for side in codes.sides(gated=model.gated)
    ]
    if any(np.isnan(found).all() for found in by_side):
        return None
    return Decoding(token_id, *np.stack(by_side, axis=1))


def best_neurons(
    decoding: Decoding, n: int | None, layers: Sequence[int] | None = None
) -> list[DecodedNeuron]:
    """Return the n sides of neurons of largest normalised probability (None: all).

    Ties go in the order of the neurons, of one neuron +in first.

    Args:
        decoding: of one token.
        n: how many; a neuron counts at each of its sides.
        layers: only of these.
    """
    values = np.moveaxis(decoding.normalised, 0, -1)  # layers × neurons × sides
    if layers is not None:
        chosen = np.full_like(values, np.nan)
        chosen[list(layers)] = values[list(layers)]
        values = chosen
    flat = values.ravel()
    order = np.argsort(-flat, kind="stable")  # NaN, whatever its sign, goes last
    known = order[: int(np.count_nonzero(~np.isnan(flat)))][:n]
    places = zip(*(axis.tolist() for axis in np.unravel_index(known, values.shape)), strict=True)
    return [_neuron(decoding, *place) for place in places]


def layer_peaks(
    decoding: Decoding, layers: Sequence[int] | None = None
) -> list[DecodedNeuron | None]:
    """Return each layer's neuron of largest normalised probability, from layer 0, at its side.

    None for a layer that was not looked at, is not among `layers`, or has only zero vectors.
    """
    n_layers = decoding.normalised.shape[1]
    wanted = range(n_layers) if layers is None else layers
    return [_peak(decoding, layer) if layer in wanted else None for layer in range(n_layers)]


def _peak(decoding: Decoding, layer: int) -> DecodedNeuron | None:
    values = decoding.normalised[:, layer].T  # neurons × sides
    if np.isnan(values).all():
        return None
    neuron, side = divmod(int(np.nanargmax(values)), values.shape[1])  # the first of equals
    return _neuron(decoding, layer, neuron, side)


def _neuron(decoding: Decoding, layer: int, neuron: int, side: int) -> DecodedNeuron:
    place = (side, layer, neuron)
    values = float(decoding.probability[place]), float(decoding.normalised[place])
    return DecodedNeuron(layer, neuron, decoding.sides[side], *values)
