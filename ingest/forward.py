"""The forward pass: a model runs over texts, and its MLP activations are handed out as they come.

The model runs through transformer_lens' `TransformerBridge`, whose hooks `hook_pre`,
`hook_pre_linear` and `hook_post` are gate, in and post of METHODS (notation).
"""

import contextlib
import io
import logging
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy.typing import NDArray
from torch import Tensor

from ingest.checkpoint import Architecture
from neurondb.errors import IngestError, ModelError

Activations = Float[Tensor, "texts positions neurons"]


@dataclass(frozen=True)
class Batch:
    """Texts padded to one length on the right; causal attention never looks at the padding."""

    token_ids: Int[Tensor, "texts positions"]
    lengths: Int[Tensor, " texts"]
    ordinals: Int[Tensor, " texts"]

    @property
    def n_tokens(self) -> int:
        """Tokens, padding left out."""
        return int(self.lengths.sum())


@dataclass(frozen=True)
class MLPActivations:
    """What one layer's MLP did on a batch, in the model's own sign and dtype.

    `gate` is None for ungated models. Ungated: `in_` is hook_pre.
    """

    gate: Activations | None
    in_: Activations
    post: Activations


Consumer = Callable[[int, MLPActivations], None]
"""Called with the layer and its activations, which are gone afterwards."""


def pick_device(name: str) -> torch.device:
    """Return the device called `name`; auto takes CUDA, then MPS, then the processor.

    Raises:
        IngestError: when there is no such device here.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise IngestError(
            f"no device {name!r} here; --device auto takes the best there is"
        ) from error
    return device


def pick_dtype(name: str, device: torch.device, config: dict[str, Any]) -> torch.dtype:
    """Return the precision to run in; auto is the checkpoint's own on a GPU, float32 on a CPU.

    Raises:
        IngestError: when it is no floating-point dtype of torch.
    """
    if name == "auto":
        stored = config.get("dtype") or config.get("torch_dtype") or "float32"
        name = "float32" if device.type == "cpu" else str(stored)
    dtype = getattr(torch, name.removeprefix("torch."), None)
    if not isinstance(dtype, torch.dtype) or not dtype.is_floating_point:
        raise IngestError(f"{name!r} is no dtype; give auto, float32, bfloat16 or float16")
    return dtype


def batches(
    token_ids: Sequence[NDArray[np.int64]], device: torch.device, max_tokens: int
) -> Iterator[Batch]:
    """Yield texts of similar length together, `max_tokens` places (padding included) at most.

    A longer text is a batch of its own.
    """
    longest_first = sorted(range(len(token_ids)), key=lambda i: (-len(token_ids[i]), i))
    start = 0
    while start < len(longest_first):
        width = max(1, len(token_ids[longest_first[start]]))
        chosen = longest_first[start : start + max(1, max_tokens // width)]
        start += len(chosen)
        yield _padded([token_ids[i] for i in chosen], chosen, width, device)


def _padded(
    texts: list[NDArray[np.int64]], ordinals: list[int], width: int, device: torch.device
) -> Batch:
    padded = np.zeros((len(texts), width), dtype=np.int64)
    for row, text in zip(padded, texts, strict=True):
        row[: len(text)] = text
    return Batch(
        torch.from_numpy(padded).to(device),
        torch.tensor([len(text) for text in texts], device=device),
        torch.tensor(ordinals, device=device),
    )


class Forward:
    """A model that is ready to run.

    Args:
        directory: model directory in hub format.
        architecture: as `Checkpoint` read it.
        device: where to run.
        dtype: precision.

    Raises:
        ModelError: when the model cannot be loaded to run.
    """

    def __init__(
        self, directory: Path, architecture: Architecture, device: torch.device, dtype: torch.dtype
    ) -> None:
        self.architecture = architecture
        self.device = device
        self.dtype = dtype
        self._bridge = _boot(directory, device, dtype)

    @torch.inference_mode()
    def run(self, batch: Batch, consumer: Consumer) -> None:
        """Run a batch; `consumer` gets each layer's activations in the order of the layers."""
        hooks: list[tuple[str, Callable[..., None]]] = []
        for layer in range(self.architecture.n_layers):
            receiver = _Receiver(layer, self.architecture.gated, consumer)
            hooks += [
                (f"blocks.{layer}.mlp.{name}", partial(receiver.receive, name))
                for name in receiver.names
            ]
        self._bridge.run_with_hooks(batch.token_ids, fwd_hooks=hooks, return_type=None)

    @torch.inference_mode()
    def logits(self, batch: Batch) -> Float[Tensor, "texts positions d_vocab"]:
        """Return the logits of a batch."""
        logits: Tensor = self._bridge(batch.token_ids)
        return logits


class _Receiver:
    """Collects one layer's hooks and passes them on together, keeping nothing."""

    def __init__(self, layer: int, gated: bool, consumer: Consumer) -> None:
        linear = ("hook_pre_linear",) if gated else ()
        self.names = ("hook_pre", *linear, "hook_post")
        self._layer = layer
        self._gated = gated
        self._consumer = consumer
        self._held: dict[str, Tensor] = {}

    def receive(self, name: str, value: Tensor, hook: object) -> None:
        self._held[name] = value
        if len(self._held) < len(self.names):
            return
        held, self._held = self._held, {}
        if self._gated:
            activations = MLPActivations(
                held["hook_pre"], held["hook_pre_linear"], held["hook_post"]
            )
        else:
            activations = MLPActivations(None, held["hook_pre"], held["hook_post"])
        self._consumer(self._layer, activations)


def _boot(directory: Path, device: torch.device, dtype: torch.dtype) -> Any:
    # What the libraries print while loading is no message of ours to the user.
    logging.getLogger("transformer_lens").setLevel(logging.ERROR)
    try:
        with (
            contextlib.redirect_stdout(io.StringIO()),
            contextlib.redirect_stderr(io.StringIO()),
            warnings.catch_warnings(),
        ):
            warnings.simplefilter("ignore")
            from transformer_lens.model_bridge import TransformerBridge
            from transformer_lens.model_bridge.sources.transformers import helpers

            # A model that also sees pictures makes it run `pip install torchvision` here, which
            # replaces torch itself; texts need no picture processor.
            helpers._ensure_torchvision = lambda: False
            return TransformerBridge.boot_transformers(
                str(directory), device=str(device), dtype=dtype
            )
    except torch.cuda.OutOfMemoryError as error:
        raise ModelError(f"{directory}: does not fit into the memory of {device}") from error
    # Loading goes through two large libraries, which raise many unrelated types.
    except Exception as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise ModelError(f"{directory}: cannot be loaded to run ({reason})") from error
