"""What some neurons do at every token of one text, as a consumer of a forward pass."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float
from numpy.typing import NDArray
from torch import Tensor

from ingest.forward import Batch, MLPActivations
from ingest.forward.experts import ExpertActivations
from neurondb.neurons import NeuronPlace
from neurondb.reading.models import Model, locate_place

Along = Float[NDArray[np.float64], " positions"]


class WatchedNeuron(NamedTuple):
    """What a neuron did at every position, in the model's own sign.

    Attributes:
        gate: x_gate; None for an ungated neuron.
        in_: x_in.
        post: hook_post.
        routed: where its expert ran: elsewhere all else is NaN. None for a neuron of no expert.
        weight: what its expert's output is multiplied by; None for a neuron of no expert.
    """

    gate: Along | None
    in_: Along
    post: Along
    routed: Bool[NDArray[np.bool_], " positions"] | None = None
    weight: Along | None = None


class NeuronWatch:
    """Keeps what some neurons do in one pass over a batch of one text.

    Args:
        model: the stored model.
        places: the neurons.

    Attributes:
        kept: what each did; complete when the pass has ended.

    Raises:
        UnknownNameError: when the model has no such neuron.
    """

    def __init__(self, model: Model, places: Sequence[NeuronPlace]) -> None:
        self._experts = model.experts
        self._located = {place: locate_place(model, place) for place in places}
        self.layers = frozenset(place.layer for place in places)
        self.kept: dict[NeuronPlace, WatchedNeuron] = {}

    def consume(self, _batch: Batch, layer: int, activations: MLPActivations) -> None:
        """Take the activations of a layer that is not divided."""
        for place, located in self._located.items():
            if located.layer == layer:
                gate, in_, post = (
                    None if values is None else _to_numpy(values[0, :, located.neuron])
                    for values in (activations.gate, activations.in_, activations.post)
                )
                assert in_ is not None
                assert post is not None
                self.kept[place] = WatchedNeuron(gate, in_, post)

    def consume_expert(self, _batch: Batch, layer: int, activations: ExpertActivations) -> None:
        """Take what one expert of a divided layer did on the tokens that were routed to it."""
        assert self._experts is not None
        for place, located in self._located.items():
            found = self._experts.locate(*located[:2]) if located.layer == layer else None
            if found is not None and found.expert == activations.expert:
                self.kept[place] = _spread(activations, found.neuron)


def _spread(activations: ExpertActivations, neuron: int) -> WatchedNeuron:
    """Return a neuron of an expert at all positions."""
    token, n_tokens = activations.token_on_host.numpy(), activations.n_tokens
    routed = np.zeros(n_tokens, dtype=np.bool_)
    routed[token] = True

    def spread(values: Tensor) -> Along:
        along = np.full(n_tokens, np.nan)
        along[token] = _to_numpy(values)
        return along

    gate, in_, post = (
        spread(of[:, neuron]) for of in (activations.gate, activations.in_, activations.post)
    )
    weight = activations.weight
    return WatchedNeuron(
        gate, in_, post, routed, spread(torch.ones(len(token)) if weight is None else weight)
    )


def _to_numpy(values: Tensor) -> NDArray[np.float64]:
    return np.asarray(values.double().cpu().numpy())
