"""Weight analysis of one layer: norms, cosines, penalty, baselines (METHODS §1–3).

Source: weakening-neurons §2.
"""

from collections.abc import Iterator
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
from ingest.weights.native import measure_natively
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
    if pairs is None:
        columns, blocks = _measure_plainly(weights, architecture, choices)
        regions = compute_exact_regions(_join_unit_rows(blocks))
    else:
        columns, sample = _measure(weights, architecture, choices, pairs, sampling.seed)
        regions = sample.compute_regions(n)
    while any(region.standard_error > MAX_STANDARD_ERROR for region in regions):
        assert pairs is not None
        pairs *= 2
        if pairs < ROWS_A_BLOCK / 2:
            _, sample = _measure(weights, architecture, choices, pairs, sampling.seed)
            regions = sample.compute_regions(n)
        else:
            blocks = [_measure_norms(v) for v in preprocess_blocks(weights, architecture, choices)]
            regions = compute_exact_regions(_join_unit_rows(blocks))
    gated = weights.gate is not None
    return _record(columns, [*compute_gaussian_regions(d, gated=gated), *regions])


def _measure(
    weights: LayerWeights,
    architecture: Architecture,
    choices: Preprocessing,
    pairs: float,
    seed: int,
) -> tuple[dict[str, Tensor], PairSample]:
    """Return a layer's columns and a sample of so many mismatched pairs a neuron.

    The library reads every weight once. What it does not read, plain torch does.
    """
    sample = PairSample(pairs, seed)
    columns = measure_natively(weights, architecture, choices, ROWS_A_BLOCK, sample)
    if columns is None:
        sample = PairSample(pairs, seed)
        columns, _ = _measure_plainly(weights, architecture, choices, sample)
    return columns, sample


def _measure_plainly(
    weights: LayerWeights,
    architecture: Architecture,
    choices: Preprocessing,
    sample: PairSample | None = None,
) -> tuple[dict[str, Tensor], list[Block]]:
    """Return a layer's columns, and all its blocks where there is no sample to add them to."""
    parts, blocks = [], []
    for vectors in preprocess_blocks(weights, architecture, choices):
        block = _measure_norms(vectors)
        parts.append(_compute_columns(vectors, block))
        if sample is None:
            blocks.append(block)
        else:
            sample.add(block)
    return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}, blocks


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


def _record(numbers: dict[str, Tensor], baselines: list[Baseline]) -> WeightsRecord:
    absent = dict.fromkeys(("gate_norm", "gate_bias", "in_bias", "gate_in", "gate_out"))
    arrays: dict[str, Any] = {name: values.cpu().numpy() for name, values in numbers.items()}
    columns: dict[str, Any] = absent | arrays
    return WeightsRecord(**columns, baselines=baselines)
