"""Weight analysis of one layer: norms, cosines, penalty, baselines (METHODS §1–3).

Source: weakening-neurons §2.
"""

from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch import Tensor

from ingest.checkpoint.reader import Architecture, LayerWeights
from ingest.weights.baselines import (
    MAX_STANDARD_ERROR,
    PAIRS,
    Block,
    PairSample,
    Sampling,
    compute_exact_regions,
    compute_gaussian_regions,
)
from ingest.weights.preprocess import NeuronVectors, preprocess_neurons
from neurondb.contracts.ingest import Preprocessing
from neurondb.contracts.weights import Baseline, WeightsRecord

ROWS_A_BLOCK = 128
"""Neurons preprocessed at a time: their float32 copies stay in the processor's cache."""

VECTORS = ("gate", "in_", "out")


def analyse_layer(
    weights: LayerWeights,
    architecture: Architecture,
    choices: Preprocessing,
    sampling: Sampling,
) -> WeightsRecord:
    """Return the weight analysis of one layer.

    Cosines are float32 sums of the preprocessed vectors; a zero vector's are NaN.
    """
    n, d = weights.in_.shape
    pairs = sampling.count_pairs_a_neuron(n, d)
    sample = None if pairs is None else PairSample(pairs, sampling.seed)
    parts, kept_blocks = [], []
    for vectors in preprocess_blocks(weights, architecture, choices):
        block = _measure_norms(vectors)
        parts.append(_compute_columns(vectors, block))
        if sample is None:
            kept_blocks.append(block)
        else:
            sample.add(block)
    regions = (
        compute_exact_regions(_join_unit_rows(kept_blocks))
        if sample is None
        else sample.compute_regions(n)
    )
    while any(region.standard_error > MAX_STANDARD_ERROR for region in regions):
        assert pairs is not None
        pairs *= 2
        remeasured = (
            _measure_norms(vectors) for vectors in preprocess_blocks(weights, architecture, choices)
        )
        regions = _regions(
            remeasured, PairSample(pairs, sampling.seed) if pairs < ROWS_A_BLOCK / 2 else None
        )
    columns = {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
    gated = weights.gate is not None
    return _record(columns, [*compute_gaussian_regions(d, gated=gated), *regions])


def preprocess_blocks(
    weights: LayerWeights, architecture: Architecture, choices: Preprocessing
) -> Iterator[NeuronVectors]:
    """Yield a layer's preprocessed vectors, some neurons at a time."""
    for start in range(0, len(weights.in_), ROWS_A_BLOCK):
        rows = slice(start, min(start + ROWS_A_BLOCK, len(weights.in_)))
        yield preprocess_neurons(weights, architecture, choices, rows)


def _measure_norms(vectors: NeuronVectors) -> Block:
    rows = {
        name: vector.contiguous()
        for name in VECTORS
        if (vector := getattr(vectors, name)) is not None
    }
    return Block(rows, {k: torch.linalg.vector_norm(v, dim=1) for k, v in rows.items()})


def _compute_columns(vectors: NeuronVectors, block: Block) -> dict[str, Tensor]:
    squares = [norm.double() ** 2 for norm in block.norms.values()]
    columns = {"sign": vectors.sign, "penalty": torch.stack(squares).sum(0)}
    columns |= {f"{name.rstrip('_')}_norm": norm for name, norm in block.norms.items()}
    columns |= {p: block.compute_cosines(p) for p, (left, _) in PAIRS.items() if left in block.rows}
    biases = {name: getattr(vectors, name) for name in ("gate_bias", "in_bias")}
    return columns | {name: bias for name, bias in biases.items() if bias is not None}


def _join_unit_rows(blocks: list[Block]) -> dict[str, Tensor]:
    return {
        name: torch.cat([block.rows[name] / block.norms[name][:, None] for block in blocks])
        for name in blocks[0].rows
    }


def _regions(blocks: Iterable[Block], sample: PairSample | None) -> list[Baseline]:
    """Return the regions from more pairs, or from all."""
    if sample is None:
        return compute_exact_regions(_join_unit_rows(list(blocks)))
    n_neurons = 0
    for block in blocks:
        sample.add(block)
        n_neurons += len(block.norms["out"])
    return sample.compute_regions(n_neurons)


def _record(numbers: dict[str, Tensor], baselines: list[Baseline]) -> WeightsRecord:
    absent = dict.fromkeys(("gate_norm", "gate_bias", "in_bias", "gate_in", "gate_out"))
    arrays: dict[str, Any] = {name: values.cpu().numpy() for name, values in numbers.items()}
    columns: dict[str, Any] = absent | arrays
    return WeightsRecord(**columns, baselines=baselines)
