"""A model that runs over batches and hands out its MLP activations as they come."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from typing import Any, Protocol

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from ingest.checkpoint.reader import Architecture, Checkpoint
from ingest.forward.batching import Batch
from ingest.forward.hooks import MLPActivations, MLPHookPoints, find_hook_points, hook_activations
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
        self.architecture: Architecture = checkpoint.architecture
        self.dtype = dtype
        self._model: Any = load_model(checkpoint.path, device, dtype, device_map)
        self.device = device
        if device_map is not None:
            self.device = find_computing_device(self._model.get_input_embeddings())
        # Of a model that also sees images, the part that reads texts.
        self._decoder: nn.Module = self._model.get_decoder()
        self._hook_points = find_hook_points(self._decoder, checkpoint.layout)
        refuse_other_weights(checkpoint, self._model, self._decoder)
        self._blocks = [
            self._decoder.get_submodule(checkpoint.layout.block.format(layer).rstrip("."))
            for layer in range(self.architecture.n_layers)
        ]
        self._last_block = self._blocks[-1]
        norm = checkpoint.layout.final_norm
        self._final_norm = None if norm is None else self._decoder.get_submodule(norm.module)
        self._short_rope = _short_rope(self._model.config.get_text_config())

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
        return [find_computing_device(points.out.module) for points in self._hook_points]

    @property
    def final_norm(self) -> nn.Module | None:
        """The norm in front of the unembedding, if there is one."""
        return self._final_norm

    @property
    def hook_points(self) -> Sequence[MLPHookPoints]:
        """Every layer's modules at which MLP activations appear."""
        return self._hook_points

    def split_batch(self, batch: Batch) -> list[Batch]:
        """Return the batches that the model must see one by one: of most, the batch itself."""
        return [part for part, _ in _same_rope(batch, self._short_rope)]

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
            for part, _ in _same_rope(batch, self._short_rope):
                self._run(part, consumers)

    @torch.inference_mode()
    def logits(self, batch: Batch) -> Float[Tensor, "texts positions d_vocab"]:
        """Return the logits of a batch; what stands at padding means nothing.

        ModelError as in `run`.
        """
        self._check(batch)
        part_logits: list[Tensor] = []
        with self._explaining_memory_errors(batch):
            parts = _same_rope(batch, self._short_rope)
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
            next(pending_layers)
            for consumer in consumers:
                if layer in consumer.layers:
                    consumer.consume(batch, layer, activations)
            if layer == layers[-1]:
                raise _PassEnded

        with ExitStack() as stack:
            for layer in layers:
                hooks = hook_activations(
                    self._hook_points[layer], (n_texts, n_positions), partial(feed, layer)
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


def _end(*_: object) -> None:
    raise _PassEnded


def _short_rope(config: Any) -> int | None:
    """Return the length beyond which a batch gets other rotary frequencies (Phi-3's LongRoPE)."""
    rope = getattr(config, "rope_parameters", None) or {}
    if rope.get("rope_type") != "longrope":
        return None
    return int(rope["original_max_position_embeddings"])


def _same_rope(batch: Batch, short: int | None) -> list[tuple[Batch, Bool[Tensor, " texts"]]]:
    """Split short texts from long where a long one would change them; with the rows of each."""
    every = torch.ones_like(batch.lengths, dtype=torch.bool)
    if short is None or batch.token_ids.shape[1] <= short:
        return [(batch, every)]
    long = batch.lengths > short
    widths = (short, batch.token_ids.shape[1])
    return [
        (Batch(batch.token_ids[rows, :width], batch.lengths[rows], batch.ordinals[rows]), rows)
        for rows, width in zip((~long, long), widths, strict=True)
        if rows.any()
    ]
