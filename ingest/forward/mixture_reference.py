"""The independent reference for a mixture of experts: transformers' own pass, and plain products.

transformers runs the model as it is, in its fused products. What each MLP reads and which experts
its router chooses is taken from there; gate, in and post of every neuron are computed from that and
from the vectors in the files, by the definition and in float64.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from ingest.checkpoint.reader import Checkpoint, LayerWeights
from ingest.families import gpt_oss
from ingest.forward.activation_functions import find_activation
from ingest.forward.batching import Batch
from ingest.forward.loading import load_model


class ExpectedLayer(NamedTuple):
    """Gate, in and post of a layer's neurons at all tokens, whichever are routed to them.

    Attributes:
        chosen: The routed experts of each token; None of a layer that is not divided.
    """

    gate: Float[Tensor, "tokens neurons"]
    in_: Float[Tensor, "tokens neurons"]
    post: Float[Tensor, "tokens neurons"]
    chosen: Int[Tensor, "tokens k"] | None


@dataclass
class _Read:
    """What one MLP was given in a pass, and the experts that were chosen there."""

    states: Tensor | None = None
    chosen: Tensor | None = None


class MixtureReference:
    """A mixture of experts as transformers runs it.

    Args:
        checkpoint: The checkpoint whose files are loaded.
        device: The device to run on.
        dtype: The precision of weights and activations.

    Raises:
        ModelError: When the model cannot be loaded to run.
    """

    def __init__(self, checkpoint: Checkpoint, device: torch.device, dtype: torch.dtype) -> None:
        self._checkpoint = checkpoint
        self._model: Any = load_model(checkpoint.path, device, dtype)
        self._activate = find_activation(checkpoint.architecture.activation)

    @torch.inference_mode()
    def compute_activations(self, batch: Batch) -> list[ExpectedLayer]:
        """Return every layer's activations on a batch, all of them kept at once."""
        return [self._compute_layer(layer, one) for layer, one in enumerate(self._run(batch))]

    def _run(self, batch: Batch) -> list[_Read]:
        decoder, layout = self._model.get_decoder(), self._checkpoint.layout
        sizes = self._checkpoint.architecture
        layers = [_Read() for _ in range(sizes.n_layers)]
        with ExitStack() as stack:
            for layer, found in enumerate(layers):
                divided = layout.experts is not None and sizes.is_divided(layer)
                place = layout.in_ if layout.experts is None or not divided else layout.experts
                module = decoder.get_submodule(layout.block.format(layer) + place.module)
                hook = module.register_forward_pre_hook(_keep(found), with_kwargs=True)
                stack.callback(hook.remove)
            decoder(input_ids=batch.token_ids, use_cache=False)
        return layers

    def _compute_layer(self, layer: int, found: _Read) -> ExpectedLayer:
        assert found.states is not None
        states = found.states.flatten(0, -2).double()
        parts = [self._compute_part(part, states) for part in self._checkpoint.read_parts(layer)]
        gate, in_, post = (torch.cat(one, dim=1) for one in zip(*parts, strict=True))
        return ExpectedLayer(gate, in_, post, found.chosen)

    def _compute_part(self, weights: LayerWeights, states: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        assert weights.gate is not None
        gate = _project(states, weights.gate, weights.gate_bias)
        in_ = _project(states, weights.in_, weights.in_bias)
        multiplied = in_
        if self._checkpoint.architecture.activation == gpt_oss.ACTIVATION:
            multiplied = (in_ - 1).clamp(-gpt_oss.LIMIT, gpt_oss.LIMIT) + 1
        return gate, in_, self._activate(gate) * multiplied


def _keep(found: _Read) -> Callable[..., None]:
    """Return a hook that keeps what an MLP, or its experts together, are called with."""

    def hook(_module: nn.Module, args: tuple[Tensor, ...], kwargs: dict[str, Tensor]) -> None:
        given = [*args, *kwargs.values()]
        found.states = given[0]
        found.chosen = given[1] if len(given) > 1 else None

    return hook


def _project(states: Tensor, vectors: Tensor, bias: Tensor | None) -> Tensor:
    product = states @ vectors.to(states.device).double().T
    return product if bias is None else product + bias.to(states.device).double()
