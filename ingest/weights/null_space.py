"""What of `out` the unembedding does not see (universal-neurons §5.2, METHODS §4).

An entropy neuron writes along directions to which U gives next to no logits; they still count in
the final norm.
"""

from typing import Final

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from neurondb.contracts.weights import PerNeuron

NULL_DIRECTIONS: Final = 40
"""Singular directions that count as null, unless asked otherwise (METHODS §4)."""

_TILE: Final = 4096


def find_null_directions(
    unembed: Float[Tensor, "d_vocab d_model"], k: int = NULL_DIRECTIONS
) -> Float[Tensor, "d_model directions"]:
    """Return U₀: the right-hand singular directions of the k smallest singular values of U.

    Orthonormal columns in float64, the smallest singular value first. Where d_model ≤ k they are
    all d_model directions, of which every vector has a share of 1. Where more than k singular
    values are zero (fewer tokens than d_model − k) any k of their directions are returned.

    Args:
        unembed: U, preprocessed: centred over the vocabulary.
        k: the number of directions, 0 or more.
    """
    return find_smallest_directions(_gram(unembed), k)


def find_smallest_directions(
    gram: Float[Tensor, "d_model d_model"], k: int = NULL_DIRECTIONS
) -> Float[Tensor, "d_model directions"]:
    """Return `find_null_directions` of a U whose UᵀU is known, in float64."""
    # Squaring costs half the digits: of 16 that leaves singular values down to 1e-8 of the
    # largest, and what float32 weights say below 1e-7 of it is noise. A decomposition of U itself
    # would take twice its memory in float64.
    _, vectors = torch.linalg.eigh(gram)
    smallest: Tensor = vectors[:, : min(k, len(gram))]
    return smallest


def compute_null_share(
    out: Float[Tensor, "neurons d_model"], directions: Float[Tensor, "d_model directions"]
) -> PerNeuron:
    """Return ‖out·U₀‖/‖out‖ of each neuron, 0 to 1; NaN for zero vectors."""
    exact = out.double()
    inside: Tensor = torch.linalg.vector_norm(exact @ directions, dim=1)
    share = inside / torch.linalg.vector_norm(exact, dim=1)  # 0/0 is NaN
    return np.asarray(share.clamp_max(1).cpu())


def _gram(rows: Float[Tensor, "d_vocab d_model"]) -> Float[Tensor, "d_model d_model"]:
    d = rows.shape[1]
    total = torch.zeros(d, d, dtype=torch.float64, device=rows.device)
    for tile in torch.split(rows, _TILE):
        exact = tile.double()
        total.addmm_(exact.T, exact)
    return total
