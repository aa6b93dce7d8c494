"""A model that runs over batches and hands out its MLP activations as they come."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from functools import partial
from typing import Any, Protocol, cast

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from ingest.checkpoint.reader import Architecture, Checkpoint
from ingest.families.layout import Layout
from ingest.forward.batching import Batch
from ingest.forward.experts import ExpertActivations
from ingest.forward.hooks import (
    ExpertHookPoints,
    MLPActivations,
    MLPHookPoints,
    find_hook_points,
    hook_activations,
    hook_experts,
)
from ingest.forward.loading import load_model
from ingest.forward.spread import find_computing_device
from ingest.forward.weights_check import refuse_other_weights
from neurondb.errors import ModelError
from neurondb.spelling import option


class Consumer(Protocol):
    """Something that a forward pass feeds."""

    @property
    def layers(self) -> Collection[int]:
        """The layers whose activations it takes."""
        ...

    def consume(self, batch: Batch, layer: int, activations: MLPActivations) -> None:
        """Take a wanted layer's activations, which are gone afterwards and not to be written to."""
        ...


class ExpertConsumer(Consumer, Protocol):
    """Something that a forward pass of a mixture of experts feeds."""

    def consume_expert(self, batch: Batch, layer: int, activations: ExpertActivations) -> None:
        """Take what one expert of a wanted layer did; gone afterwards, not to be written to."""
        ...


class _PassEnded(Exception):  # noqa: N818
    """No error: raised in a hook, it ends a forward pass; it never leaves `Forward.run`."""


class Forward:
    """A model that is ready to run.

    Args:
        checkpoint: the checkpoint whose files are loaded.
        device: the device to run on.
        dtype: the precision of weights and activations.
        device_map: how the model is spread over several devices; None is on the one.

    Raises:
        ModelError: when the model cannot be loaded to run, or is another than the checkpoint's.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        device: torch.device,
        dtype: torch.dtype,
        device_map: str | None = None,
    ) -> None:
        model = load_model(checkpoint.path, device, dtype, device_map)
        if device_map is not None:
            device = find_computing_device(model.get_input_embeddings())
        self._take(model, checkpoint.architecture, checkpoint.layout, device, dtype)
        refuse_other_weights(checkpoint, self._model, self._decoder, self._hook_points)

    @classmethod
    def of_model(
        cls, model: Any, layout: Layout, device: torch.device, dtype: torch.dtype
    ) -> Forward:
        """Return a forward pass of a model that is loaded already, or was never in a file.

        Nothing compares its weights with any checkpoint's.
        """
        forward = cls.__new__(cls)
        forward._take(model, layout.architecture, layout, device, dtype)
        return forward

    def _take(
        self,
        model: Any,
        architecture: Architecture,
        layout: Layout,
        device: torch.device,
        dtype: torch.dtype,
    ) -> None:
        self.architecture: Architecture = architecture
        self.device = device
        self.dtype = dtype
        self._model: Any = model
        # Of a model that also sees images, the part that reads texts.
        self._decoder: nn.Module = self._model.get_decoder()
        self._hook_points = find_hook_points(self._decoder, layout)
        self._blocks = [
            self._decoder.get_submodule(layout.block.format(layer).rstrip("."))
            for layer in range(self.architecture.n_layers)
        ]
        self._last_block = self._blocks[-1]
        norm = layout.final_norm
        self._final_norm = None if norm is None else self._decoder.get_submodule(norm.module)

    @property
    def model(self) -> Any:
        """The language model as transformers runs it; `ingest.interventions` changes its passes."""
        return self._model

    @property
    def decoder(self) -> nn.Module:
        """The part of it that ends with the final norm."""
        return self._decoder

    @property
    def blocks(self) -> Sequence[nn.Module]:
        """The decoder's layers."""
        return self._blocks

    @property
    def layer_devices(self) -> list[torch.device]:
        """Where each layer's MLP computes: of most models, all on one device."""
        return [
            find_computing_device(
                points.out.module if isinstance(points, MLPHookPoints) else points.routed.module
            )
            for points in self._hook_points
        ]

    @property
    def final_norm(self) -> nn.Module | None:
        """The norm in front of the unembedding, if there is one."""
        return self._final_norm

    @property
    def hook_points(self) -> Sequence[MLPHookPoints]:
        """Every layer's modules at which MLP activations appear.

        Raises:
            ModelError: A layer is divided into experts.
        """
        dense = [points for points in self._hook_points if isinstance(points, MLPHookPoints)]
        if len(dense) < len(self._hook_points):
            raise ModelError(
                f"model_type '{self.architecture.model_type}': its layers are divided into experts,"
                " which this cannot look at yet"
            )
        return dense

    @property
    def all_hook_points(self) -> Sequence[MLPHookPoints | ExpertHookPoints]:
        """Every layer's modules, also of layers that are divided into experts."""
        return self._hook_points

    def split_batch(self, batch: Batch) -> list[Batch]:
        """Return the batches that the model must see one by one: of most, the batch itself."""
        return [part for part, _ in _same_rope(batch, self.architecture.short_context)]

    @contextmanager
    def explain_errors(self, batch: Batch) -> Iterator[None]:
        """While open, raise ModelError where the model cannot run a batch, as `run` does."""
        self._check(batch)
        with self._explaining_memory_errors(batch):
            yield

    @torch.inference_mode()
    def run(self, batch: Batch, consumers: Sequence[Consumer]) -> None:
        """Feed all consumers from one pass, in the order of the layers.

        The pass ends where the last wanted layer's `post` is there. Without consumers it goes
        through the last layer: the bare cost that stages are compared with.

        Raises:
            ModelError: The batch is longer than the model's context, or does not fit in memory.
        """
        self._check(batch)
        with self._explaining_memory_errors(batch):
            for part, _ in _same_rope(batch, self.architecture.short_context):
                self._run(part, consumers)

    @torch.inference_mode()
    def logits(self, batch: Batch) -> Float[Tensor, "texts positions d_vocab"]:
        """Return the logits of a batch; what stands at padding means nothing.

        ModelError as in `run`.
        """
        self._check(batch)
        part_logits: list[Tensor] = []
        with self._explaining_memory_errors(batch):
            parts = _same_rope(batch, self.architecture.short_context)
            for part, _ in parts:
                part_logits.append(self._model(input_ids=part.token_ids, use_cache=False).logits)
            if part_logits[0].shape[:2] == batch.token_ids.shape:
                return part_logits[0]
            logits = part_logits[0].new_zeros(*batch.token_ids.shape, self.architecture.d_vocab)
            for (_, rows), values in zip(parts, part_logits, strict=True):
                logits[rows, : values.shape[1]] = values
            return logits

    def _run(self, batch: Batch, consumers: Sequence[Consumer]) -> None:
        layers = sorted({layer for consumer in consumers for layer in consumer.layers})
        pending_layers = iter(layers)
        n_texts, n_positions = batch.token_ids.shape

        def feed(layer: int, activations: MLPActivations) -> None:
            for consumer in consumers:
                if layer in consumer.layers:
                    consumer.consume(batch, layer, activations)
            end_layer(layer)

        def end_layer(layer: int) -> None:
            next(pending_layers)
            if layer == layers[-1]:
                raise _PassEnded

        with ExitStack() as stack:
            for layer in layers:
                points, shape = self._hook_points[layer], (n_texts, n_positions)
                hooks = (
                    hook_activations(points, shape, partial(feed, layer))
                    if isinstance(points, MLPHookPoints)
                    else _feed_experts(points, batch, layer, consumers, end_layer)
                )
                stack.enter_context(hooks)
            if not layers:
                stack.callback(self._last_block.register_forward_hook(_end).remove)
            with suppress(_PassEnded):
                self._decoder(input_ids=batch.token_ids, use_cache=False)
        unseen = next(pending_layers, None)
        if unseen is not None:
            raise ModelError(
                f"model_type '{self.architecture.model_type}': layer {unseen} ran without its MLP's"
                " modules, so that its activations cannot be seen; report this as a bug of NeuronDB"
            )

    def _check(self, batch: Batch) -> None:
        # Beyond the context some families fail by an index, on a GPU past recovery.
        longest, context = batch.token_ids.shape[1], self.architecture.context
        if context is not None and longest > context:
            raise ModelError(
                f"a text of {longest} tokens is longer than the {context} that the model can run;"
                f" give {option('max_len')} {context}"
            )

    @contextmanager
    def _explaining_memory_errors(self, batch: Batch) -> Iterator[None]:
        try:
            yield
        except torch.cuda.OutOfMemoryError as error:
            n_texts, n_positions = batch.token_ids.shape
            raise ModelError(
                f"the memory of {self.device} is too small for a batch of {n_texts} texts of"
                f" {n_positions} tokens in {str(self.dtype).removeprefix('torch.')}; give"
                f" {option('dtype', 'bfloat16')}, or smaller batches by a smaller"
                f" {option('max_len')}"
            ) from error


def _feed_experts(
    points: ExpertHookPoints,
    batch: Batch,
    layer: int,
    consumers: Sequence[Consumer],
    end_layer: Callable[[int], None],
) -> AbstractContextManager[None]:
    """Return the hooks that feed a divided layer's experts to all who want it, and then end it."""
    wanting = [consumer for consumer in consumers if layer in consumer.layers]
    if not all(hasattr(consumer, "consume_expert") for consumer in wanting):
        raise ModelError(
            f"layer {layer} is divided into experts, whose activations this cannot take yet"
        )
    n_left = points.routed.n_experts + (points.shared is not None)

    def feed(activations: ExpertActivations) -> None:
        nonlocal n_left
        for consumer in wanting:
            cast("ExpertConsumer", consumer).consume_expert(batch, layer, activations)
        n_left -= 1
        if not n_left:
            end_layer(layer)

    n_texts, n_positions = batch.token_ids.shape
    return hook_experts(points, (n_texts, n_positions), feed)


def _end(*_: object) -> None:
    raise _PassEnded


def _same_rope(batch: Batch, short: int | None) -> list[tuple[Batch, Int[Tensor, " texts"]]]:
    """Split short texts from long where a long one would change them; with the rows of each.

    A batch of either alone, as `make_batches` makes them, stays what it is, its number included.
    """
    long = batch.on_host.lengths > (batch.token_ids.shape[1] if short is None else short)
    if short is None or batch.token_ids.shape[1] <= short or long.all():
        return [(batch, torch.arange(len(batch.lengths)))]
    widths = (short, batch.token_ids.shape[1])
    rows_of = [chosen.nonzero().squeeze(1) for chosen in (~long, long)]
    parts = zip(rows_of, widths, strict=True)
    return [(batch.take_texts(rows, width), rows) for rows, width in parts if len(rows)]
