"""A random model and a copy of it of which some neurons were changed, as training might."""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from neurondb.contracts.ingest import Preprocessing
from tests.support.arrays import Array
from tests.support.reference import Reference
from tests.support.tiny_model import tiny_model


class Places(NamedTuple):
    """Names of a layer's matrices; `rows` where a neuron is a row of gate and in."""

    layer: str
    gate: str | None
    in_: str
    out: str
    rows: bool


PLACES: Mapping[str, Places] = {
    "llama": Places("model.layers.{}.mlp.", "gate_proj", "up_proj", "down_proj", True),
    "olmo": Places("model.layers.{}.mlp.", "gate_proj", "up_proj", "down_proj", True),
    "gpt2": Places("transformer.h.{}.mlp.", None, "c_fc", "c_proj", False),
}

REPLACED, SCALED, NEGATED, STILLED, JITTERED = range(5)
"""Neurons of each layer of the copy: all vectors anew; larger; in and out turned around; in zero;
a little noise."""


def tiny_pair(directory: Path, family: str = "llama") -> tuple[Path, Path]:
    """Write `base` and `tuned`, with one tokenizer; return their directories."""
    base = tiny_model(directory / "base", family)
    tuned = Path(shutil.copytree(base, directory / "tuned"))
    file = tuned / "model.safetensors"
    tensors = load_file(file)
    draw = torch.Generator().manual_seed(7)
    for layer in range(2):
        _train(_matrices(tensors, PLACES[family], layer), draw)
    save_file(tensors, file, metadata={"format": "pt"})
    return base, tuned


def _matrices(tensors: dict[str, Tensor], places: Places, layer: int) -> dict[str, Tensor]:
    """Return gate, in and out as views, a neuron a row."""
    found = {}
    for name, path in (("gate", places.gate), ("in", places.in_), ("out", places.out)):
        if path is not None:
            weight = tensors[f"{places.layer.format(layer)}{path}.weight"]
            found[name] = weight if places.rows == (name != "out") else weight.T
    return found


def _train(vectors: dict[str, Tensor], draw: torch.Generator) -> None:
    for name, rows in vectors.items():
        rows[REPLACED] = torch.randn(rows.shape[1], generator=draw) / 4
        rows[SCALED] *= 1.75
        if name != "gate":
            rows[NEGATED] *= -1
        if name == "in":
            rows[STILLED] = 0
        rows[JITTERED] += torch.randn(rows.shape[1], generator=draw) / 50


def brute_force(base: Path, tuned: Path, choices: Preprocessing) -> dict[str, Array]:
    """Return vector → its cosines in the two models, layers × neurons, in float64."""
    one, other = Reference(base, choices), Reference(tuned, choices)
    found: dict[str, Array] = {}
    for name in ("gate", "in", "out"):
        of_layers = []
        for layer_a, layer_b in zip(one.layers, other.layers, strict=True):
            a, b = layer_a.vector(name), layer_b.vector(name)
            if a is not None and b is not None:
                with np.errstate(invalid="ignore"):
                    norms = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
                    of_layers.append((a * b).sum(1) / norms)
        if of_layers:
            found[name] = np.stack(of_layers)
    return found
