"""Where a running model's MLP activations are read: hooks on the family's own modules.

`ingest.families` names the modules: what the gate's and the in's module put out, and what the
out's module takes in, are gate, in and post of METHODS (notation).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ingest.families.architecture import Architecture
from ingest.families.layout import Layout, Matrix
from ingest.forward.experts import ExpertActivations, Receive, RunningExperts
from ingest.forward.transfers import copy_to
from neurondb.errors import ModelError

Activations = Float[Tensor, "texts positions neurons"]


@dataclass(frozen=True)
class MLPActivations:
    """What one layer's MLP did on a batch, in the model's own sign and dtype.

    `gate` is None for ungated models. Ungated: `in_` is hook_pre. `swish` is what the model's own
    activation function made of the gate, in float32; None where that was not seen.
    """

    gate: Activations | None
    in_: Activations
    post: Activations
    swish: Activations | None = None

    def to(self, device: torch.device) -> MLPActivations:
        """Return the activations on another device; on their own as they are."""
        if self.post.device == device:
            return self
        gate, swish = (
            part if part is None else part.to(device) for part in (self.gate, self.swish)
        )
        return MLPActivations(gate, self.in_.to(device), self.post.to(device), swish)


@dataclass(frozen=True)
class HookPoint:
    """A module of the model that runs, and which part of it the layout means."""

    module: nn.Module
    matrix: Matrix


@dataclass(frozen=True)
class MLPHookPoints:
    """Where one layer's activations appear; gate and in may be one module.

    `activation` is the module beside the gate that is the function on it, where there is one.
    """

    gate: HookPoint | None
    in_: HookPoint
    out: HookPoint
    activation: nn.Module | None = None

    def read_out(self) -> Float[Tensor, "neurons d_model"]:
        """Return what the neurons write, one in every row: a view."""
        stored = self.out.module.weight
        assert isinstance(stored, Tensor)
        return self.out.matrix.select_weight({f"{self.out.matrix.module}.weight": stored}, "")


@dataclass(frozen=True)
class ExpertHookPoints:
    """Where the activations of a layer that is divided into experts appear.

    Attributes:
        routed: The experts that a router chooses from.
        shared: The modules of the shared expert, where there is one.
        shared_gate: The module whose output's sigmoid multiplies what the shared expert writes.
        whole: The module of the whole MLP, router included.
    """

    routed: RunningExperts
    shared: MLPHookPoints | None
    shared_gate: nn.Module | None
    whole: nn.Module

    def read_out(self, expert: int) -> Float[Tensor, "neurons d_model"]:
        """Return what an expert's neurons write, one in every row: a view."""
        if expert < self.routed.n_experts:
            return self.routed.vectors(expert)[2]
        assert self.shared is not None
        return self.shared.read_out()

    def find_out_bias(self, expert: int) -> Tensor | None:
        """Return the bias of what an expert writes, no neuron's; None where it has none."""
        if expert < self.routed.n_experts:
            return self.routed.find_out_bias(expert)
        assert self.shared is not None
        return getattr(self.shared.out.module, "bias", None)


def find_hook_points(decoder: nn.Module, layout: Layout) -> list[MLPHookPoints | ExpertHookPoints]:
    """Return every layer's modules below `decoder`.

    The routed experts of a mixture run one after another from here on.

    Raises:
        ModelError: One is missing, ambiguous, or not of the shape that the layout demands.
    """
    modules = dict(decoder.named_modules())
    hook_points: list[MLPHookPoints | ExpertHookPoints] = []
    for layer in range(layout.architecture.n_layers):
        block = layout.block.format(layer)

        def find_point(matrix: Matrix, block: str = block) -> HookPoint:
            return HookPoint(_module(modules, block, matrix, layout.architecture), matrix)

        if layout.experts is not None and layout.architecture.is_divided(layer):
            hook_points.append(_find_experts(decoder, layout, block, find_point))
            continue
        gate = None if layout.gate is None else find_point(layout.gate)
        in_, out = find_point(layout.in_), find_point(layout.out)
        activation = None if gate is None else _find_activation(modules, gate.module)
        hook_points.append(MLPHookPoints(gate, in_, out, activation))
    return hook_points


def _find_activation(modules: dict[str, nn.Module], gate: nn.Module) -> nn.Module | None:
    (name,) = (name for name, module in modules.items() if module is gate)
    return modules.get(f"{name.rpartition('.')[0]}.act_fn")


def _find_experts(
    decoder: nn.Module, layout: Layout, block: str, find_point: Callable[[Matrix], HookPoint]
) -> ExpertHookPoints:
    places, experts = layout.experts, layout.architecture.experts
    assert places is not None
    assert experts is not None
    module = decoder.get_submodule(block + places.module)
    shared = None
    if places.shared is not None:
        gate, in_, out = map(find_point, places.shared)
        shared = MLPHookPoints(gate, in_, out)
    gate_name = places.shared_gate
    shared_gate = None if gate_name is None else decoder.get_submodule(block + gate_name)
    whole = decoder.get_submodule((block + places.module).rpartition(".")[0])
    routed = RunningExperts.take_over(module, places, experts)
    return ExpertHookPoints(routed, shared, shared_gate, whole)


def _module(
    modules: dict[str, nn.Module], block: str, matrix: Matrix, architecture: Architecture
) -> nn.Module:
    name = block + matrix.module
    matching = [
        module_name
        for module_name in modules
        if module_name == name or module_name.endswith(f".{name}")
    ]
    if len(matching) != 1:
        raise ModelError(
            f"model_type '{architecture.model_type}': {len(matching)} modules of the model that"
            f" transformers runs are called {name}, not one; report this as a bug of NeuronDB"
        )
    module = modules[matching[0]]
    (expected, *_) = matrix.shapes("", architecture).values()
    actual = tuple(getattr(module, "weight", Tensor()).shape)
    if actual != expected:
        raise ModelError(
            f"model_type '{architecture.model_type}': {name} of the model that transformers runs"
            f" has a weight of shape {list(actual)}, not {list(expected)}; report this as a bug of"
            " NeuronDB"
        )
    return module


@contextmanager
def hook_activations(
    hook_points: MLPHookPoints, shape: tuple[int, int], receive: Callable[[MLPActivations], None]
) -> Iterator[None]:
    """While open, hand `receive` the layer's activations as soon as the last of them is there.

    Args:
        hook_points: The layer's modules.
        shape: Texts and positions of the batch.
        receive: May raise, which ends the pass before what `out` writes is computed.
    """
    outputs: dict[str, Tensor] = {}

    def keep(name: str, matrix: Matrix) -> Callable[..., None]:
        def hook(_module: nn.Module, _inputs: object, output: Tensor) -> None:
            outputs[name] = _by_text(matrix.select_part(output), shape)

        return hook

    def keep_swish(_module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        # Of the gate itself, or it is another number than what is defined. A GPU computes it anew
        # in the loop that reads the gate.
        is_exact = output.dtype == torch.float32 and output.device.type == "cpu"
        if is_exact and inputs[0] is outputs.get("gate"):
            outputs["swish"] = output

    def deliver(_module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        post = _by_text(inputs[0], shape)
        gate, swish = outputs.pop("gate", None), outputs.pop("swish", None)
        receive(MLPActivations(gate, outputs.pop("in"), post, swish))

    with ExitStack() as stack:
        for name, hook_point in (("gate", hook_points.gate), ("in", hook_points.in_)):
            if hook_point is not None:
                hook = keep(name, hook_point.matrix)
                stack.callback(hook_point.module.register_forward_hook(hook).remove)
        if hook_points.activation is not None:
            stack.callback(hook_points.activation.register_forward_hook(keep_swish).remove)
        stack.callback(hook_points.out.module.register_forward_pre_hook(deliver).remove)
        yield


@contextmanager
def hook_experts(
    hook_points: ExpertHookPoints, shape: tuple[int, int], receive: Receive
) -> Iterator[None]:
    """While open, hand `receive` what each expert of the layer does on a batch.

    Args:
        hook_points: The layer's modules.
        shape: Texts and positions of the batch.
        receive: Is called for every expert once, the shared one included, in any order.
    """
    number = hook_points.routed.n_experts
    weights: list[Tensor] = []

    def weigh_shared(_module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        assert hook_points.shared_gate is not None
        with torch.no_grad():  # the model does it again, after the expert has run
            weights[:] = [torch.sigmoid(hook_points.shared_gate(inputs[0])).flatten()]

    def receive_shared(activations: MLPActivations) -> None:
        assert activations.gate is not None
        gate, in_, post = (
            values.flatten(0, 1) for values in (activations.gate, activations.in_, activations.post)
        )
        on_host = torch.arange(len(post))
        token = copy_to(on_host, post.device)
        weight = weights.pop() if weights else None
        receive(ExpertActivations(number, token, on_host, len(post), weight, gate, in_, post))

    with ExitStack() as stack:
        stack.enter_context(hook_points.routed.receive(receive))
        if hook_points.shared is not None:
            if hook_points.shared_gate is not None:
                reads = hook_points.shared.in_.module
                stack.callback(reads.register_forward_pre_hook(weigh_shared).remove)
            stack.enter_context(hook_activations(hook_points.shared, shape, receive_shared))
        yield


def _by_text(values: Tensor, shape: tuple[int, int]) -> Activations:
    """Give values texts and positions as two axes; OPT runs its MLP on one axis of both."""
    return values.view(*shape, -1) if values.ndim == 2 else values
