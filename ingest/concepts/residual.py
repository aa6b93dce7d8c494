"""What the MLPs of every layer read at the last token of texts (METHODS §1, §4).

Behind a norm whose gain was folded into the weights it is the parameter-free norm of the residual
stream, so that cosines with the preprocessed vectors mean something; else what the MLP is given.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy.typing import NDArray
from torch import Tensor, nn

from ingest.forward import Batch, Forward, batch_tokens, make_batches
from ingest.forward.hooks import MLPHookPoints
from ingest.forward.prefix_cache import compute_norm_divisor
from ingest.interventions.running_model import RunningModel

Streams = Float[Tensor, "texts layers d_model"]


@torch.inference_mode()
def read_last_positions(
    running: RunningModel, token_ids: Sequence[NDArray[np.int64]], *, folded: bool
) -> Streams:
    """Return what each layer's MLP reads at the last position of each text, float32.

    Args:
        running: the model.
        token_ids: of the texts, prefix tokens included.
        folded: whether the norm's gain and bias are in the weights that it is compared with.

    Raises:
        ModelError: when a text is longer than the context, or memory is too small.
    """
    forward = running.forward
    layout, sizes = running.checkpoint.layout, forward.architecture
    norms = [
        block.get_submodule(layout.pre_norm.module) if layout.pre_norm and folded else None
        for block in forward.blocks
    ]
    found = torch.empty(len(token_ids), sizes.n_layers, sizes.d_model)
    for whole in make_batches(token_ids, forward.device, batch_tokens(forward.device)):
        for batch in forward.split_batch(whole):
            _read_batch(forward, norms, batch, found)
    return found


def _read_batch(
    forward: Forward, norms: Sequence[nn.Module | None], batch: Batch, found: Streams
) -> None:
    """Fill in the rows of a batch's texts."""
    rows = torch.arange(len(batch.lengths), device=forward.device)

    def keep(layer: int, norm: nn.Module | None) -> Callable[..., None]:
        def hook(_module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            # OPT has texts and positions in one axis.
            stream = inputs[0].reshape(*batch.token_ids.shape, -1)
            last = stream[rows, batch.lengths - 1].float()
            if norm is not None:
                last = _normalise(norm, last, forward.architecture.norm)
            found[batch.ordinals.cpu(), layer] = last.cpu()

        return hook

    with ExitStack() as stack:
        stack.enter_context(forward.explain_errors(batch))
        for layer, norm in enumerate(norms):
            module = _find_reader(forward, layer) if norm is None else norm
            stack.callback(module.register_forward_pre_hook(keep(layer, norm)).remove)
        forward.decoder(input_ids=batch.token_ids, use_cache=False)


def _find_reader(forward: Forward, layer: int) -> nn.Module:
    """Return the module whose input is what a layer's MLP reads."""
    points = forward.all_hook_points[layer]
    return points.in_.module if isinstance(points, MLPHookPoints) else points.whole


def _normalise(
    norm: nn.Module, stream: Float[Tensor, "texts d_model"], kind: str
) -> Float[Tensor, "texts d_model"]:
    centred = stream - stream.mean(-1, keepdim=True) if kind == "layer" else stream
    return centred / compute_norm_divisor(norm, stream, kind)[:, None]


def subtract_others(
    streams: Streams, of_concept: Int[Tensor, " texts"], others: Streams
) -> Float[Tensor, "layers d_model"]:
    """Return the difference of means that stands for a concept in each layer.

    Args:
        streams: of contexts that end with one of several concepts.
        of_concept: which of them end with this one.
        others: of the same contexts that end with other concepts.
    """
    return streams[of_concept].double().mean(0).sub(others.double().mean(0)).float()
