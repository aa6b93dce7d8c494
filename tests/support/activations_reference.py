"""Brute force of METHODS §5: what a model's MLPs do on a text, and in which sign case it is.

Written from METHODS.md alone: nothing of `ingest` is used. Arrays are tokens × neurons.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from tests.support.arrays import Array, Mask
from tests.support.model_modules import Mlp, blocks, mlp

CASES: dict[str, tuple[int, int]] = {
    "gate+_in+": (1, 1),
    "gate+_in-": (1, -1),
    "gate-_in+": (-1, 1),
    "gate-_in-": (-1, -1),
    "in+": (1, 0),
    "in-": (-1, 0),
}
"""Sign case → the signs of x_gate and x_in; of an ungated neuron x_in alone, which is hook_pre."""

Quantity: TypeAlias = Literal["hook_post", "hook_pre_linear", "hook_pre", "swish"]
Trace: TypeAlias = dict[str, Array]
"""Quantity → tokens × neurons, all texts one after the other, in canonical sign."""


@dataclass
class Traces:
    """Activations of every layer at every counted position."""

    layers: list[Trace]
    text: NDArray[np.int64]
    """Ordinal of each token's text."""
    position: NDArray[np.int64]
    noise: list[dict[str, float]]
    """Layer → quantity → largest difference between the float64 and the float32 run."""


def run_hooked(model: Any, ids: Sequence[int]) -> list[dict[str, Tensor]]:
    """Run one text alone; return each layer's hook_pre (gated), hook_pre_linear and hook_post."""
    kept: list[dict[str, Tensor]] = []
    handles = []

    def watch(block: nn.Module) -> None:
        parts, seen = mlp(block), dict[str, Tensor]()
        kept.append(seen)

        def keep(name: str) -> Callable[[nn.Module, Any, Tensor], None]:
            return lambda module, args, out: seen.update({name: out.reshape(len(ids), -1)})

        def written(module: nn.Module, args: tuple[Tensor, ...]) -> None:
            seen["hook_post"] = args[0].reshape(len(ids), -1)

        if parts.gates is not None:
            handles.append(parts.gates.register_forward_hook(keep("hook_pre")))
        handles.append(parts.reads.register_forward_hook(keep("reads")))
        handles.append(parts.writes.register_forward_pre_hook(written))

    try:
        for block in blocks(model):
            watch(block)
        model(torch.tensor([list(ids)]))
    finally:
        for handle in handles:
            handle.remove()
    return [_named(seen, mlp(block)) for seen, block in zip(kept, blocks(model), strict=True)]


def _named(seen: dict[str, Tensor], parts: Mlp) -> dict[str, Tensor]:
    reads = seen.pop("reads")
    if parts.fused:
        seen["hook_pre"], seen["hook_pre_linear"] = reads.chunk(2, dim=1)
    elif parts.gates is None:
        seen["hook_pre"] = reads
    else:
        seen["hook_pre_linear"] = reads
    if parts.act is not None:
        seen["swish"] = parts.act(seen["hook_pre"])
    return seen


SIGNED = ("hook_post", "hook_pre_linear")


def case_masks(trace: Trace, case: str, slack: dict[str, float]) -> tuple[Mask, Mask]:
    """Return the tokens that are surely in a sign case, and those that may be.

    `slack` is how far from zero a value must be for its sign to be sure, by quantity.
    """
    gate, read = CASES[case]
    wanted = {"hook_pre": gate} if read == 0 else {"hook_pre": gate, "hook_pre_linear": read}
    shape = trace["hook_pre"].shape
    sure, possible = np.ones(shape, bool), np.ones(shape, bool)
    for name, sign in wanted.items():
        sure &= sign * trace[name] > slack[name]
        possible &= sign * trace[name] > -slack[name]
    return sure, possible
