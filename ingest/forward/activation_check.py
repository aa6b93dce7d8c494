"""What `Forward` sees of a running model, compared with what an independent reference sees.

That is TransformerLens' bridge or, of a mixture of experts, on whose experts it has no hooks,
transformers' own pass with every neuron computed from what its MLP reads.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ingest.forward.batching import Batch
from ingest.forward.experts import ExpertActivations
from ingest.forward.hooks import MLPActivations
from ingest.forward.mixture_reference import ExpectedLayer, MixtureReference
from ingest.forward.model import Forward
from ingest.forward.open_model import OpenModel
from ingest.forward.transformer_lens_reference import Bridge
from neurondb.contracts.progress import Progress
from neurondb.errors import IngestError
from neurondb.experts import Experts

ACTIVATION_TOLERANCE: Final = 1e-4
"""By how much an activation in float32 may differ, relative to its layer's root mean square."""


class Difference(NamedTuple):
    """The largest difference of one hook of a layer, in units of its root mean square there."""

    layer: int
    hook: str
    size: float


def compare_activations(opened: OpenModel, batch: Batch, progress: Progress) -> str:
    """Run a model on a batch, here and in the reference, and return in a line how near they are.

    Raises:
        ModelError: When it cannot be loaded to run.
        IngestError: When an activation differs by more than 1e-4 of its layer's rms, or a token is
            routed to other experts.
    """
    checkpoint, device, dtype = opened.checkpoint, opened.device, opened.dtype
    experts = checkpoint.architecture.experts
    comparison: BridgeComparison | MixtureComparison
    with progress.stage("activations", 2, "runs") as advance:
        # One after the other, so that the memory holds the weights once.
        if experts is None:
            bridge = Bridge(checkpoint, device, dtype)
            comparison = BridgeComparison(bridge.compute_activations(batch))
            of, what = "TransformerBridge's", "TransformerBridge's hooks"
        else:
            reference = MixtureReference(checkpoint, device, dtype)
            comparison = MixtureComparison(reference.compute_activations(batch), experts)
            of = "transformers' own"
            what = f"{of}, and so are the experts of every token,"
            del reference
        advance(1)
        Forward(checkpoint, device, dtype).run(batch, [comparison])
        advance(1)
    furthest = max(comparison.differences, key=lambda difference: difference.size)
    if furthest.size > ACTIVATION_TOLERANCE:
        raise IngestError(
            f"{checkpoint.path}: {furthest.hook} of layer {furthest.layer} differs from {of} by"
            f" {furthest.size:.2g} of its root mean square; no activation of this model can be"
            " trusted: report this as a bug of NeuronDB"
        )
    return (
        f"activations: equal to {what} within {furthest.size:.1e} of their layer's root mean square"
    )


class BridgeComparison:
    """Compares the layers of a forward pass with what the bridge saw of them."""

    def __init__(self, expected: list[MLPActivations]) -> None:
        self.layers = range(len(expected))
        self.differences: list[Difference] = []
        self._expected = expected

    def consume(self, _batch: Batch, layer: int, activations: MLPActivations) -> None:
        """Compare a layer."""
        for (hook, seen), (_, expected) in zip(
            _by_hook(activations), _by_hook(self._expected[layer]), strict=True
        ):
            self.differences.append(Difference(layer, hook, _measure(seen, expected, expected)))


class MixtureComparison:
    """Compares the layers of a mixture of experts, each expert on the tokens it is to have."""

    def __init__(self, expected: list[ExpectedLayer], experts: Experts) -> None:
        self.layers = range(len(expected))
        self.differences: list[Difference] = []
        self._expected = expected
        self._slices = experts.list_slices()
        self._shared = experts.n_routed

    def consume(self, _batch: Batch, layer: int, activations: MLPActivations) -> None:
        """Compare a layer that is not divided."""
        expected = self._expected[layer]
        found = zip(_by_hook(activations), expected[:3], strict=True)
        for (hook, seen), wanted in found:
            size = _measure(seen.flatten(0, 1), wanted, wanted)
            self.differences.append(Difference(layer, hook, size))

    def consume_expert(self, _batch: Batch, layer: int, activations: ExpertActivations) -> None:
        """Compare an expert: which tokens it has, and what its neurons do on them."""
        expected, expert = self._expected[layer], activations.expert
        assert expected.chosen is not None
        is_routed = (expected.chosen == expert).any(1) | (expert == self._shared)
        wanted_tokens = is_routed.nonzero()[:, 0]
        if not torch.equal(wanted_tokens.cpu(), activations.token.cpu()):
            self.differences.append(Difference(layer, f"the routing to expert {expert}", np.inf))
            return
        seen = (activations.gate, activations.in_, activations.post)
        hooks = ("hook_pre", "hook_pre_linear", "hook_post")
        for hook, values, of_layer in zip(hooks, seen, expected[:3], strict=True):
            wanted = of_layer[activations.token][:, self._slices[expert]]
            self.differences.append(Difference(layer, hook, _measure(values, wanted, of_layer)))


def _by_hook(activations: MLPActivations) -> Iterator[tuple[str, Tensor]]:
    if activations.gate is None:
        yield "hook_pre", activations.in_
    else:
        yield "hook_pre", activations.gate
        yield "hook_pre_linear", activations.in_
    yield "hook_post", activations.post


def _measure(seen: Tensor, expected: Tensor, of_layer: Tensor) -> float:
    """Return the largest difference in units of the layer's root mean square."""
    if not seen.numel():
        return 0.0
    rms = of_layer.double().square().mean().sqrt()
    largest = (seen.double() - expected.double()).abs().max()
    size = float(largest / rms.clamp_min(torch.finfo(torch.float32).tiny))
    # A NaN is beyond every tolerance; as such it would pass for the smallest difference.
    return np.inf if np.isnan(size) else size
