"""What the LM head makes of every `in` vector, for one token (METHODS §4).

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
from neurondb.schema import tables


@dataclass(frozen=True)
class Decoding:
    """A token under softmax(U·in) of every neuron of a model, U and in as they are stored.

    NaN where the neuron was not looked at, or its `in` is zero.

    Attributes:
        token_id: the token.
        probability: its probability.
        normalised: ÷ mean of the neuron's 100 largest probabilities.
    """

    token_id: int
    probability: Float[np.ndarray, "layers neurons"]
    normalised: Float[np.ndarray, "layers neurons"]


class DecodedNeuron(NamedTuple):
    """A neuron and what the LM head makes of it."""

    layer: int
    neuron: int
    probability: float
    normalised: float

    @property
    def name(self) -> str:
        """The neuron as `layer.neuron`."""
        return f"{self.layer}.{self.neuron}"


def stored_decoding(connection: Connection, model: Model, token_id: int) -> Decoding | None:
    """Return what `neurondb tokens --lm-head --store` wrote for a token; None where it did not."""
    h = tables.lm_head_rows.c
    columns = [h.probability, h.normalised]
    found = neuron_values(connection, model, columns, h.token_id == token_id)
    return None if np.isnan(found).all() else Decoding(token_id, *found)


def best_neurons(
    decoding: Decoding, n: int | None, layers: Sequence[int] | None = None
) -> list[DecodedNeuron]:
    """Return the n neurons of largest normalised probability (None: all), ties in their order.

    Args:
        decoding: of one token.
        n: how many.
        layers: only of these.
    """
    values = decoding.normalised
    if layers is not None:
        values = np.full_like(values, np.nan)
        values[list(layers)] = decoding.normalised[list(layers)]
    flat = values.ravel()
    order = np.argsort(-flat, kind="stable")  # NaN, whatever its sign, goes last
    known = order[: int(np.count_nonzero(~np.isnan(flat)))][:n]
    return [_neuron(decoding, *divmod(int(at), values.shape[1])) for at in known]


def layer_peaks(
    decoding: Decoding, layers: Sequence[int] | None = None
) -> list[DecodedNeuron | None]:
    """Return each layer's neuron of largest normalised probability, from layer 0.

    None for a layer that was not looked at, is not among `layers`, or has only zero vectors.
    """
    n_layers = len(decoding.normalised)
    wanted = range(n_layers) if layers is None else layers
    return [_peak(decoding, layer) if layer in wanted else None for layer in range(n_layers)]


def _peak(decoding: Decoding, layer: int) -> DecodedNeuron | None:
    values = decoding.normalised[layer]
    if np.isnan(values).all():
        return None
    return _neuron(decoding, layer, int(np.nanargmax(values)))  # the first of equals


def _neuron(decoding: Decoding, layer: int, neuron: int) -> DecodedNeuron:
    probability, normalised = decoding.probability, decoding.normalised
    values = float(probability[layer, neuron]), float(normalised[layer, neuron])
    return DecodedNeuron(layer, neuron, *values)
