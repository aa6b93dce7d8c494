"""The modules of transformers' models: a layer's MLP, and the norms around it, as affine maps.

Linear maps and norms are read off by feeding them unit vectors, and the norm that the MLP reads
through is found by what flows through the model.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import torch
import transformers
from torch import Tensor, nn

from tests.support.arrays import Array

READS = ("up_proj", "gate_up_proj", "c_fc", "fc_in", "fc1", "dense_h_to_4h")
WRITES = ("down_proj", "c_proj", "fc_out", "fc2", "dense_4h_to_h")
ACTS = ("act_fn", "activation_fn")
PROBE_SCALE = 2.0**20
"""So large that a norm's epsilon is lost, a power of two so that nothing is rounded."""


class Norm(NamedTuple):
    """A norm as an affine map of the normalised input."""

    gain: Array
    bias: Array | None
    centres: bool


class Mlp(NamedTuple):
    """The modules of one layer's MLP."""

    reads: nn.Module
    gates: nn.Module | None
    writes: nn.Module
    act: nn.Module | None
    fused: bool


def load(directory: Path) -> Any:
    """Return the model as transformers builds it, in float64, with plain attention."""
    model: Any = transformers.AutoModelForCausalLM.from_pretrained(
        directory, attn_implementation="eager", dtype=torch.float32
    )
    return model.double().eval()


def blocks(model: Any) -> list[nn.Module]:
    """Return the layers of the language model."""
    found = (m for m in model.get_decoder().modules() if isinstance(m, nn.ModuleList))
    return list(next(found))


def mlp(block: nn.Module) -> Mlp:
    """Return the parts of a layer's MLP by their names."""
    parts = {
        path.split(".")[-1]: module for path, module in block.named_modules() if "att" not in path
    }
    fused = "gate_up_proj" in parts
    act = next((parts[name] for name in ACTS if name in parts), None)
    gates = parts.get("gate_proj")
    return Mlp(
        reads=next(parts[name] for name in READS if name in parts),
        gates=gates,
        writes=next(parts[name] for name in WRITES if name in parts),
        act=act if fused or gates is not None else None,
        fused=fused,
    )


def affine(module: nn.Module, width: int) -> tuple[Array, Array | None]:
    """Return weight, one row a feature, and bias of a linear map, by feeding it unit vectors."""
    offset = module(torch.zeros(1, width, dtype=torch.float64))
    weight = (module(torch.eye(width, dtype=torch.float64)) - offset).T.numpy()
    return weight, None if getattr(module, "bias", None) is None else offset[0].numpy()


def _norm(module: nn.Module, width: int) -> Norm:
    unit = torch.ones(width, dtype=torch.float64)
    unit[1::2] = -1
    probe = PROBE_SCALE * unit[None, None]
    plus, minus = module(probe)[0, 0], module(-probe)[0, 0]
    bias = None if getattr(module, "bias", None) is None else ((plus + minus) / 2).numpy()
    centres = torch.allclose(module(probe + PROBE_SCALE), module(probe))
    return Norm((unit * (plus - minus) / 2).numpy(), bias, centres)


def _flow(model: Any, modules: Iterable[nn.Module]) -> dict[nn.Module, tuple[Tensor, Tensor]]:
    """Return what goes into and comes out of each module on a few tokens."""
    seen: dict[nn.Module, tuple[Tensor, Tensor]] = {}

    def keep(module: nn.Module, args: tuple[Tensor, ...], output: Tensor) -> None:
        seen[module] = (args[0], output)

    handles = [module.register_forward_hook(keep) for module in modules]
    try:
        model(torch.tensor([[1, 7, 300, 44, 45]]))
    finally:
        for handle in handles:
            handle.remove()
    return seen


def norms_of(module: nn.Module) -> list[nn.Module]:
    """Return the norms inside a module."""
    return [part for part in module.modules() if "Norm" in type(part).__name__]


def neighbours(
    model: Any, width: int, module: nn.Module, norms: list[nn.Module]
) -> tuple[Norm | None, Norm | None]:
    """Return the norm whose output `module` reads, and the one that reads what it writes."""
    flow = _flow(model, [module, *norms])
    into, out_of = flow[module]
    before = (n for n in norms if n in flow and torch.equal(flow[n][1], into))
    after = (n for n in norms if n in flow and torch.equal(flow[n][0], out_of))
    found = next(before, None), next(after, None)
    first, last = (None if norm is None else _norm(norm, width) for norm in found)
    return first, last
