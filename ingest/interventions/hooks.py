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
from jaxtyping import Float, Int
from torch import Tensor, nn
from transformers.activations import ACT2FN

from ingest.families.layout import Matrix
from ingest.forward import Forward
from ingest.forward.hooks import MLPHookPoints
from ingest.interventions.condition_mask import mask_untouched
from neurondb.errors import LackingModelError
from neurondb.interventions import ALWAYS, Condition, Hook

ActivationFunction = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Targets:
    """Neurons of one layer, and what each is set to.

    Attributes:
        neurons: Their numbers within the layer, each once.
        signs: Their canonical signs, 1 or −1 (METHODS §1); ungated neurons have 1.
        values: The values to set, in canonical sign: one for each, or one row for each text of
            the batch (a sweep of clamps in one pass). Where NaN stands the neuron stays as it is.
    """

    neurons: Int[Tensor, " chosen"]
    signs: Float[Tensor, " chosen"]
    values: Float[Tensor, " chosen"] | Float[Tensor, "texts chosen"]

    @classmethod
    def from_value(
        cls, neurons: Sequence[int], signs: Sequence[float], value: float = 0.0
    ) -> Targets:
        """Return targets that set all of some neurons to one value, in canonical sign."""
        chosen = torch.tensor(neurons, dtype=torch.int64)
        return cls(
            chosen,
            torch.tensor(signs, dtype=torch.float32),
            torch.full((len(neurons),), value, dtype=torch.float32),
        )

    def to(self, device: torch.device) -> Targets:
        """Return the targets on another device."""
        tensors = (self.neurons, self.signs, self.values)
        return Targets(*(tensor.to(device) for tensor in tensors))


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
    activate = ACT2FN[forward.architecture.activation]
    with intervene_at(forward.hook_points, interventions, forward.device, activate):
        yield


@contextmanager
def intervene_at(
    hook_points: Sequence[MLPHookPoints],
    interventions: Sequence[Intervention],
    device: torch.device,
    activate: ActivationFunction,
) -> Iterator[None]:
    """Intervene as `intervene` does, at the modules of any model.

    Args:
        hook_points: The modules of every layer.
        interventions: The interventions.
        device: Where the modules are.
        activate: The activation function of the model's MLPs.
    """
    with ExitStack() as stack:
        for intervention in interventions:
            here = intervention.to(device)
            for layer in intervention.layers:
                stack.enter_context(_change_post(hook_points[layer], layer, here, activate))
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
