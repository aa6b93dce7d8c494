"""The numbers of a layer from its sums: what `ingest.weights.analysis` computes in plain torch.

The order of METHODS §1 is kept: gains are folded in as weights are read; centring follows from the
sums, as Σ(a − ā)(b − b̄) = Σab − Σa·Σb / d; signs multiply whole sums.
"""

from typing import Final, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int, Int8
from numpy.typing import NDArray
from torch import Tensor

from ingest.checkpoint.reader import Architecture, LayerWeights
from ingest.weights.baselines import PAIRS, PairSample
from ingest.weights.native.sums import (
    DOTS,
    MEANS,
    NAMES,
    PAIR_ORDER,
    LayerSums,
    Stored,
    can_sum,
    sum_layer,
)
from ingest.weights.preprocess import preprocess_neurons, resolve_preprocessing
from neurondb.contracts.ingest import Preprocessing

MOST_CANCELLED: Final = 8
"""By what factor centring may shrink a vector's square before its sums say too little of it."""
UNCERTAIN: Final = 1e-6
"""|cos(gate, in)| below which the sign is that of the plain functions, summed another way."""


class _Centred(NamedTuple):
    """Sums of centred vectors by name: their squares, their means, whether each was centred."""

    squares: dict[str, Float[Tensor, " neurons"]]
    means: dict[str, Float[Tensor, " neurons"]]
    is_centred: dict[str, bool]


def measure_natively(
    weights: LayerWeights,
    architecture: Architecture,
    choices: Preprocessing,
    block: int,
    sample: PairSample,
) -> dict[str, Tensor] | None:
    """Return a layer's columns, and add the cosines of its mismatched pairs to the sample.

    None, and a sample of no use, where there is no compiler, where weights are stored as the
    library does not read them, or where next to nothing of a vector is left when its mean is taken
    away.
    """
    chosen = resolve_preprocessing(choices, architecture)
    center = chosen.center and architecture.norm == "layer"
    is_centred = {"gate": bool(chosen.center_gate), "in_": center, "out": center}
    vectors = _list_vectors(weights, chosen)
    if not can_sum(list(vectors.values())):
        return None
    n = len(weights.in_)
    sizes = [min(block, n - first) for first in range(0, n, block)]
    shifts = [sample.draw_shifts(size) for size in sizes]
    found = sum_layer(vectors, shifts, block, means=any(is_centred.values()))
    centred = _centre(found, list(vectors), is_centred, weights.in_.shape[1])
    if centred is None:
        return None
    sign = _choose_signs(weights, architecture, choices, found, centred)
    _add_pairs(sample, found, centred, sign, shifts, sizes, weights.in_.shape[1])
    columns = _make_columns(found, centred, sign, weights.in_.shape[1])
    return columns | _make_biases(weights, vectors, found, sign)


def _list_vectors(weights: LayerWeights, chosen: Preprocessing) -> dict[str, Stored]:
    norm = weights.pre_norm if chosen.fold else None
    post = weights.post_norm if chosen.fold_post_norm else None
    gain, bias = (None, None) if norm is None else (_plain(norm.gain), _plain(norm.bias))
    vectors = {} if weights.gate is None else {"gate": Stored(weights.gate, gain, bias)}
    out = Stored(weights.out, None if post is None else _plain(post.gain), None)
    return vectors | {"in_": Stored(weights.in_, gain, bias), "out": out}


def _plain(values: Tensor | None) -> Tensor | None:
    return None if values is None else values.float().contiguous()


def _centre(
    found: LayerSums, names: list[str], is_centred: dict[str, bool], d: int
) -> _Centred | None:
    """Return what is left of vectors without their mean; None where that is next to nothing."""
    means = {name: found.sums[:, MEANS + NAMES.index(name)] / d for name in names}
    whole = {name: found.sums[:, NAMES.index(name)] for name in names}
    left = {n: whole[n] - d * means[n] ** 2 if is_centred[n] else whole[n] for n in names}
    if any((MOST_CANCELLED * left[name] < whole[name]).any() for name in names):
        return None
    return _Centred(left, means, is_centred)


def _dot(found: LayerSums, centred: _Centred, pair: str, d: int) -> Float[Tensor, " neurons"]:
    left, right = PAIRS[pair]
    dots = found.sums[:, DOTS[pair]]
    if not (centred.is_centred[left] or centred.is_centred[right]):
        return dots
    return dots - d * centred.means[left] * centred.means[right]


def _choose_signs(
    weights: LayerWeights,
    architecture: Architecture,
    choices: Preprocessing,
    found: LayerSums,
    centred: _Centred,
) -> Int8[Tensor, " neurons"]:
    """Return the sign of each neuron (METHODS §1.3); near 0, as the plain functions find it."""
    ones = torch.ones(len(weights.in_), dtype=torch.int8)
    if weights.gate is None or not choices.canonicalise:
        return ones
    dots = _dot(found, centred, "gate_in", weights.in_.shape[1])
    sign = torch.where(dots < 0, -ones, ones)
    size = (centred.squares["gate"] * centred.squares["in_"]).sqrt()
    for neuron in ((dots.abs() < UNCERTAIN * size) & (size > 0)).nonzero().flatten().tolist():
        one = slice(neuron, neuron + 1)
        sign[one] = preprocess_neurons(weights, architecture, choices, one).sign
    return sign


def _make_columns(
    found: LayerSums, centred: _Centred, sign: Int8[Tensor, " neurons"], d: int
) -> dict[str, Tensor]:
    norms = {name: square.sqrt() for name, square in centred.squares.items()}
    columns = {"sign": sign, "penalty": torch.stack(list(centred.squares.values())).sum(0)}
    columns |= {f"{name.rstrip('_')}_norm": norm.float() for name, norm in norms.items()}
    for pair, (left, right) in PAIRS.items():
        if left in norms:
            cosines = _dot(found, centred, pair, d) / (norms[left] * norms[right])
            columns[pair] = (cosines if pair == "in_out" else cosines * sign).float()
    return columns


def _make_biases(
    weights: LayerWeights,
    vectors: dict[str, Stored],
    found: LayerSums,
    sign: Int8[Tensor, " neurons"],
) -> dict[str, Tensor]:
    """Return the biases of gate and in that there are, of their own and folded from the norm."""
    biases = {}
    for name, own in (("gate", weights.gate_bias), ("in_", weights.in_bias)):
        parts = [] if own is None else [own.float()]
        if name in vectors and vectors[name].bias is not None:
            parts.append(found.biased[:, NAMES.index(name)].float())
        if parts:
            bias = sum(parts[1:], parts[0])
            biases[f"{name.rstrip('_')}_bias"] = bias * sign if name == "in_" else bias
    return biases


def _add_pairs(
    sample: PairSample,
    found: LayerSums,
    centred: _Centred,
    sign: Int8[Tensor, " neurons"],
    shifts: list[list[int]],
    sizes: list[int],
    d: int,
) -> None:
    """Add the cosines of neurons i and i + shift of each block."""
    left_neuron, right_neuron, place = _place_pairs(shifts, sizes, found.pairs.shape[2])
    signs, flat = sign.double(), torch.from_numpy(found.pairs).flatten()
    first, second = torch.from_numpy(left_neuron), torch.from_numpy(right_neuron)
    for i, pair in enumerate(PAIR_ORDER):
        left, right = PAIRS[pair]
        if left not in centred.squares:
            continue
        dots = flat[torch.from_numpy(place[i])]
        if centred.is_centred[left] or centred.is_centred[right]:
            dots = dots - d * centred.means[left][first] * centred.means[right][second]
        size = (centred.squares[left][first] * centred.squares[right][second]).sqrt()
        flips = signs[second] if left == "gate" else signs[first] * signs[second]
        sample.add_cosines(pair, (dots * flips / size).float())


def _place_pairs(
    shifts: list[list[int]], sizes: list[int], block: int
) -> tuple[Int[NDArray[np.int64], " pairs"], Int[NDArray[np.int64], " pairs"], NDArray[np.int64]]:
    """Return, of every pair of neurons, both, and where its three products stand."""
    of_block = np.repeat(np.arange(len(sizes)), [len(drawn) for drawn in shifts])
    shift = np.array([one for drawn in shifts for one in drawn], dtype=np.int64)
    size = np.array(sizes)[of_block]
    i = np.arange(block)
    exists = i < size[:, None]
    first = np.broadcast_to(of_block[:, None] * block, exists.shape)
    left = (first + i)[exists]
    right = (first + (i + shift[:, None]) % size[:, None])[exists]
    start = (np.arange(len(shift)) * len(PAIR_ORDER) * block)[:, None] + i
    places = [(start + pair * block)[exists] for pair in range(len(PAIR_ORDER))]
    return left, right, np.stack(places)
