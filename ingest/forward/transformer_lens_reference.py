"""The independent reference: the same activations through transformer_lens' `TransformerBridge`.

It runs a family's modules through an adapter of its own and with eager attention, and calls what
it sees `hook_pre`, `hook_pre_linear` and `hook_post`: gate, in and post of METHODS (notation).
"""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Tensor

from ingest.checkpoint.reader import Checkpoint
from ingest.forward.batching import Batch
from ingest.forward.hooks import MLPActivations
from ingest.forward.loading import explain_loading_errors, load_model


class Bridge:
    """A model as transformer_lens runs it.

    Args:
        checkpoint: the checkpoint whose files are loaded.
        device: the device to run on.
        dtype: the precision of weights and activations.

    Raises:
        ModelError: when the model cannot be loaded to run.
    """

    def __init__(self, checkpoint: Checkpoint, device: torch.device, dtype: torch.dtype) -> None:
        self.architecture = checkpoint.architecture
        # It knows hub directories only: of a GGUF file it gets what transformers loaded.
        from_gguf = checkpoint.quantisation is not None
        loaded = load_model(checkpoint.path, device, dtype) if from_gguf else None
        with explain_loading_errors(checkpoint.path, device, dtype):
            from transformer_lens.model_bridge import TransformerBridge
            from transformer_lens.model_bridge.sources.transformers import helpers

            # A model that also sees pictures makes it run `pip install torchvision` here, which
            # replaces torch itself; texts need no picture processor.
            helpers._ensure_torchvision = lambda: False
            self._bridge: Any = TransformerBridge.boot_transformers(
                str(checkpoint.settings),
                device=str(device),
                dtype=dtype,
                tokenizer=_no_tokenizer(),
                hf_model=loaded,
            )

    @torch.inference_mode()
    def compute_activations(self, batch: Batch) -> list[MLPActivations]:
        """Return every layer's activations on a batch, all of them kept at once."""
        hooked: dict[str, Tensor] = {}

        def keep(name: str, value: Tensor, hook: object) -> None:
            hooked[name] = value

        names = ("hook_pre", "hook_pre_linear", "hook_post")
        if not self.architecture.gated:
            names = ("hook_pre", "hook_pre", "hook_post")
        layers = [
            [f"blocks.{layer}.mlp.{name}" for name in names]
            for layer in range(self.architecture.n_layers)
        ]
        hooks = [
            (name, partial(keep, name)) for of_layer in layers for name in dict.fromkeys(of_layer)
        ]
        self._bridge.run_with_hooks(batch.token_ids, fwd_hooks=hooks, return_type=None)
        by_layer = [[hooked[name] for name in of_layer] for of_layer in layers]
        return [
            MLPActivations(gate if self.architecture.gated else None, in_, post)
            for gate, in_, post in by_layer
        ]

    def forward(self, batch: Batch) -> None:
        """Run a batch without keeping anything: what the bridge itself costs."""
        with torch.inference_mode():
            self._bridge.run_with_hooks(batch.token_ids, fwd_hooks=[], return_type=None)


def _no_tokenizer() -> Any:
    """Return a tokenizer without words: the bridge needs one to boot, and token ids need none."""
    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast

    words = Tokenizer(models.BPE())
    special = dict.fromkeys(("eos_token", "pad_token", "unk_token"), "<>")
    # With a bos_token it would be looked up on the hub.
    return PreTrainedTokenizerFast(tokenizer_object=words, **special)  # type: ignore[no-untyped-call]
