"""A pass branches off at one neuron: what is clean before it is not run again.

One neuron's change at layer k is a multiple of its `out` vector, added to what the layer's `out`
module writes. Up to there all is clean: the prefix cache stands in for the blocks before k and for
the attention of block k, and here a layer cache does for the MLP's matrices. What follows is the
model's own code, norms behind the MLP, multipliers and parallel attention included, so that no
family needs its own formula.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from ingest.families.layout import Matrix
from ingest.forward import Batch
from ingest.forward.hooks import MLPHookPoints
from ingest.forward.prefix_cache import CleanPass, PrefixCachedModel, Stream, fix_output, take_texts
from ingest.interventions.condition_mask import mask_untouched
from ingest.interventions.hooks import Intervention
from ingest.interventions.single_neuron.expert_layer import ExpertLayerCache, gather_out_vectors
from ingest.interventions.targets import Targets
from neurondb.interventions import Condition


@dataclass
class LayerCache:
    """The activations of one layer that the clean pass leaves to branches.

    Attributes:
        inputs: The modules of the MLP's input matrices, each with a sliver of its output.
        written: The output of the `out` module.
        post: hook_post of the chosen neurons, in the model's own sign.
        gate: hook_pre of the chosen neurons, if a condition asks for it.
    """

    inputs: list[tuple[nn.Module, Tensor]] = field(default_factory=list)
    written: Float[Tensor, "*places d_model"] | None = None
    post: Float[Tensor, "*places chosen"] | None = None
    gate: Float[Tensor, "*places chosen"] | None = None


@dataclass(frozen=True)
class BranchPoint:
    """Where the branches of one layer leave a clean pass.

    Attributes:
        clean: The pass.
        layer: The layer whose neurons are changed.
        cache: The activations of the pass at that layer.
        change: By how much hook_post of each chosen neuron changes, in the model's own sign; of an
            expert, times its weight at the token.
        vectors: The chosen neurons' `out`, as the module has them.
    """

    clean: CleanPass
    layer: int
    cache: LayerCache | ExpertLayerCache
    change: Float[Tensor, "texts positions chosen"]
    vectors: Float[Tensor, "chosen d_model"]


@torch.inference_mode()
def run_clean_pass(
    cached_model: PrefixCachedModel, batch: Batch, intervention: Intervention
) -> tuple[CleanPass, list[BranchPoint]]:
    """Run a batch clean, and return where branches leave it: one branch point a layer.

    Args:
        cached_model: The model.
        batch: One of `Forward.split_batch`.
        intervention: What is done to each neuron alone; it sets hook_post.

    Raises:
        ModelError: as `PrefixCachedModel.run_clean` does.
    """
    caches: dict[int, LayerCache | ExpertLayerCache] = {}
    forward, (n_texts, n_positions) = cached_model.forward, batch.token_ids.shape
    with ExitStack() as stack:
        for layer in intervention.layers:
            points = forward.all_hook_points[layer]
            if isinstance(points, MLPHookPoints):
                caches[layer] = _cache_layer(stack, points, layer, intervention)
                continue
            experts, neurons = forward.architecture.experts, intervention.targets[layer].neurons
            assert experts is not None
            caches[layer] = ExpertLayerCache(
                stack, points, experts, neurons, (n_texts, n_positions)
            )
        clean = cached_model.run_clean(batch, intervention.layers)
    return clean, [
        _branch_point(cached_model, clean, intervention, *item) for item in caches.items()
    ]


def _branch_point(
    cached_model: PrefixCachedModel,
    clean: CleanPass,
    intervention: Intervention,
    layer: int,
    cache: LayerCache | ExpertLayerCache,
) -> BranchPoint:
    targets = intervention.targets[layer]
    assert cache.post is not None
    changed = compute_post_change(cache.post, cache.gate, targets, intervention.condition)
    points = cached_model.forward.all_hook_points[layer]
    if isinstance(points, MLPHookPoints):
        vectors = points.read_out().index_select(0, targets.neurons)
    else:
        experts = cached_model.forward.architecture.experts
        assert experts is not None
        assert isinstance(cache, ExpertLayerCache)
        changed = cache.scale_change(changed)
        vectors = gather_out_vectors(points, experts, targets.neurons)
    return BranchPoint(clean, layer, cache, _unpadded(changed, clean.batch), vectors)


@torch.inference_mode()
def run_branch(
    cached_model: PrefixCachedModel,
    point: BranchPoint,
    texts: Int[Tensor, " rows"],
    neuron_index: Int[Tensor, " rows"],
) -> Stream:
    """Run some texts from a branch point on, each with one neuron changed.

    Args:
        cached_model: The model.
        point: Where the branches leave the clean pass.
        texts: Row of the batch, of each row of the pass.
        neuron_index: Which of the chosen neurons is changed, for each row of the pass.
    """
    cache, clean = point.cache, point.clean
    assert cache.written is not None
    n_texts, n_positions = clean.batch.token_ids.shape
    written = cache.written.reshape(n_texts, n_positions, -1).index_select(0, texts)
    written = (
        written
        + point.change[texts, :, neuron_index][..., None] * point.vectors[neuron_index][:, None]
    )
    points = cached_model.forward.all_hook_points[point.layer]
    with ExitStack() as stack:
        if isinstance(cache, ExpertLayerCache):
            assert not isinstance(points, MLPHookPoints)
            stack.enter_context(fix_output([points.whole], cache.wrap(written)))
        else:
            assert isinstance(points, MLPHookPoints)
            for module, output in cache.inputs:
                stack.enter_context(fix_output([module], output))
            flat = written.reshape(-1, *cache.written.shape[-1:])
            is_flat = cache.written.ndim == 2
            stack.enter_context(fix_output([points.out.module], flat if is_flat else written))
        return cached_model.run_from(take_texts(clean, point.layer, texts), point.layer)


def _cache_layer(
    stack: ExitStack, hook_points: MLPHookPoints, layer: int, intervention: Intervention
) -> LayerCache:
    """Return a cache that the next pass fills while `stack` is open."""
    cache = LayerCache()
    neurons = intervention.targets[layer].neurons
    inputs = {
        id(hook_point.module): hook_point.module
        for hook_point in (hook_points.gate, hook_points.in_)
        if hook_point is not None
    }

    def keep_sliver(module: nn.Module, _inputs: object, output: Tensor) -> None:
        # What is made of it goes into `out`, which stands still and looks at nothing.
        cache.inputs.append((module, output[(slice(0, 1),) * (output.ndim - 1)].clone()))

    def keep_post(_module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        cache.post = inputs[0].index_select(-1, neurons)

    def keep_written(_module: nn.Module, _inputs: object, output: Tensor) -> None:
        cache.written = output

    for module in inputs.values():
        stack.callback(module.register_forward_hook(keep_sliver).remove)
    if intervention.condition.gate:
        assert hook_points.gate is not None
        keep_gate = _gate_keeper(cache, hook_points.gate.matrix, neurons)
        stack.callback(hook_points.gate.module.register_forward_hook(keep_gate).remove)
    stack.callback(hook_points.out.module.register_forward_pre_hook(keep_post).remove)
    stack.callback(hook_points.out.module.register_forward_hook(keep_written).remove)
    return cache


def _gate_keeper(cache: LayerCache, matrix: Matrix, neurons: Tensor) -> Callable[..., None]:
    def keep(_module: nn.Module, _inputs: object, output: Tensor) -> None:
        cache.gate = matrix.select_part(output).index_select(-1, neurons)

    return keep


def compute_post_change(
    post: Float[Tensor, "*places chosen"],
    gate: Float[Tensor, "*places chosen"] | None,
    targets: Targets,
    condition: Condition,
) -> Float[Tensor, "*places chosen"]:
    """Return by how much hook_post of each chosen neuron changes, in the model's own sign.

    0 where a neuron stays as it is (`condition_mask`).
    """
    target = (targets.values * targets.signs).to(post.dtype).expand_as(post)
    untouched = mask_untouched(target, post, gate, targets.signs, condition)
    return (target - post).masked_fill(untouched, 0.0)


def _unpadded(values: Tensor, batch: Batch) -> Float[Tensor, "texts positions chosen"]:
    """Give values texts and positions as two axes (OPT has one), with 0 at padding."""
    by_text = values.reshape(*batch.token_ids.shape, -1)
    positions = torch.arange(by_text.shape[1], device=by_text.device)
    return by_text.masked_fill((positions >= batch.lengths[:, None])[..., None], 0.0)
