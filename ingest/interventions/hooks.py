"""Neurons are given other activations while a model runs: `with intervened(forward, …):`.

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
from neurondb.errors import LackingModelError
from neurondb.interventions import ALWAYS, Condition, Hook

Activate = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Targets:
    """Neurons of one layer, and what each is set to.

    Attributes:
        neurons: Their numbers within the layer, each once.
        signs: Their canonical signs, 1 or −1 (METHODS §1); ungated neurons have 1.
        values: What they are set to, in canonical sign: one for each, or one row for each text of
            the batch (a sweep of clamps in one pass). Where NaN stands the neuron stays as it is.
    """

    neurons: Int[Tensor, " chosen"]
    signs: Float[Tensor, " chosen"]
    values: Float[Tensor, " chosen"] | Float[Tensor, "texts chosen"]

    @classmethod
    def of(cls, neurons: Sequence[int], signs: Sequence[float], value: float = 0.0) -> Targets:
        """Set some neurons to one value."""
        chosen = torch.tensor(neurons, dtype=torch.int64)
        return cls(
            chosen,
            torch.tensor(signs, dtype=torch.float32),
            torch.full((len(neurons),), value, dtype=torch.float32),
        )

    def to(self, device: torch.device) -> Targets:
        """Return the same on another device."""
        tensors = (self.neurons, self.signs, self.values)
        return Targets(*(tensor.to(device) for tensor in tensors))


@dataclass(frozen=True)
class Intervention:
    """What is done to which neurons, and where (METHODS §6).

    zero, mean and fix set hook_post; clamp sets hook_post, or hook_pre_linear, which makes
    hook_post act(x_gate)·value.

    Attributes:
        targets: By layer.
        hook: What is set.
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
        """Return the same on another device."""
        return replace(self, targets={n: chosen.to(device) for n, chosen in self.targets.items()})


@contextmanager
def intervened(forward: Forward, *interventions: Intervention) -> Iterator[None]:
    """Let a model run with neurons intervened on, as long as this is open.

    Several interventions on one layer act one after the other; each sees the signs that the one
    before it left. What they are given is not written to. Whatever runs the model's modules is
    intervened in: `Forward.logits`, `Forward.run`, `forward.model.generate`.

    Args:
        forward: The model.
        interventions: What to do; none at all leaves the model as it is, to the bit.

    Raises:
        UsageError: One must know the gate of an ungated model.
    """
    check_gated(forward.architecture.gated, interventions)
    activate = ACT2FN[forward.architecture.activation]
    with ExitStack() as stack:
        for intervention in interventions:
            for layer in intervention.layers:
                place = forward.hook_points[layer]
                stack.enter_context(
                    _changed(place, layer, intervention.to(forward.device), activate)
                )
        yield


def check_gated(gated: bool, interventions: Sequence[Intervention]) -> None:
    """Refuse, with a UsageError, what needs a gate where there is none."""
    for intervention in interventions:
        if gated or not intervention.reads_gate:
            continue
        if intervention.condition.gate:
            asked = f"the condition {intervention.condition} asks for the sign of the gate"
        else:
            asked = "hook_pre_linear is what a gate multiplies"
        raise LackingModelError(
            f"{asked}, and this model's neurons have none; use post+, post- and hook_post"
        )


@contextmanager
def _changed(
    places: MLPHookPoints, layer: int, intervention: Intervention, activate: Activate
) -> Iterator[None]:
    """Change what one layer's `out` reads, while open."""
    chosen, held = intervention.targets[layer], list[Tensor]()
    with ExitStack() as stack:
        if intervention.reads_gate:
            assert places.gate is not None
            keep = _keep(held, places.gate.matrix, chosen.neurons)
            stack.callback(places.gate.module.register_forward_hook(keep).remove)

        def change(_module: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
            gate = held.pop() if held else None
            return (_set(inputs[0], gate, chosen, intervention, activate), *inputs[1:])

        stack.callback(places.out.module.register_forward_pre_hook(change).remove)
        yield


def _keep(held: list[Tensor], matrix: Matrix, neurons: Tensor) -> Callable[..., None]:
    def hook(_module: nn.Module, _inputs: object, output: Tensor) -> None:
        held[:] = [matrix.part_of(output).index_select(-1, neurons)]

    return hook


def _set(
    post: Float[Tensor, "*places d_mlp"],
    gate: Float[Tensor, "*places chosen"] | None,
    chosen: Targets,
    intervention: Intervention,
    activate: Activate,
) -> Float[Tensor, "*places d_mlp"]:
    """Return `post` with the chosen neurons set where the condition holds."""
    before = post.index_select(-1, chosen.neurons)
    after = _wanted(before, chosen)
    stays = after.isnan()
    if intervention.hook == "hook_pre_linear":
        assert gate is not None
        after = activate(gate) * after
    condition = intervention.condition
    if condition.gate:
        assert gate is not None
        stays = stays | ~(gate * condition.gate > 0)
    if condition.post:
        stays = stays | ~(before * (chosen.signs * condition.post).to(before.dtype) > 0)
    return post.index_copy(-1, chosen.neurons, torch.where(stays, before, after))


def _wanted(before: Float[Tensor, "*places chosen"], chosen: Targets) -> Tensor:
    """Return what the neurons are set to at each place, in the model's own signs."""
    values = (chosen.values * chosen.signs).to(before.dtype)
    if values.ndim == 1:
        return values.expand_as(before)
    # OPT has texts and positions in one axis.
    by_text = before.reshape(len(values), -1, before.shape[-1])
    return values[:, None].expand_as(by_text).reshape(before.shape)
