"""The prefix cache: a pass begins where it first differs from an earlier one over the same batch.

The clean pass keeps what enters some layers, and what their attention puts out, which no MLP of the
same layer can change. A later pass has the layers before one of those, and its attention,
hand on what was kept instead of running; all else (embedding, masks, rotary positions, the
layers behind, the final norm) is the model's own code, so that it is the same to the bit.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from ingest.forward.batching import Batch
from ingest.forward.model import Forward

CACHE_BYTES: Final = {"cpu": 1 << 30}
"""Bytes of what layers put out that are kept at a time, by kind of device."""
SHARE_OF_FREE: Final = 0.2
"""On a GPU: this share of what is free."""
LAYER_NORM_EPS: Final = 1e-5
"""The ε of OLMo's final norm, whose module has no attribute for it."""


@dataclass(frozen=True)
class Stream:
    """The end of the residual stream on a batch.

    Attributes:
        normed: Behind the final norm: what the unembedding reads.
        scale: The divisor of the final norm, float32: the root of mean square or variance, its ε
            included; None where there is no final norm.
    """

    normed: Float[Tensor, "texts positions d_model"]
    scale: Float[Tensor, "texts positions"] | None


class LayerPrefix(NamedTuple):
    """What the clean pass keeps so that another can begin at a layer's MLP, as modules put it out.

    Attributes:
        before: The output of the layer before; None for the first layer.
        attended: The output of the layer's attention; None where that module is not known by name.
    """

    before: Any
    attended: Any


ATTENTION: Final = ("self_attn", "attn", "attention", "self_attention")
"""What the families call it within a layer."""


@dataclass(frozen=True)
class CleanPass:
    """A pass that others may begin from.

    Attributes:
        batch: The batch that was run.
        stream: The end of its residual stream.
        prefixes: Layer → what a pass needs that begins at its MLP.
    """

    batch: Batch
    stream: Stream
    prefixes: Mapping[int, LayerPrefix]

    def find_start(self, layer: int) -> int:
        """Return the last layer, at most `layer`, that a pass can begin at; 0 is always one."""
        return max((first for first in self.prefixes if first <= layer), default=0)


class PrefixCachedModel:
    """A model whose passes over one batch share the layers before the first that differs.

    Args:
        forward: The model.
    """

    def __init__(self, forward: Forward) -> None:
        self.forward = forward

    @torch.inference_mode()
    def run_clean(self, batch: Batch, firsts: Collection[int] = ()) -> CleanPass:
        """Run a batch, and keep what enters the layers at which later passes are to begin.

        Args:
            batch: One of `Forward.split_batch`.
            firsts: The layers in whose MLP they first differ; where memory has no room for all,
                some of them, in equal steps, are kept.

        Raises:
            ModelError: as `Forward.run` does.
        """
        outputs: dict[nn.Module, Any] = {}

        def keep(module: nn.Module, _inputs: object, output: Any) -> None:
            outputs[module] = _first(output) if module in attentions else output

        layers = self._affordable(batch, firsts)
        attentions = {module for layer in layers if (module := self._attention(layer)) is not None}
        blocks = {self.forward.blocks[layer - 1] for layer in layers if layer}
        with ExitStack() as stack:
            for module in (*blocks, *attentions):
                stack.callback(module.register_forward_hook(keep).remove)
            stream = self._stream(batch)
        prefixes = {
            layer: LayerPrefix(
                outputs[self.forward.blocks[layer - 1]] if layer else None,
                outputs.get(self._attention(layer)),  # type: ignore[arg-type]
            )
            for layer in layers
        }
        return CleanPass(batch, stream, prefixes)

    @torch.inference_mode()
    def run_from(self, clean: CleanPass, first: int) -> Stream:
        """Run a batch again from the MLP of layer `first` on; what is different is up to hooks.

        ModelError as in `run_clean`.
        """
        start = clean.find_start(first)
        with ExitStack() as stack:
            if start:
                blocks = self.forward.blocks[:start]
                stack.enter_context(fix_output(blocks, clean.prefixes[start].before))
            attention = self._attention(first)
            if first in clean.prefixes and attention is not None:
                stack.enter_context(fix_output([attention], clean.prefixes[first].attended))
            return self._stream(clean.batch)

    def _attention(self, layer: int) -> nn.Module | None:
        children = dict(self.forward.blocks[layer].named_children())
        return next((children[name] for name in ATTENTION if name in children), None)

    @torch.inference_mode()
    def logits(self, normed: Float[Tensor, "tokens d_model"]) -> Float[Tensor, "tokens d_vocab"]:
        """Return the logits of tokens by what stands behind the final norm, as the model has them.

        Softcapping and scaling of logits are the model's own.
        """
        from transformers.modeling_outputs import (
            BaseModelOutputWithPastAndCrossAttentions as Output,
        )

        # Texts of one token each: masks that some models make on the way stay small.
        decoded = Output(last_hidden_state=normed[:, None])
        vars(decoded)["router_logits"] = None  # mixtures of experts ask for them
        ids = torch.zeros(len(normed), 1, dtype=torch.int64, device=normed.device)
        with fix_output([self.forward.decoder], decoded):
            logits: Tensor = self.forward.model(input_ids=ids, use_cache=False).logits
        return logits[:, 0]

    def _stream(self, batch: Batch) -> Stream:
        scales: list[Tensor] = []

        def measure(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            scales.append(compute_norm_divisor(module, inputs[0], self.forward.architecture.norm))

        with ExitStack() as stack:
            stack.enter_context(self.forward.explain_errors(batch))
            if (norm := self.forward.final_norm) is not None:
                stack.callback(norm.register_forward_pre_hook(measure).remove)
            decoded = self.forward.decoder(input_ids=batch.token_ids, use_cache=False)
        return Stream(decoded.last_hidden_state, scales[0] if scales else None)

    def _affordable(self, batch: Batch, firsts: Collection[int]) -> list[int]:
        layers = sorted(set(firsts))
        width = 2 * self.forward.architecture.d_model * self.forward.dtype.itemsize
        room = int(_memory(self.forward.device) // (batch.token_ids.numel() * width))
        if len(layers) <= room:
            return layers
        return [layers[i * len(layers) // room] for i in range(room)]


def compute_norm_divisor(
    norm: nn.Module, stream: Float[Tensor, "texts positions d_model"], kind: str
) -> Float[Tensor, "texts positions"]:
    """Return what a norm divides by, float32, its ε included (METHODS §6, scale).

    Args:
        norm: The module.
        stream: The residual stream that it reads.
        kind: rms or layer.
    """
    eps = getattr(norm, "variance_epsilon", getattr(norm, "eps", LAYER_NORM_EPS))
    values = stream.float()
    if kind == "layer":
        return (values.var(-1, correction=0) + eps).sqrt()
    return (values.square().mean(-1) + eps).sqrt()


@contextmanager
def fix_output(modules: Sequence[nn.Module], output: Any) -> Iterator[None]:
    """While open, modules return `output` whatever their input is, and nothing in them runs."""

    def return_output(*_args: object, **_kwargs: object) -> Any:
        return output

    originals = [vars(module).get("forward") for module in modules]
    try:
        for module in modules:
            vars(module)["forward"] = return_output
        yield
    finally:
        for module, original in zip(modules, originals, strict=True):
            if original is None:
                del vars(module)["forward"]
            else:
                vars(module)["forward"] = original


def _first(output: Any) -> Any:
    """Return what a layer uses of its attention's output: without the weights, which are large."""
    return (output[0], *(None for _ in output[1:])) if isinstance(output, tuple) else output


def _memory(device: torch.device) -> float:
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return free * SHARE_OF_FREE
    return CACHE_BYTES["cpu"]


def take_texts(clean: CleanPass, layer: int, texts: Int[Tensor, " rows"]) -> CleanPass:
    """Return a pass over some texts of a batch, from which others may begin at one layer.

    Args:
        clean: A pass over the whole batch.
        layer: The layer in whose MLP later passes first differ.
        texts: Which rows of the batch, in any order; one may come several times, so that each of
            its copies can be changed in its own way.
    """
    start = clean.find_start(layer)
    prefixes = {}
    if start in clean.prefixes:
        prefixes[start] = LayerPrefix(*(_rows(out, texts) for out in clean.prefixes[start]))
    batch = Batch(*(_rows(part, texts) for part in clean.batch.tensors))
    return CleanPass(batch, clean.stream, prefixes)


def repeat_texts(clean: CleanPass, layer: int, times: int) -> CleanPass:
    """Return `take_texts` of so many copies of the whole batch, one after the other."""
    lengths = clean.batch.lengths
    return take_texts(clean, layer, torch.arange(len(lengths), device=lengths.device).repeat(times))


def _rows(output: Any, texts: Tensor) -> Any:
    """Return rows of what a module put out: a tensor over texts, or a tuple of which some are."""
    if isinstance(output, tuple):
        return tuple(_rows(part, texts) for part in output)
    return output.index_select(0, texts) if isinstance(output, Tensor) else output
