"""Weight analysis of one layer: norms, cosines, penalty, baselines (METHODS §1–3).

Source: weakening-neurons §2.
"""

from collections.abc import Iterator
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from ingest.baselines import Sampling, layer_baselines
from ingest.checkpoint import Architecture, LayerWeights
from ingest.preprocess import NeuronVectors, canonical
from neurondb.jobs import Preprocessing
from neurondb.records import WeightsRecord

ROWS = 1024
"""Neurons preprocessed at a time: their float32 copies stay in the processor's cache."""


@dataclass
class _Columns:
    """Per-neuron results, filled a chunk of rows at a time."""

    sign: Tensor
    gate_norm: Tensor
    in_norm: Tensor
    out_norm: Tensor
    gate_bias: Tensor
    in_bias: Tensor
    gate_in: Tensor
    gate_out: Tensor
    in_out: Tensor

    @classmethod
    def empty(cls, n: int, device: torch.device) -> "_Columns":
        return cls(*(torch.full((n,), torch.nan, device=device) for _ in fields(cls)))


def analyse_layer(
    weights: LayerWeights,
    architecture: Architecture,
    choices: Preprocessing,
    sampling: Sampling,
) -> WeightsRecord:
    """Return the weight analysis of one layer.

    Cosines are float32 sums of the preprocessed vectors; a zero vector's are NaN.
    """
    device = weights.in_.device
    n, d = weights.in_.shape
    columns = _Columns.empty(n, device)
    unit = {name: torch.empty(n, d, device=device) for name in ("gate", "in_", "out")}
    for rows, vectors in chunks(weights, architecture, choices):
        _fill(columns, unit, rows, vectors)
    gated = weights.gate is not None
    baselines = layer_baselines(unit["gate"] if gated else None, unit["in_"], unit["out"], sampling)
    squares = [columns.in_norm, columns.out_norm, *([columns.gate_norm] if gated else [])]
    found = {f.name: getattr(columns, f.name).cpu().numpy() for f in fields(columns)}
    absent = () if gated else ("gate_norm", "gate_bias", "gate_in", "gate_out")
    return WeightsRecord(
        **(found | dict.fromkeys(absent) | {"sign": columns.sign.to(torch.int8).cpu().numpy()}),
        penalty=sum(norm.double() ** 2 for norm in squares).cpu().numpy(),  # type: ignore[union-attr]
        baselines=baselines,
    )


def chunks(
    weights: LayerWeights,
    architecture: Architecture,
    choices: Preprocessing,
) -> Iterator[tuple[slice, NeuronVectors]]:
    """Yield a layer's preprocessed vectors, some rows at a time."""
    for start in range(0, len(weights.in_), ROWS):
        rows = slice(start, min(start + ROWS, len(weights.in_)))
        yield rows, canonical(weights, architecture, choices, rows)


def _fill(columns: _Columns, unit: dict[str, Tensor], rows: slice, vectors: NeuronVectors) -> None:
    columns.sign[rows] = vectors.sign.to(columns.sign.dtype)
    norms = {"in_": columns.in_norm, "out": columns.out_norm, "gate": columns.gate_norm}
    for name, norm in norms.items():
        vector = getattr(vectors, name)
        if vector is not None:
            norm[rows] = torch.linalg.vector_norm(vector, dim=1)
            # 0/0 is NaN: a zero vector has no direction
            torch.div(vector, norm[rows, None], out=unit[name][rows])
    for name, bias in (("gate_bias", columns.gate_bias), ("in_bias", columns.in_bias)):
        if getattr(vectors, name) is not None:
            bias[rows] = getattr(vectors, name)
    columns.in_out[rows] = (unit["in_"][rows] * unit["out"][rows]).sum(1)
    if vectors.gate is not None:
        columns.gate_in[rows] = (unit["gate"][rows] * unit["in_"][rows]).sum(1)
        columns.gate_out[rows] = (unit["gate"][rows] * unit["out"][rows]).sum(1)
