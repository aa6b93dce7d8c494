"""A condition on signs, such as `gate-_post+`, becomes a mask over tokens and neurons (METHODS §6).

A condition asks for a sign of hook_pre (the gate), of hook_post, or of both. A neuron is set only
at the tokens at which it has these signs in the run that is intervened in. hook_post is taken in
canonical sign, and every inequality is strict, so that an activation of exactly zero has no sign.
`neurondb.interventions.Condition` reads the expression; the hooks of a whole set
(`ingest.interventions.hooks`) and of one neuron at a time
(`ingest.interventions.single_neuron.branch_pass`) use the mask.
"""

from __future__ import annotations

from jaxtyping import Bool, Float
from torch import Tensor

from neurondb.interventions import Condition


def mask_untouched(
    target: Float[Tensor, "*places chosen"],
    post: Float[Tensor, "*places chosen"],
    gate: Float[Tensor, "*places chosen"] | None,
    signs: Float[Tensor, " chosen"],
    condition: Condition,
) -> Bool[Tensor, "*places chosen"]:
    """Return where neurons stay as they are: True where the condition does not hold.

    Args:
        target: The value for each neuron; NaN leaves it as it is, whatever the condition.
        post: hook_post in the model's own sign.
        gate: hook_pre; None where the condition does not ask for its sign.
        signs: Canonical signs of the neurons, 1 or −1.
        condition: The signs that hook_pre and hook_post must have; 0 is any.
    """
    untouched = target.isnan()
    if condition.gate:
        assert gate is not None
        untouched = untouched | ~(gate * condition.gate > 0)
    if condition.post:
        untouched = untouched | ~(post * (signs * condition.post).to(post.dtype) > 0)
    return untouched
