"""Four models of one shape in which chosen neurons go through known classes: a planted training.

Neurons are planted along directions that are orthogonal to each other, behind the norm that is
folded into what reads: which class a neuron has follows from which of them coincide (METHODS §2).
"""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from tests.support.model_pairs import PLACES
from tests.support.tiny_model import tiny_model

LAYERS: Final = 2
WIDTH: Final = 56
N_MODELS: Final = 4
NAMES: Final = tuple(f"step{step}" for step in range(N_MODELS))

_SHAPES: Final[Mapping[str, tuple[int, int, int]]] = {
    "orthogonal output": (1, 2, 3),
    "strengthening": (1, 1, 1),
    "weakening": (1, 1, -1),
    "conditional strengthening": (1, 2, 2),
    "conditional weakening": (1, 2, -2),
    "proportional change": (1, 2, 1),
}
"""Class → which directions gate, in and out are, the negative of one with a minus."""

PATHS: Final[Mapping[int, tuple[str, ...]]] = {
    0: ("orthogonal output", "conditional strengthening", "strengthening", "strengthening"),
    1: ("orthogonal output", "orthogonal output", "weakening", "weakening"),
    2: ("orthogonal output", "orthogonal output", "weakening", "weakening"),
    3: ("weakening",) * N_MODELS,
    4: ("strengthening", "weakening", "strengthening", "strengthening"),
    5: ("proportional change",) * 3 + ("conditional weakening",),
}
"""Neuron of each layer → its class in each model. All others are the same in all models."""
SETTLED: Final = {0: 2, 1: 2, 2: 2, 3: 0, 4: 2, 5: 3}
"""Planted neuron → the step from which it keeps its class."""
DRIFTING: Final = 6
"""A neuron of each layer that moves a little at every step, whatever its class."""


def planted_series(directory: Path) -> tuple[Path, ...]:
    """Write the models and return their directories, in order."""
    base = tiny_model(directory / "base")
    made = []
    for step, name in enumerate(NAMES):
        model = Path(shutil.copytree(base, directory / name))
        file = model / "model.safetensors"
        tensors = load_file(file)
        for layer in range(LAYERS):
            _plant(tensors, layer, step)
        save_file(tensors, file, metadata={"format": "pt"})
        made.append(model)
    return tuple(made)


def _plant(tensors: dict[str, Tensor], layer: int, step: int) -> None:
    places = PLACES["llama"]
    prefix = places.layer.format(layer)
    norm = tensors[f"model.layers.{layer}.post_attention_layernorm.weight"]
    gate, in_ = (tensors[f"{prefix}{name}.weight"] for name in (places.gate, places.in_))
    out = tensors[f"{prefix}{places.out}.weight"].T
    for neuron, path in PATHS.items():
        wanted = [_direction(place, len(norm)) for place in _SHAPES[path[step]]]
        gate[neuron], in_[neuron], out[neuron] = wanted[0] / norm, wanted[1] / norm, wanted[2]
    draw = torch.Generator().manual_seed(layer)
    drifts = torch.randn(N_MODELS, len(norm), generator=draw) / 20
    in_[DRIFTING] += drifts[1 : step + 1].sum(0)


def _direction(place: int, width: int) -> Tensor:
    vector = torch.zeros(width)
    vector[abs(place)] = 1.0 if place > 0 else -1.0
    return vector
