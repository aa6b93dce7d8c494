"""One pass over a text that keeps what every module adds to the residual stream.

What attention, MLPs and the embedding write is read at their own modules, each for itself, so that
it is a finding, not a definition, that they add up to what the final norm reads.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any, Final

import torch
from torch import Tensor, nn

from ingest.families.layout import Layout, Matrix
from ingest.forward import Batch, Forward
from ingest.forward.experts import ExpertActivations
from ingest.forward.hooks import MLPHookPoints, hook_experts
from ingest.forward.prefix_cache import ATTENTION
from ingest.interventions.explaining.layer_record import ExpertRecord, LayerRecord, Stream
from neurondb.errors import ModelError

WRITES: Final = ("o_proj", "out_proj", "dense", "c_proj")
"""What the families call the last module of an attention, which writes what it adds."""
ATTENTION_NORM: Final = "post_attention_layernorm"
"""The norm behind an attention, in families that also have one behind the MLP."""


@dataclass
class PassRecord:
    """What one pass did at every position of one text.

    Attributes:
        layers: a record each.
        embedded: what enters the first layer.
        stream: what the final norm reads, or what leaves the last layer where there is none.
        normed: what the unembedding reads; it has a gradient where one is taken.
    """

    layers: list[LayerRecord]
    embedded: Stream | None = None
    stream: Stream | None = None
    normed: Stream | None = field(default=None)


def record_pass(
    forward: Forward,
    layout: Layout,
    batch: Batch,
    shown: Sequence[int],
    *,
    with_gradient: bool = False,
) -> PassRecord:
    """Run a text, and keep what is added to the residual stream.

    Args:
        forward: the model.
        layout: of its family.
        batch: one text.
        shown: the positions of which gate and in are kept.
        with_gradient: let `normed` be derived by every layer's `probe`.

    Raises:
        ModelError: when the text is longer than the context or does not fit in memory, or a
            module is not where its family has it.
    """
    found = PassRecord([LayerRecord() for _ in forward.blocks])
    rows = torch.tensor(shown, device=forward.device)
    with ExitStack() as stack:
        stack.enter_context(forward.explain_errors(batch))
        stack.enter_context(torch.enable_grad() if with_gradient else torch.inference_mode())
        stack.callback(
            forward.blocks[0]
            .register_forward_pre_hook(_keep_embedded(found), with_kwargs=True)
            .remove
        )
        for layer, record in enumerate(found.layers):
            points = forward.all_hook_points[layer]
            if isinstance(points, MLPHookPoints):
                _watch_mlp(stack, points, record, rows, with_gradient=with_gradient)
            else:
                size = batch.token_ids.shape[1]
                watch = _ExpertWatch(forward, record, rows, with_gradient=with_gradient)
                stack.enter_context(hook_experts(points, (1, size), watch.receive))
            attention = _attention_output(forward.blocks[layer], layout)
            stack.callback(attention.register_forward_hook(_keep(record, "attended")).remove)
        if forward.final_norm is not None:
            stack.callback(forward.final_norm.register_forward_pre_hook(_keep_stream(found)).remove)
        decoded = forward.decoder(input_ids=batch.token_ids, use_cache=False)
        found.normed = decoded.last_hidden_state[0]
    if found.stream is None:
        found.stream = found.normed.detach()
    return found


def _keep_embedded(found: PassRecord) -> Callable[..., None]:
    def keep(_module: nn.Module, args: tuple[Tensor, ...], kwargs: dict[str, Any]) -> None:
        found.embedded = _rows(args[0] if args else kwargs["hidden_states"])

    return keep


def _keep_stream(found: PassRecord) -> Callable[..., None]:
    def keep(_module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        found.stream = _rows(inputs[0])

    return keep


def _keep(record: LayerRecord, name: str) -> Callable[..., None]:
    def hook(_module: nn.Module, _inputs: object, output: Tensor) -> None:
        setattr(record, name, _rows(output))

    return hook


def _keep_part(record: LayerRecord, name: str, matrix: Matrix, rows: Tensor) -> Callable[..., None]:
    def hook(_module: nn.Module, _inputs: object, output: Tensor) -> None:
        values = _rows(matrix.select_part(output))
        whole = len(rows) == len(values)
        setattr(record, name, values if whole else values.index_select(0, rows))

    return hook


def _watch_mlp(
    stack: ExitStack,
    places: MLPHookPoints,
    record: LayerRecord,
    rows: Tensor,
    *,
    with_gradient: bool,
) -> None:
    def probe(_module: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...] | None:
        record.post = _rows(inputs[0])
        if not with_gradient:
            return None
        record.probe = torch.zeros_like(inputs[0], requires_grad=True)
        return (inputs[0] + record.probe, *inputs[1:])

    for name, place in (("gate", places.gate), ("in_", places.in_)):
        if place is not None:
            keep = _keep_part(record, name, place.matrix, rows)
            stack.callback(place.module.register_forward_hook(keep).remove)
    stack.callback(places.out.module.register_forward_pre_hook(probe).remove)
    stack.callback(places.out.module.register_forward_hook(_keep(record, "written")).remove)


class _ExpertWatch:
    """Keeps what the experts of one layer do."""

    def __init__(
        self, forward: Forward, record: LayerRecord, rows: Tensor, *, with_gradient: bool
    ) -> None:
        experts = forward.architecture.experts
        assert experts is not None
        self._neurons = experts.list_slices()
        self._record = record
        self._rows = rows
        self._with_gradient = with_gradient

    def receive(self, activations: ExpertActivations) -> None:
        """Keep one expert; a probe is added to what it goes on with."""
        neurons = self._neurons[activations.expert]
        kept = ExpertRecord.from_activations(activations, neurons, self._rows)
        self._record.experts.append(kept)
        if self._with_gradient:
            kept.probe = torch.zeros_like(kept.post, requires_grad=True)
            activations.post.add_(kept.probe)


def _attention_output(block: nn.Module, layout: Layout) -> nn.Module:
    """Return the module of a layer that puts out what its attention adds to the stream."""
    children = dict(block.named_children())
    if layout.post_norm is not None and ATTENTION_NORM in children:
        return children[ATTENTION_NORM]
    attention = next((children[name] for name in ATTENTION if name in children), block)
    last = dict(attention.named_children())
    found = next((last[name] for name in WRITES if name in last), None)
    if found is None:
        raise ModelError(
            f"model_type '{layout.architecture.model_type}': the module is not known that writes"
            " what attention adds; report this as a bug of NeuronDB"
        )
    return found


def _rows(values: Tensor) -> Tensor:
    """Return a text's positions as rows, whether or not there is an axis of texts (OPT)."""
    return values.detach().reshape(-1, values.shape[-1])
