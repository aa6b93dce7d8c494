"""Neurons of experts are given other activations: only where a token is routed to their expert.

What an expert's neurons write reaches the residual stream times the router's weight, so that a
neuron that is set to a value at a token which is not routed to its expert changes nothing there.
An intervention may change which experts later layers choose; that is a part of its effect.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace

from jaxtyping import Int
from torch import Tensor

from ingest.forward.experts import ExpertActivations
from ingest.forward.hooks import ExpertHookPoints
from ingest.interventions.targets import Targets
from neurondb.experts import Experts

SetPost = Callable[[Tensor, Tensor, Targets], Tensor]
"""Returns hook_post with the targets set, given it and the targets' x_gate."""


def split_targets(targets: Targets, experts: Experts) -> dict[int, Targets]:
    """Return targets of a layer by expert, numbered among the expert's neurons."""
    by_expert = {}
    for expert, neurons in enumerate(experts.list_slices()):
        chosen = (targets.neurons >= neurons.start) & (targets.neurons < neurons.stop)
        if chosen.any():
            by_expert[expert] = Targets(
                targets.neurons[chosen] - neurons.start,
                targets.signs[chosen],
                targets.values[..., chosen],
            )
    return by_expert


@contextmanager
def change_routed(
    points: ExpertHookPoints, by_expert: Mapping[int, Targets], set_post: SetPost
) -> Iterator[None]:
    """Change what a layer's routed experts write, as long as this is open.

    Args:
        points: The layer's modules.
        by_expert: The targets of its experts; those of the shared one do not count here.
        set_post: What is done to hook_post.
    """

    def change(activations: ExpertActivations) -> None:
        targets = by_expert.get(activations.expert)
        if targets is None or not len(activations.token):
            return
        at_tokens = _select_rows(targets, activations.token, activations.n_tokens)
        gate = activations.gate.index_select(-1, targets.neurons)
        activations.post.copy_(set_post(activations.post, gate, at_tokens))

    with ExitStack() as stack:
        stack.enter_context(points.routed.receive(change))
        yield


def _select_rows(targets: Targets, token: Int[Tensor, " routed"], n_tokens: int) -> Targets:
    """Return targets with the values of each token's text, where every text has its own."""
    if targets.values.ndim == 1:
        return targets
    text = token * len(targets.values) // n_tokens
    return replace(targets, values=targets.values[text])
