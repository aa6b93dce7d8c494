"""Neurons are given other activations while a model runs: `with intervene(forward, …):`.

One pre-hook of a layer's `out` module changes the stacked hook_post of all its neurons at once,
whatever runs the model meanwhile: one batch or several, a decoding step with a key-value cache,
texts padded or not, texts and positions in one axis (OPT) or two.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ingest.families.layout import Matrix
from ingest.forward import Forward
from ingest.forward.activation_functions import ActivationFunction, find_activation
from ingest.forward.hooks import ExpertHookPoints, MLPHookPoints
from ingest.interventions.condition_mask import mask_untouched
from ingest.interventions.expert_hooks import change_routed, split_targets
from ingest.interventions.targets import Targets
from neurondb.errors import LackingModelError
from neurondb.experts import Experts
from neurondb.interventions import ALWAYS, Condition, Hook


@dataclass(frozen=True)
class Intervention:
    """What is done to which neurons, and where (METHODS §6).

    zero, mean and fix set hook_post; clamp sets hook_post, or hook_pre_linear, which makes
    hook_post act(x_gate)·value.

    Attributes:
        targets: The neurons and their values, by layer.
        hook: The activation that is set.
        condition: Where it is set: only at tokens where the neuron has these signs, in the run
            that is intervened in; post in canonical sign, strict inequalities.
    """

    targets: Mapping[int, Targets]
    hook: Hook = "hook_post"
    condition: Condition = ALWAYS

    @property
    def layers(self) -> list[int]:
        """The layers that it touches, ascending."""
        return sorted(layer for layer, chosen in self.targets.items() if len(chosen.neurons))

    @property
    def reads_gate(self) -> bool:
        """Whether it must know x_gate, which ungated models have not."""
        return self.hook == "hook_pre_linear" or self.condition.gate != 0

    def to(self, device: torch.device) -> Intervention:
        """Return the intervention with its targets on another device."""
        return replace(self, targets={n: chosen.to(device) for n, chosen in self.targets.items()})


@contextmanager
def intervene(forward: Forward, *interventions: Intervention) -> Iterator[None]:
    """Intervene on neurons in every run of a model, as long as this is open.

    Several interventions on one layer act one after the other; each sees the signs that the one
    before it left. What they are given is not written to. Whatever runs the model's modules is
    intervened in: `Forward.logits`, `Forward.run`, `forward.model.generate`.

    Args:
        forward: The model.
        interventions: The interventions; without any the model stays as it is, to the bit.

    Raises:
        LackingModelError: One must know the gate of an ungated model.
    """
    check_gated(forward.architecture.gated, interventions)
    activate = find_activation(forward.architecture.activation)
    points, experts = forward.all_hook_points, forward.architecture.experts
    with intervene_at(points, interventions, forward.device, activate, experts):
        yield


@contextmanager
def intervene_at(
    hook_points: Sequence[MLPHookPoints | ExpertHookPoints],
    interventions: Sequence[Intervention],
    device: torch.device,
    activate: ActivationFunction,
    experts: Experts | None = None,
) -> Iterator[None]:
    """Intervene as `intervene` does, at the modules of any model.

    Args:
        hook_points: The modules of every layer.
        interventions: The interventions.
        device: Where the modules are.
        activate: The activation function of the model's MLPs.
        experts: How its layers are divided into experts; None in a dense model.
    """
    with ExitStack() as stack:
        for intervention in interventions:
            here = intervention.to(device)
            for layer in intervention.layers:
                points = hook_points[layer]
                if isinstance(points, MLPHookPoints):
                    change = _change_post(points, layer, here, activate)
                else:
                    assert experts is not None
                    change = _change_experts(points, layer, here, activate, experts)
                stack.enter_context(change)
        yield


@contextmanager
def _change_experts(
    points: ExpertHookPoints,
    layer: int,
    intervention: Intervention,
    activate: ActivationFunction,
    experts: Experts,
) -> Iterator[None]:
    """Change what the experts of one layer write, as long as this is open."""

    def set_routed(post: Tensor, gate: Tensor, chosen: Targets) -> Tensor:
        return set_post(post, gate, chosen, intervention, activate)

    by_expert = split_targets(intervention.targets[layer], experts)
    of_shared = by_expert.pop(experts.n_routed, None)
    with ExitStack() as stack:
        stack.enter_context(change_routed(points, by_expert, set_routed))
        if of_shared is not None and points.shared is not None:
            shared = replace(intervention, targets={layer: of_shared})
            stack.enter_context(_change_post(points.shared, layer, shared, activate))
        yield


def check_gated(gated: bool, interventions: Sequence[Intervention]) -> None:
    """Make sure that no intervention needs a gate where the model has none.

    Raises:
        LackingModelError: One sets hook_pre_linear, or its condition asks for the sign of the gate.
    """
    for intervention in interventions:
        if gated or not intervention.reads_gate:
            continue
        if intervention.condition.gate:
            reason = f"the condition {intervention.condition} asks for the sign of the gate"
        else:
            reason = "hook_pre_linear is what a gate multiplies"
        raise LackingModelError(
            f"{reason}, and this model's neurons have none; use post+, post- and hook_post"
        )


@contextmanager
def _change_post(
    hook_points: MLPHookPoints, layer: int, intervention: Intervention, activate: ActivationFunction
) -> Iterator[None]:
    """Change what one layer's `out` module reads, as long as this is open."""
    chosen, gates = intervention.targets[layer], list[Tensor]()
    with ExitStack() as stack:
        if intervention.reads_gate:
            assert hook_points.gate is not None
            keep = _keep_gate(gates, hook_points.gate.matrix, chosen.neurons)
            stack.callback(hook_points.gate.module.register_forward_hook(keep).remove)

        def change(_module: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
            gate = gates.pop() if gates else None
            return (set_post(inputs[0], gate, chosen, intervention, activate), *inputs[1:])

        stack.callback(hook_points.out.module.register_forward_pre_hook(change).remove)
        yield


def _keep_gate(gates: list[Tensor], matrix: Matrix, neurons: Tensor) -> Callable[..., None]:
    def hook(_module: nn.Module, _inputs: object, output: Tensor) -> None:
        gates[:] = [matrix.select_part(output).index_select(-1, neurons)]

    return hook


def set_post(
    post: Float[Tensor, "*places d_mlp"],
    gate: Float[Tensor, "*places chosen"] | None,
    chosen: Targets,
    intervention: Intervention,
    activate: ActivationFunction,
) -> Float[Tensor, "*places d_mlp"]:
    """Return `post` with the chosen neurons set where the condition holds.

    Args:
        post: hook_post of all neurons of a layer, in the model's own sign.
        gate: x_gate of the chosen ones; None where the intervention does not read it.
        chosen: The neurons and their values, on the device of `post`.
        intervention: What is set, and where.
        activate: The activation function of the gate.
    """
    before = post.index_select(-1, chosen.neurons)
    after = _expand_values(before, chosen)
    untouched = mask_untouched(after, before, gate, chosen.signs, intervention.condition)
    if intervention.hook == "hook_pre_linear":
        assert gate is not None
        after = activate(gate) * after
    return post.index_copy(-1, chosen.neurons, torch.where(untouched, before, after))


def _expand_values(before: Float[Tensor, "*places chosen"], chosen: Targets) -> Tensor:
    """Return what the neurons are set to at each place, in the model's own signs."""
    values = (chosen.values * chosen.signs).to(before.dtype)
    if values.ndim == 1:
        return values.expand_as(before)
    # OPT has texts and positions in one axis.
    by_text = before.reshape(len(values), -1, before.shape[-1])
    return values[:, None].expand_as(by_text).reshape(before.shape)
