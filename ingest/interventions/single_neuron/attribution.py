"""First-order estimates of what intervening on each neuron alone does: activation × gradient.

Of every neuron at once, Σ over tokens of (post − what it would be set to) · ∂m/∂post, m the sum of
a metric over the counted tokens: the linear part of m(clean) − m(ablated). One forward pass, and
one backward pass a metric, however many interventions there are: under another condition the
gradient is the same, and only the tokens that are summed differ.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from itertools import islice
from typing import Final

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor, nn

from ingest.families.layout import Matrix
from ingest.forward import Batch, Forward, make_batches
from ingest.forward.hooks import ExpertHookPoints, MLPHookPoints
from ingest.interventions.hooks import Intervention
from ingest.interventions.metrics import CountedTokens
from ingest.interventions.single_neuron.branch_pass import compute_post_change
from ingest.interventions.single_neuron.expert_layer import ExpertProbe
from ingest.interventions.targets import Targets
from neurondb.interventions import ESTIMATED_METRICS, Condition

BATCH_TOKENS: Final = {"cpu": 2048, "cuda": 4096}
"""Places of a batch: all that the backward pass reads exists at once."""

NeuronSums = NDArray[np.float64]


class Attributor:
    """Estimates effects of neurons over texts.

    Args:
        forward: The model; its weights get no gradients.
        token_ids: The token ids of each text.
        skip_bos: Whether first positions are left out of the counts.
        metrics: The metrics to measure, of `ESTIMATED_METRICS`.
    """

    def __init__(
        self,
        forward: Forward,
        token_ids: Sequence[NDArray[np.int64]],
        *,
        skip_bos: bool,
        metrics: Sequence[str] = ESTIMATED_METRICS[:1],
    ) -> None:
        self._forward = forward
        self._skip_bos = skip_bos
        self.metrics = tuple(metrics)
        max_tokens = BATCH_TOKENS.get(forward.device.type, BATCH_TOKENS["cpu"])
        full_batches = make_batches(token_ids, torch.device("cpu"), max_tokens)
        self._batches = [part for batch in full_batches for part in forward.split_batch(batch)]

    def run(
        self, interventions: Sequence[Intervention], advance: Callable[[int], None]
    ) -> Float[np.ndarray, "interventions metrics neurons"]:
        """Return the estimated mean of clean − ablated of each neuron alone.

        Args:
            interventions: What hook_post would be set to, and where: of the same neurons.
            advance: Called with the number of tokens that were just finished.

        Raises:
            ModelError: A text is longer than the context, or a batch does not fit in memory.
        """
        on_device = [intervention.to(self._forward.device) for intervention in interventions]
        targets = on_device[0].targets
        layers = sorted(targets)
        widths = [len(targets[layer].neurons) for layer in layers]
        sums = np.zeros((len(interventions), len(self.metrics), sum(widths)))
        n = np.zeros(len(self.metrics), dtype=np.int64)
        with _frozen(self._forward.model):
            for batch in self._batches:
                layer_sums, n_counted = self._batch(batch, on_device)
                sums += np.concatenate([layer_sums[layer] for layer in layers], axis=2)
                n += n_counted
                advance(batch.n_tokens)
        with np.errstate(divide="ignore", invalid="ignore"):
            return sums / n[:, None]

    def _batch(
        self, batch: Batch, interventions: Sequence[Intervention]
    ) -> tuple[dict[int, NeuronSums], NDArray[np.int64]]:
        batch = batch.to(self._forward.device)
        probes = {
            layer: self._make_probe(interventions, layer) for layer in interventions[0].targets
        }
        n_texts, n_positions = batch.token_ids.shape
        with self._forward.explain_errors(batch), torch.enable_grad(), ExitStack() as stack:
            for layer, probe in probes.items():
                probe.watch(stack, self._forward.all_hook_points[layer], (n_texts, n_positions))
            logits = self._forward.model(input_ids=batch.token_ids, use_cache=False).logits
            totals, counted = self._totals(logits, batch)
            leaves = [leaf for probe in probes.values() for leaf in probe.leaves]
            products: dict[int, list[NeuronSums]] = {layer: [] for layer in probes}
            for i, total in enumerate(totals):
                more = i + 1 < len(totals)
                gradients = iter(torch.autograd.grad(total, leaves, retain_graph=more))
                for layer, probe in probes.items():
                    own = list(islice(gradients, len(probe.leaves)))
                    products[layer].append(probe.products(own))
        return {layer: np.stack(rows, axis=1) for layer, rows in products.items()}, counted

    def _make_probe(
        self, interventions: Sequence[Intervention], layer: int
    ) -> _LayerProbe | _ExpertLayerProbe:
        sizes = self._forward.architecture
        if sizes.experts is None or not sizes.is_divided(layer):
            return _LayerProbe(interventions, layer)
        return _ExpertLayerProbe(interventions, layer, sizes.experts)

    def _totals(self, logits: Tensor, batch: Batch) -> tuple[list[Tensor], NDArray[np.int64]]:
        """Return the sum of each metric over the tokens that have it, and how many these are."""
        counted = CountedTokens.from_batch(batch, skip_bos=self._skip_bos)
        next_token = counted.next_token
        float_logits = logits[counted.mask]
        float_logits = float_logits if float_logits.dtype == torch.float64 else float_logits.float()
        log_p = float_logits.log_softmax(-1)
        has_next = next_token >= 0
        by_name = {
            "loss": lambda: (
                -log_p[has_next].gather(1, next_token[has_next, None]).sum(),
                int(has_next.sum()),
            ),
            "entropy": lambda: (
                # A logit of −inf has no probability, and nothing times −inf is no number.
                -(log_p.exp() * log_p.clamp(min=-1e30)).sum(),
                len(next_token),
            ),
        }
        totals, numbers = zip(*(by_name[metric]() for metric in self.metrics), strict=True)
        return list(totals), np.array(numbers)


class _LayerProbe:
    """One layer during one pass: its hook_post, and a zero added to it that takes the gradient."""

    def __init__(self, interventions: Sequence[Intervention], layer: int) -> None:
        self._done = [(one.targets[layer], one.condition) for one in interventions]
        self._neurons = self._done[0][0].neurons
        self._gate: Tensor | None = None
        self._post: Tensor | None = None
        self._zero: Tensor | None = None

    @property
    def leaves(self) -> list[Tensor]:
        """What gradients are taken by."""
        return [] if self._zero is None else [self._zero]

    def watch(
        self,
        stack: ExitStack,
        hook_points: MLPHookPoints | ExpertHookPoints,
        _shape: tuple[int, int],
    ) -> None:
        """Record the layer's activations in passes that are run while `stack` is open."""
        assert isinstance(hook_points, MLPHookPoints)
        if any(condition.gate for _, condition in self._done):
            assert hook_points.gate is not None
            keep = self._gate_keeper(hook_points.gate.matrix)
            stack.callback(hook_points.gate.module.register_forward_hook(keep).remove)
        stack.callback(hook_points.out.module.register_forward_pre_hook(self._probe).remove)

    def _gate_keeper(self, matrix: Matrix) -> Callable[..., None]:
        def keep(_module: nn.Module, _inputs: object, output: Tensor) -> None:
            self._gate = matrix.select_part(output.detach()).index_select(-1, self._neurons)

        return keep

    def _probe(self, _module: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        post = inputs[0]
        self._post = post.detach().index_select(-1, self._neurons)
        self._zero = torch.zeros_like(post, requires_grad=True)
        return (post + self._zero, *inputs[1:])

    def products(self, gradients: Sequence[Tensor]) -> NeuronSums:
        """Return, for each intervention and neuron, Σ over tokens of (post − target) × gradient."""
        assert self._post is not None
        (gradient,) = gradients
        chosen = gradient.index_select(-1, self._neurons)
        return _sum_products(self._post, self._gate, chosen, self._done)


class _ExpertLayerProbe(ExpertProbe):
    """The same of a layer of experts: a neuron has a gradient at the tokens routed to it."""

    def products(self, gradients: Sequence[Tensor]) -> NeuronSums:
        """Return what `_LayerProbe.products` does; gradients include the experts' weights."""
        sums = np.zeros((len(self.done), len(self.done[0][0].neurons)))
        for part in self.list_parts(gradients):
            places, post, gate, gradient, done = part
            sums[:, places.cpu().numpy()] = _sum_products(post, gate, gradient, done)
        return sums


def _sum_products(
    post: Tensor,
    gate: Tensor | None,
    gradient: Tensor,
    done: Sequence[tuple[Targets, Condition]],
) -> NeuronSums:
    wide = torch.promote_types(gradient.dtype, torch.float32)
    gradient = gradient.to(wide)
    sums = []
    for targets, condition in done:
        change = compute_post_change(post, gate, targets, condition)
        sums.append((-change.to(wide) * gradient).flatten(0, -2).sum(0))
    summed: NeuronSums = torch.stack(sums).cpu().double().numpy()
    return summed


@contextmanager
def _frozen(model: nn.Module) -> Iterator[None]:
    """While open, no weight takes a gradient."""
    needed_before = [parameter.requires_grad for parameter in model.parameters()]
    model.requires_grad_(False)
    try:
        yield
    finally:
        for parameter, needed in zip(model.parameters(), needed_before, strict=True):
            parameter.requires_grad_(needed)
