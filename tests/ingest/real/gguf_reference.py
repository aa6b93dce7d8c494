"""A GGUF model's numbers in float64, from llama.cpp's library and transformers alone.

Written from METHODS §1, §4, §5 and §6; nothing of `ingest` is used. The weights are the file's own
tensors, dequantised by `gguf`; what runs is the model that transformers reads from the file.
"""

import copy
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any, NamedTuple

import gguf
import numpy as np
import pytest
import torch
import transformers
from numpy.typing import NDArray
from torch import Tensor, nn

from tests.support.activations_reference import Trace
from tests.support.arrays import Array

SIGNED = ("hook_post", "hook_pre_linear")
_PlainReader = gguf.GGUFReader  # `gguf` has another while transformers reads


class Vectors(NamedTuple):
    """One layer's vectors after preprocessing, one row a neuron, and the signs; `read` is `in`."""

    gate: Array
    read: Array
    out: Array
    sign: Array
    raw_read: Array

    def vector(self, name: str) -> Array:
        """Return gate, in or out."""
        return {"gate": self.gate, "in": self.read, "out": self.out}[name]


class LayerTrace(NamedTuple):
    """One layer's activations: quantity → tokens × neurons, all texts one after the other.

    Attributes:
        values: In float64, in canonical sign.
        noise: Quantity → neuron → the largest difference from the float32 run.
    """

    values: Trace
    noise: dict[str, Array]


class Run(NamedTuple):
    """Layers' activations at every token of some texts."""

    text: NDArray[np.int64]
    position: NDArray[np.int64]
    layers: dict[int, LayerTrace]


@dataclass(frozen=True, eq=False)
class GgufReference:
    """A model with RMSNorm and a gated MLP, in one file, its embeddings tied."""

    file: Path

    # --- weights --------------------------------------------------------------------------

    @cached_property
    def _tensors(self) -> dict[str, Any]:
        return {tensor.name: tensor for tensor in read_gguf_once(self.file).tensors}

    def tensor(self, name: str) -> Array:
        """Return a tensor's values, rows first."""
        stored = self._tensors[name]
        values: Array = gguf.dequantize(stored.data, stored.tensor_type).astype(np.float64)
        return values

    def vectors(self, layer: int) -> Vectors:
        """Return gate and in with the norm's gain folded in, and out; signs made canonical.

        llama.cpp stores Gemma's gains as 1 + w, so that all gains are read alike.
        """
        own = f"blk.{layer}"
        gain = self.tensor(f"{own}.ffn_norm.weight")
        gate = self.tensor(f"{own}.ffn_gate.weight") * gain
        raw_read = self.tensor(f"{own}.ffn_up.weight")
        read = raw_read * gain
        sign = np.where((gate * read).sum(1) < 0, -1.0, 1.0)
        out = self.tensor(f"{own}.ffn_down.weight").T
        return Vectors(gate, read * sign[:, None], out * sign[:, None], sign, raw_read)

    @cached_property
    def embed(self) -> Array:
        """E; U as it is stored too, since the embeddings are tied."""
        assert "output.weight" not in self._tensors
        return self.tensor("token_embd.weight")

    @cached_property
    def unembed(self) -> Array:
        """U: the final norm's gain folded in, then its mean over the vocabulary subtracted."""
        folded = self.embed * self.tensor("output_norm.weight")
        centred: Array = folded - folded.mean(0)
        return centred

    # --- runs -----------------------------------------------------------------------------

    @cached_property
    def tokenizer(self) -> Any:
        """The file's tokenizer, as transformers reads it."""
        load: Any = transformers.AutoTokenizer.from_pretrained
        with _reading_once():
            return load(str(self.file.parent), gguf_file=self.file.name)

    def ids(self, text: str, max_len: int = 1024) -> list[int]:
        """Return a text's tokens with BOS first, whether or not the tokenizer puts it there."""
        inner = self.tokenizer(text, add_special_tokens=False).input_ids
        return [self.tokenizer.bos_token_id, *inner][:max_len]

    @cached_property
    def model(self) -> Any:
        """The model in float32."""
        load: Any = transformers.AutoModelForCausalLM.from_pretrained
        options = {"dtype": torch.float32, "attn_implementation": "eager"}
        with _reading_once():
            return load(str(self.file.parent), gguf_file=self.file.name, **options).eval()

    def mlp(self, layer: int) -> Any:
        """Return the module of one layer's MLP."""
        return self.model.model.layers[layer].mlp

    def run(self, texts: Sequence[Sequence[int]], layers: Sequence[int]) -> Run:
        """Return layers' activations, run text by text in float64 and again in float32.

        Only the layers up to the last one wanted are run.
        """
        low: Any = copy.copy(self.model.model)
        low._modules = dict(low._modules)
        low.layers = self.model.model.layers[: max(layers) + 1]
        high = copy.deepcopy(low).double()
        exact = _joined([self._hooked(high, ids, layers) for ids in texts])
        rough = _joined([self._hooked(low, ids, layers) for ids in texts])
        traces = {
            layer: LayerTrace(
                values,
                {name: np.abs(of - rough[layer][name]).max(0) for name, of in values.items()},
            )
            for layer, values in exact.items()
        }
        text = np.concatenate([np.full(len(ids), i) for i, ids in enumerate(texts)])
        return Run(text, np.concatenate([np.arange(len(ids)) for ids in texts]), traces)

    def _hooked(self, decoder: Any, ids: Sequence[int], layers: Sequence[int]) -> dict[int, Trace]:
        kept: dict[int, dict[str, Tensor]] = {layer: {} for layer in layers}
        handles = []
        for layer in layers:
            mlp, seen = decoder.layers[layer].mlp, kept[layer]
            for name, module in (("hook_pre", mlp.gate_proj), ("hook_pre_linear", mlp.up_proj)):
                handles.append(module.register_forward_hook(_keep_output(seen, name)))
            handles.append(mlp.down_proj.register_forward_pre_hook(_keep_input(seen, "hook_post")))
        try:
            with torch.no_grad():
                decoder(torch.tensor([list(ids)]), use_cache=False)
        finally:
            for handle in handles:
                handle.remove()
        return {layer: self._canonical(layer, kept[layer]) for layer in layers}

    def _canonical(self, layer: int, seen: dict[str, Tensor]) -> Trace:
        sign = self._signs(layer)
        values = {
            **seen,
            "swish": self.mlp(layer).act_fn(seen["hook_pre"]),
        }
        return {
            name: value[0].double().numpy() * (sign if name in SIGNED else 1)
            for name, value in values.items()
        }

    @cached_property
    def _known_signs(self) -> dict[int, Array]:
        return {}

    def _signs(self, layer: int) -> Array:
        if layer not in self._known_signs:
            self._known_signs[layer] = self.vectors(layer).sign
        return self._known_signs[layer]

    def logits(self, ids: Sequence[int]) -> Tensor:
        """Return the logits after every token, positions × tokens, in float64."""
        with torch.no_grad():
            found: Tensor = self.model(torch.tensor([list(ids)]), use_cache=False).logits[0]
        return found.double()

    @contextmanager
    def zeroed(self, neurons: dict[int, list[int]]) -> Iterator[None]:
        """Hold neurons' hook_post at zero, by layer."""
        handles = [
            self.mlp(layer).down_proj.register_forward_pre_hook(_zero(here))
            for layer, here in neurons.items()
        ]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    @contextmanager
    def held(self, layer: int, neuron: int, value: float, *, last: bool = False) -> Iterator[None]:
        """Hold one neuron's hook_pre_linear at a value in canonical sign."""
        own = value * float(self._signs(layer)[neuron])

        def hold(_module: nn.Module, _inputs: object, output: Tensor) -> Tensor:
            changed = output.clone()
            changed[:, -1 if last else slice(None), neuron] = own
            return changed

        handle = self.mlp(layer).up_proj.register_forward_hook(hold)
        try:
            yield
        finally:
            handle.remove()


@cache
def read_gguf_once(file: Path) -> gguf.GGUFReader:
    """Return what gguf reads of a file: of a large vocabulary ten seconds, and gigabytes of memory.

    Forgotten when a module of tests ends.
    """
    return _PlainReader(file)


@contextmanager
def _reading_once() -> Iterator[None]:
    """Have transformers, which reads a file anew for each of its parts, share one reading."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gguf, "GGUFReader", lambda file: read_gguf_once(Path(file)))
        yield


def _joined(runs: Sequence[dict[int, Trace]]) -> dict[int, Trace]:
    return {
        layer: {name: np.concatenate([run[layer][name] for run in runs]) for name in first}
        for layer, first in runs[0].items()
    }


def _keep_output(seen: dict[str, Tensor], name: str) -> Callable[[nn.Module, Any, Tensor], None]:
    return lambda _module, _inputs, output: seen.update({name: output})


def _keep_input(seen: dict[str, Tensor], name: str) -> Callable[[nn.Module, Any], None]:
    return lambda _module, inputs: seen.update({name: inputs[0]})


def _zero(neurons: list[int]) -> Callable[[nn.Module, tuple[Tensor, ...]], tuple[Tensor]]:
    def zero(_module: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor]:
        post = inputs[0].clone()
        post[..., neurons] = 0
        return (post,)

    return zero
