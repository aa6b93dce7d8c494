"""Weight preprocessing: from what a file stores to the vectors that every number is taken of.

METHODS §1; weakening-neurons §2.1; universal-neurons App. B.1. Everything is in float32. With the
defaults a neuron's function is unchanged: act(gate·n + b)·(in·n + b)·out, with n the residual
stream after the *parameter-free* norm, is what the model adds to it (LayerNorm models: up to the
mean over d, which every LayerNorm takes away again).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from jaxtyping import Float, Int8
from torch import Tensor

from ingest.checkpoint.reader import Architecture, Checkpoint, LayerWeights, Norm
from ingest.weights.token_rows import TokenRows
from neurondb.contracts.ingest import Preprocessing

# Gated models behind a LayerNorm whose published tables were made without centring `gate`.
UNCENTRED_GATE = frozenset({"olmo"})

BLOCK_ELEMENTS = 2**17


def resolve_preprocessing(choices: Preprocessing, architecture: Architecture) -> Preprocessing:
    """Return the same with `center_gate` decided; False where there is no gate to centre."""
    applies = choices.center and architecture.gated and architecture.norm == "layer"
    published = architecture.model_type not in UNCENTRED_GATE
    is_wanted = published if choices.center_gate is None else choices.center_gate
    return replace(choices, center_gate=applies and is_wanted)


@dataclass(frozen=True)
class NeuronVectors:
    """The preprocessed vectors of a layer's neurons, or of some rows of them; float32.

    Biases are None where the model has none, neither of its own nor folded from a norm. `sign` is
    +1 or −1: what `in_`, `in_bias` and `out` were multiplied by.
    """

    gate: Float[Tensor, "neurons d_model"] | None
    in_: Float[Tensor, "neurons d_model"]
    out: Float[Tensor, "neurons d_model"]
    gate_bias: Float[Tensor, " neurons"] | None
    in_bias: Float[Tensor, " neurons"] | None
    sign: Int8[Tensor, " neurons"]


def preprocess_neurons(
    weights: LayerWeights,
    architecture: Architecture,
    choices: Preprocessing,
    rows: slice | None = None,
) -> NeuronVectors:
    """Preprocess a layer's neurons, or only those of `rows` (METHODS §1.1, §1.3).

    Each neuron's result depends on its own row alone, so a layer may be done in chunks of rows.
    The vectors are copies: the weights, which may be views of mapped files, stay as they are.
    """
    chosen = resolve_preprocessing(choices, architecture)
    rows = slice(None) if rows is None else rows
    norm = weights.pre_norm if chosen.fold else None
    center = chosen.center and architecture.norm == "layer"
    in_ = _reader(weights.in_, weights.in_bias, rows, norm, center=center)
    out = _writer(weights, rows, chosen, center=center)
    if weights.gate is None:
        sign = torch.ones(len(out), dtype=torch.int8, device=out.device)
        return NeuronVectors(None, in_.weight, out, None, in_.bias, sign)
    gate = _reader(weights.gate, weights.gate_bias, rows, norm, center=bool(chosen.center_gate))
    sign = _signs(gate.weight, in_.weight, canonicalise=chosen.canonicalise)
    return NeuronVectors(
        gate=gate.weight,
        in_=in_.weight.mul_(sign[:, None]),
        out=out.mul_(sign[:, None]),
        gate_bias=gate.bias,
        in_bias=None if in_.bias is None else in_.bias * sign,
        sign=sign,
    )


def preprocess_unembedding(
    checkpoint: Checkpoint, choices: Preprocessing, rows: TokenRows | None = None
) -> Float[Tensor, "tokens d_model"]:
    """Return the unembedding U, preprocessed, in float32 (METHODS §1.2).

    It is a copy, also where the model is tied.

    The final norm's gain is folded in, then the mean over the vocabulary subtracted; its bias,
    like a bias of the logits, shifts each token's logit by a constant and is left out. The
    vocabulary is the tokens of `rows`, or every row.
    """
    stored = checkpoint.read_unembedding()
    result = (stored if rows is None else rows.select(stored)).to(torch.float32, copy=True)
    gain = checkpoint.read_final_norm().gain if choices.fold else None
    if gain is not None:
        result.mul_(gain.float())
    if choices.center:
        result.sub_(result.mean(dim=0))
    return result


def read_float_embedding(
    checkpoint: Checkpoint, rows: TokenRows | None = None
) -> Float[Tensor, "tokens d_model"]:
    """Return the embedding E in float32, otherwise as it is stored (METHODS §1.2).

    Its rows are the tokens of `rows`, or every row.
    """
    stored = checkpoint.read_embedding()
    return (stored if rows is None else rows.select(stored)).float()


def compute_row_dots(
    left: Float[Tensor, "neurons d_model"], right: Float[Tensor, "neurons d_model"]
) -> Float[Tensor, " neurons"]:
    """Return the dot product of each row with its partner, in float32, summed in float64.

    A row's result does not depend on the rows beside it, however a layer is cut into chunks.
    """
    # Small blocks keep the products in the cache; as one they cost an allocation of their size.
    step = max(1, BLOCK_ELEMENTS // left.shape[-1])
    blocks = zip(torch.split(left, step), torch.split(right, step), strict=True)
    return torch.cat([(a * b).sum(dim=-1, dtype=torch.float64) for a, b in blocks]).float()


class _Reader(NamedTuple):
    weight: Float[Tensor, "neurons d_model"]
    bias: Float[Tensor, " neurons"] | None


def _reader(
    weight: Tensor, bias: Tensor | None, rows: slice, norm: Norm | None, *, center: bool
) -> _Reader:
    """Preprocess what reads the residual stream: fold the norm's gain and bias in, then centre."""
    vectors = weight[rows].to(torch.float32, copy=True)
    bias = None if bias is None else bias[rows].to(torch.float32, copy=True)
    if norm is not None and norm.bias is not None:
        # The bias passes through the weights as they are, so before the gain goes into them.
        shift = compute_row_dots(vectors, norm.bias.float().expand_as(vectors))
        bias = shift if bias is None else bias + shift
    if norm is not None and norm.gain is not None:
        vectors.mul_(norm.gain.float())
    return _Reader(_centred(vectors) if center else vectors, bias)


def _writer(weights: LayerWeights, rows: slice, choices: Preprocessing, *, center: bool) -> Tensor:
    """Preprocess what writes to the residual stream: fold a norm behind it in, then centre."""
    vectors = weights.out[rows].to(torch.float32, copy=True)
    post = weights.post_norm if choices.fold_post_norm else None
    if post is not None and post.gain is not None:
        vectors.mul_(post.gain.float())
    return _centred(vectors) if center else vectors


def _centred(vectors: Tensor) -> Tensor:
    return vectors.sub_(vectors.mean(dim=-1, keepdim=True, dtype=torch.float64))


def _signs(gate: Tensor, in_: Tensor, *, canonicalise: bool) -> Tensor:
    ones = torch.ones(len(in_), dtype=torch.int8, device=in_.device)
    return torch.where(compute_row_dots(gate, in_) < 0, -ones, ones) if canonicalise else ones
