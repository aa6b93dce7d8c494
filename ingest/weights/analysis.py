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
from ingest.weights.layer_parts import LayerParts
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
    """Return the weight analysis of a layer that is in memory, as `analyse_parts` does."""
    return analyse_parts(LayerParts.of_whole(weights), architecture, choices, sampling)


def analyse_parts(
    layer: LayerParts, architecture: Architecture, choices: Preprocessing, sampling: Sampling
) -> WeightsRecord:
    """Return the weight analysis of one layer, the same whatever its parts are.

    Cosines are float32 sums of the preprocessed vectors; a zero vector's are NaN.
    """
    n, d = layer.n_neurons, architecture.d_model
    pairs = sampling.count_pairs_a_neuron(n, d)
    if pairs is None:
        columns, blocks = _measure_plainly(layer, architecture, choices)
        regions = compute_exact_regions(_join_unit_rows(blocks))
    else:
        columns, sample = _measure(layer, architecture, choices, pairs, sampling.seed)
        regions = sample.compute_regions(n)
    while any(region.standard_error > MAX_STANDARD_ERROR for region in regions):
        assert pairs is not None
        pairs *= 2
        if pairs < ROWS_A_BLOCK / 2:
            _, sample = _measure(layer, architecture, choices, pairs, sampling.seed)
            regions = sample.compute_regions(n)
        else:
            _, blocks = _measure_plainly(layer, architecture, choices)
            regions = compute_exact_regions(_join_unit_rows(blocks))
    gaussian = compute_gaussian_regions(d, gated=architecture.gated)
    return _record(columns, [*gaussian, *regions])


def _measure(
    layer: LayerParts,
    architecture: Architecture,
    choices: Preprocessing,
    pairs: float,
    seed: int,
) -> tuple[dict[str, Tensor], PairSample]:
    """Return a layer's columns and a sample of so many mismatched pairs a neuron.

    The library reads every weight once. What it does not read, plain torch does.
    """
    sample, parts = PairSample(pairs, seed), []
    for piece in layer.read_pieces(ROWS_A_BLOCK):
        columns = measure_natively(piece, architecture, choices, ROWS_A_BLOCK, sample)
        if columns is None:
            sample = PairSample(pairs, seed)
            return _measure_plainly(layer, architecture, choices, sample)[0], sample
        parts.append(columns)
    return _join_columns(parts), sample


def _measure_plainly(
    layer: LayerParts,
    architecture: Architecture,
    choices: Preprocessing,
    sample: PairSample | None = None,
) -> tuple[dict[str, Tensor], list[Block]]:
    """Return a layer's columns, and all its blocks where there is no sample to add them to."""
    parts, blocks = [], []
    for piece in layer.read_pieces(ROWS_A_BLOCK):
        for vectors in preprocess_blocks(piece, architecture, choices):
            block = _measure_norms(vectors)
            parts.append(_compute_columns(vectors, block))
            if sample is None:
                blocks.append(block)
            else:
                sample.add(block)
    return _join_columns(parts), blocks


def _join_columns(parts: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}


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
