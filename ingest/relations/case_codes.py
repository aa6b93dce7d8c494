"""Which sign case each activation is in, as one small integer a value.

Several relations split what neurons do by sign case: at each token a gated neuron is in one of the
four of METHODS §5, an ungated one in `in+` or `in-`, and in none where a gate or an `in` is exactly
0. The cases are in canonical sign, so that those of two checkpoints can be compared by name.
"""

from __future__ import annotations

from typing import Final

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ingest.activations.reduction import GATED, UNGATED
from ingest.activations.reduction.quantities import compute_canonical_values, mask_sign_cases
from ingest.forward import MLPActivations

NO_CASE: Final = -2
"""The code of a value in no case: a gate or an `in` is exactly 0, or not a number."""


def encode_cases(
    activations: MLPActivations, sign: Float[Tensor, " neurons"]
) -> Int[Tensor, "*places neurons"]:
    """Return the code of the sign case of each activation, by `neurondb.schema.codes.SIGN_CASES`.

    Args:
        activations: in the model's own sign, neurons on their last axis.
        sign: canonical signs of the neurons (METHODS §1); those without a gate have no others.

    Returns:
        int8, of the shape of `activations.post`; NO_CASE where no case holds.
    """
    kind = UNGATED if activations.gate is None else GATED
    values = compute_canonical_values(activations, sign)
    everywhere = torch.ones((), dtype=torch.bool, device=activations.post.device)
    cases = torch.full_like(activations.post, NO_CASE, dtype=torch.int8)
    for case, holds in zip(kind.cases, mask_sign_cases(kind, values, everywhere), strict=True):
        cases.masked_fill_(holds, case)
    return cases
