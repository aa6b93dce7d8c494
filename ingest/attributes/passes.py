"""The model over short texts in several states: clean first, then under each intervention.

A batch is run once clean; the other states begin at the first layer that they touch.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy.typing import NDArray
from torch import Tensor, nn

from ingest.forward import Batch, Forward, batch_tokens, make_batches
from ingest.forward.prefix_cache import PrefixCachedModel
from ingest.interventions import Intervention, intervene


class Pass(NamedTuple):
    """What one state of the model makes of the last token of each of some texts.

    Attributes:
        state: 0 is the clean run, then the interventions in their order.
        texts: places of the texts among those given.
        residual: hook_resid_post of every layer.
        normed: behind the final norm: what the unembedding reads.
    """

    state: int
    texts: NDArray[np.int64]
    residual: Float[Tensor, "layers texts d_model"]
    normed: Float[Tensor, "texts d_model"]


def run_passes(
    forward: Forward, token_ids: Sequence[NDArray[np.int64]], states: Sequence[Intervention]
) -> Iterator[Pass]:
    """Yield a pass for every state and batch of texts, the clean one of a batch first.

    Raises:
        ModelError: when a batch does not fit in memory.
    """
    for full_batch in make_batches(token_ids, forward.device, batch_tokens(forward.device)):
        for batch in forward.split_batch(full_batch):
            yield from _run_batch(forward, batch, states)


def _run_batch(forward: Forward, batch: Batch, states: Sequence[Intervention]) -> Iterator[Pass]:
    cached_model, texts = PrefixCachedModel(forward), batch.ordinals.cpu().numpy()
    with _residual_hooks(forward, batch) as residuals:
        clean = cached_model.run_clean(batch, {state.layers[0] for state in states})
    residual = torch.stack(residuals)
    yield Pass(0, texts, residual, _last(clean.stream.normed, batch.lengths))
    for number, state in enumerate(states, start=1):
        first = state.layers[0]
        with intervene(forward, state), _residual_hooks(forward, batch) as residuals:
            stream = cached_model.run_from(clean, first)
        # In front of the first layer that it touches a state is as the clean run.
        changed = torch.cat([residual[:first], torch.stack(residuals)[first:]])
        yield Pass(number, texts, changed, _last(stream.normed, batch.lengths))


@contextmanager
def _residual_hooks(
    forward: Forward, batch: Batch
) -> Iterator[list[Float[Tensor, "texts d_model"]]]:
    """Collect what each layer puts out at the last token of every text, while open."""
    residuals: list[Tensor] = []

    def keep(_module: nn.Module, _inputs: object, output: Any) -> None:
        # Some families' layers put out a tuple, the residual stream first.
        stream: Tensor = output[0] if isinstance(output, tuple) else output
        residuals.append(_last(stream, batch.lengths))

    with ExitStack() as stack:
        for block in forward.blocks:
            stack.callback(block.register_forward_hook(keep).remove)
        yield residuals


def _last(
    values: Float[Tensor, "texts positions width"], lengths: Int[Tensor, " texts"]
) -> Float[Tensor, "texts width"]:
    return values[torch.arange(len(values), device=values.device), lengths - 1]
