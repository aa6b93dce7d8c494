"""One neuron at a time in a layer of experts: what the clean pass leaves, and what takes gradients.

A neuron of an expert changes only at the tokens that are routed to it, and what it writes reaches
the residual stream times the expert's weight at the token.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from ingest.forward.experts import ExpertActivations
from ingest.forward.hooks import ExpertHookPoints, MLPHookPoints, hook_experts
from ingest.interventions.hooks import Intervention
from ingest.interventions.targets import Targets
from neurondb.experts import Experts
from neurondb.interventions import Condition


class ExpertLayerCache:
    """The activations of some neurons of a layer of experts, at all tokens of a batch.

    Args:
        stack: While it is open, the next pass fills the cache.
        points: The layer's modules.
        experts: How layers are divided.
        neurons: The chosen neurons, by their numbers in the layer.
        shape: Texts and positions of the batch.

    Attributes:
        post: hook_post of the chosen neurons, in the model's own sign; 0 where it is not routed.
        gate: hook_pre, likewise.
        weight: What the neuron's expert is multiplied by; 0 where the token is not routed to it.
        written: What the MLP wrote.
        rest: What else its module put out.
    """

    def __init__(
        self,
        stack: ExitStack,
        points: ExpertHookPoints,
        experts: Experts,
        neurons: Int[Tensor, " chosen"],
        shape: tuple[int, int],
    ) -> None:
        self._of_expert = find_places(neurons, experts)
        self._size = (shape[0] * shape[1], len(neurons))
        self.post: Float[Tensor, "tokens chosen"] | None = None
        self.gate: Float[Tensor, "tokens chosen"] | None = None
        self.weight: Float[Tensor, "tokens chosen"] | None = None
        self.written: Tensor | None = None
        self.rest: tuple[Any, ...] = ()
        stack.enter_context(hook_experts(points, shape, self._receive))
        stack.callback(points.whole.register_forward_hook(self._keep_written).remove)

    def scale_change(self, change: Tensor) -> Tensor:
        """Return by how much what is written changes along each neuron's out."""
        assert self.weight is not None
        return torch.where(self.weight == 0, 0.0, change * self.weight.to(change.dtype))

    def wrap(self, written: Tensor) -> Any:
        """Return what the MLP's module puts out when it writes something else."""
        return (written, *self.rest) if self.rest else written

    def _receive(self, activations: ExpertActivations) -> None:
        if self.post is None or self.gate is None or self.weight is None:
            self.post, self.gate, self.weight = (
                activations.post.new_zeros(self._size) for _ in range(3)
            )
        places, numbers = self._of_expert[activations.expert]
        if not len(places):
            return
        at = (activations.token[:, None], places)
        self.post[at] = activations.post[:, numbers]
        self.gate[at] = activations.gate[:, numbers]
        weight = activations.weight
        self.weight[at] = 1.0 if weight is None else weight[:, None].to(self.weight.dtype)

    def _keep_written(self, _module: nn.Module, _inputs: object, output: Any) -> None:
        self.written, *rest = output if isinstance(output, tuple) else (output,)
        self.rest = tuple(rest)


class _ExpertsPlaces(NamedTuple):
    """Which of some chosen neurons are an expert's, and their numbers among its neurons."""

    places: Int[Tensor, " own"]
    numbers: Int[Tensor, " own"]


def find_places(neurons: Int[Tensor, " chosen"], experts: Experts) -> list[_ExpertsPlaces]:
    """Return, of every expert, which of some neurons of a layer are its own."""
    found = []
    for of_expert in experts.list_slices():
        is_own: Bool[Tensor, " chosen"] = (neurons >= of_expert.start) & (neurons < of_expert.stop)
        places = is_own.nonzero()[:, 0]
        found.append(_ExpertsPlaces(places, neurons[places] - of_expert.start))
    return found


def gather_out_vectors(
    points: ExpertHookPoints, experts: Experts, neurons: Int[Tensor, " chosen"]
) -> Float[Tensor, "chosen d_model"]:
    """Return out of some neurons of a layer, as its modules have them."""
    parts, places = [], []
    for expert, own in enumerate(find_places(neurons, experts)):
        if len(own.places):
            places.append(own.places)
            parts.append(points.read_out(expert)[own.numbers])
    return torch.cat(parts)[torch.cat(places).argsort()]


class _Probed(NamedTuple):
    """What an expert's chosen neurons did, and the zero that was added to all of its hook_post."""

    own: _ExpertsPlaces
    post: Float[Tensor, "routed own"]
    gate: Float[Tensor, "routed own"]
    zero: Float[Tensor, "routed neurons"]


class ExpertProbe:
    """A layer of experts during one pass: hook_post, and zeros added to it that take gradients.

    Args:
        interventions: What is done, of the same neurons.
        layer: The layer.
        experts: How layers are divided.

    Attributes:
        done: What each intervention sets, and where.
    """

    def __init__(self, interventions: Sequence[Intervention], layer: int, experts: Experts) -> None:
        self.done = [(one.targets[layer], one.condition) for one in interventions]
        self._of_expert = find_places(self.done[0][0].neurons, experts)
        self._probed: list[_Probed] = []

    @property
    def leaves(self) -> list[Tensor]:
        """What gradients are taken by."""
        return [one.zero for one in self._probed]

    def watch(
        self,
        stack: ExitStack,
        points: MLPHookPoints | ExpertHookPoints,
        shape: tuple[int, int],
    ) -> None:
        """Record the layer's activations in passes that are run while `stack` is open."""
        assert isinstance(points, ExpertHookPoints)
        stack.enter_context(hook_experts(points, shape, self._receive))

    def _receive(self, activations: ExpertActivations) -> None:
        own = self._of_expert[activations.expert]
        if not len(own.places):
            return
        post = activations.post.detach()[:, own.numbers].clone()
        gate = activations.gate.detach()[:, own.numbers].clone()
        zero = torch.zeros_like(activations.post, requires_grad=True)
        activations.post.add_(zero)
        self._probed.append(_Probed(own, post, gate, zero))

    def list_parts(
        self, gradients: Sequence[Tensor]
    ) -> list[tuple[Int[Tensor, " own"], Tensor, Tensor, Tensor, list[tuple[Targets, Condition]]]]:
        """Return, of every expert, its neurons' places, post, gate, gradient, and what is done.

        `gradients` are those by `leaves`.
        """
        return [
            (
                one.own.places,
                one.post,
                one.gate,
                gradient[:, one.own.numbers],
                [(_select(targets, one.own.places), condition) for targets, condition in self.done],
            )
            for one, gradient in zip(self._probed, gradients, strict=True)
        ]


def _select(targets: Targets, places: Int[Tensor, " own"]) -> Targets:
    return Targets(targets.neurons[places], targets.signs[places], targets.values[..., places])
