"""Brute force of METHODS §1 to §3 in float64: vectors, their cosines, classes and baselines.

Written from METHODS.md alone: nothing of `ingest` is used. Arrays are neurons × d.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from neurondb.contracts.ingest import Preprocessing
from tests.support.arrays import Array
from tests.support.model_modules import Mlp, Norm, affine


class Layer(NamedTuple):
    """One layer's vectors, one row a neuron; `read` is `in`."""

    gate: Array | None
    read: Array
    out: Array
    gate_bias: Array | None
    in_bias: Array | None
    sign: NDArray[np.int64]

    def vector(self, name: str) -> Array | None:
        """Return gate, in or out."""
        return {"gate": self.gate, "in": self.read, "out": self.out}[name]


def raw_layer(parts: Mlp, width: int) -> Layer:
    """Return the vectors as they are stored, of a model of `width` dimensions."""
    read, in_bias = affine(parts.reads, width)
    gate: Array | None = None
    gate_bias: Array | None = None
    if parts.fused:
        gate, read = np.split(read, 2)
        gate_bias, in_bias = (None, None) if in_bias is None else np.split(in_bias, 2)
    elif parts.gates is not None:
        gate, gate_bias = affine(parts.gates, width)
    out, _ = affine(parts.writes, len(read))
    return Layer(gate, read, out.T, gate_bias, in_bias, np.ones(len(read), np.int64))


def _folded_bias(weight: Array, bias: Array | None, norm: Norm | None) -> Array | None:
    if norm is None or norm.bias is None:
        return bias
    return weight @ norm.bias + (0 if bias is None else bias)


def _centred(vectors: Array) -> Array:
    centred: Array = vectors - vectors.mean(1, keepdims=True)
    return centred


def _fold(layer: Layer, norm: Norm | None, post: Norm | None, choices: Preprocessing) -> Layer:
    if choices.fold and norm is not None:
        layer = layer._replace(
            gate=None if layer.gate is None else layer.gate * norm.gain,
            read=layer.read * norm.gain,
            gate_bias=None
            if layer.gate is None
            else _folded_bias(layer.gate, layer.gate_bias, norm),
            in_bias=_folded_bias(layer.read, layer.in_bias, norm),
        )
    if choices.fold_post_norm and post is not None:
        layer = layer._replace(out=layer.out * post.gain)
    return layer


def preprocess(
    layer: Layer, norm: Norm | None, post: Norm | None, choices: Preprocessing, center_gate: bool
) -> Layer:
    """METHODS §1, in its order."""
    layer = _fold(layer, norm, post, choices)
    if choices.center and norm is not None and norm.centres:
        layer = layer._replace(read=_centred(layer.read), out=_centred(layer.out))
    if layer.gate is None:
        return layer
    if center_gate and norm is not None and norm.centres:
        layer = layer._replace(gate=_centred(layer.gate))
    if not choices.canonicalise:
        return layer
    assert layer.gate is not None
    sign = np.where((layer.gate * layer.read).sum(1) < 0, -1, 1)
    return layer._replace(
        read=layer.read * sign[:, None],
        out=layer.out * sign[:, None],
        in_bias=None if layer.in_bias is None else layer.in_bias * sign,
        sign=sign,
    )


def norms(vectors: Array) -> Array:
    """Return the length of every row."""
    lengths: Array = np.sqrt((vectors**2).sum(1))
    return lengths


def row_cosines(a: Array, b: Array) -> Array:
    """Return the cosine of every row of `a` with the same row of `b`; NaN for a zero vector."""
    with np.errstate(invalid="ignore"):
        cosines: Array = (a * b).sum(1) / (norms(a) * norms(b))
    return cosines


def cosine_matrix(a: Array, b: Array) -> Array:
    """Return the cosine of every row of `a` with every row of `b`; NaN for a zero vector."""
    with np.errstate(invalid="ignore"):
        return (a @ b.T) / (norms(a)[:, None] * norms(b)[None])


def _level(cosine: float, threshold: float) -> int:
    return 1 if cosine > threshold else -1 if cosine < -threshold else 0


def gated_class(gate_in: float, gate_out: float, in_out: float, threshold: float) -> str:
    """Return the name of the class: the table of METHODS §2, row by row."""
    if np.isnan([gate_in, gate_out, in_out]).any():
        return "undefined"
    a, c = _level(in_out, threshold), _level(gate_in, threshold)
    g = _level(gate_out, threshold)
    name, typical = {
        (1, 1): ("strengthening", c == g),
        (1, 0): ("conditional strengthening", c == 0),
        (0, 1): ("proportional change", c == 0),
        (0, 0): ("orthogonal output", True),
        (-1, 1): ("weakening", c == -g),
        (-1, 0): ("conditional weakening", c == 0),
    }[a, abs(g)]
    return name if typical else f"atypical {name}"


def ungated_class(in_out: float, threshold: float) -> str:
    """Return the name of the class from cos(in, out) alone."""
    if np.isnan(in_out):
        return "undefined"
    return {1: "strengthening", 0: "orthogonal output", -1: "weakening"}[_level(in_out, threshold)]


def mismatched(a: Array, b: Array) -> Array:
    """Return the cosines of all i≠j pairs; those of a zero vector are left out."""
    cosines = cosine_matrix(a, b)
    pairs = cosines[~np.eye(len(a), dtype=bool)]
    return pairs[~np.isnan(pairs)]
