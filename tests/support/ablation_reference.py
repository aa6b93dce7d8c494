"""Interventions by the plainest means: transformers' model, a text at a time, neuron by neuron.

Written from METHODS §6 and knows nothing of `ingest`: which modules hold what is told here again.
"""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
import transformers
from numpy.typing import NDArray
from torch import Tensor, nn

Array = NDArray[np.float64]

GATED_OUT = "mlp.down_proj"
OUTS = {
    "gpt2": "mlp.c_proj",
    "gptj": "mlp.fc_out",
    "gpt_neox": "mlp.dense_4h_to_h",
    "bloom": "mlp.dense_4h_to_h",
    "opt": "fc2",
    "phi": "mlp.fc2",
    "starcoder2": "mlp.c_proj",
}
"""Ungated families → what writes."""
LAYER_NORMS = {*OUTS, "olmo", "stablelm"}
FINAL_NORMS = ("norm", "ln_f", "final_layer_norm", "final_layernorm")
EPSILONS = ("rms_norm_eps", "layer_norm_eps", "layer_norm_epsilon", "norm_epsilon")


class Edit(NamedTuple):
    """A neuron, and the value in canonical sign that it is set to."""

    layer: int
    neuron: int
    sign: float
    value: float


class Reference:
    """A model that runs in float32, whose metrics are taken in float64."""

    def __init__(self, directory: Path) -> None:
        config = transformers.AutoConfig.from_pretrained(directory)
        text = config.get_text_config()
        # SDPA cannot softcap the logits of attention, and some versions leave it out silently.
        softcap = getattr(text, "attn_logit_softcapping", None)
        loaded: Any = transformers.AutoModelForCausalLM.from_pretrained(
            directory, dtype=torch.float32, attn_implementation="eager" if softcap else None
        )
        self.model = loaded.eval()
        self.decoder = self.model.get_decoder()
        self.kind = config.model_type
        self.gated = self.kind not in OUTS
        self.eps = next((getattr(text, e) for e in EPSILONS if hasattr(text, e)), 1e-5)
        if self.kind == "olmo":
            self.eps = 1e-5
        blocks = getattr(self.decoder, "layers", None) or self.decoder.h
        self.blocks = list(blocks)
        name = next(name for name in FINAL_NORMS if hasattr(self.decoder, name))
        self.norm = getattr(self.decoder, name)

    def out(self, layer: int) -> nn.Module:
        """The module whose input is hook_post."""
        found: nn.Module = self.blocks[layer].get_submodule(OUTS.get(self.kind, GATED_OUT))
        return found

    @property
    def width(self) -> int:
        """Neurons of a layer."""
        weight = self.out(0).weight
        assert isinstance(weight, Tensor)
        return weight.shape[0 if self.kind == "gpt2" else 1]

    def metrics(
        self,
        ids: Sequence[int],
        edits: Sequence[Edit] = (),
        hook: str = "hook_post",
        condition: str = "",
    ) -> dict[str, Array]:
        """Return loss, entropy, rank, scale of every token, and how sure the rank is (`gap`)."""
        inputs: list[Tensor] = []
        with ExitStack() as stack, torch.no_grad():
            for layer in {edit.layer for edit in edits}:
                here = [edit for edit in edits if edit.layer == layer]
                self._edit(stack, layer, here, hook, condition)
            keep = self.norm.register_forward_pre_hook(lambda _m, x: inputs.append(x[0]))
            stack.callback(keep.remove)
            logits = self.model(input_ids=torch.tensor([list(ids)])).logits[0].double()
        return self._measured(logits, inputs[0].reshape(len(ids), -1).double(), ids)

    def _edit(
        self, stack: ExitStack, layer: int, edits: Sequence[Edit], hook: str, condition: str
    ) -> None:
        gates: list[Tensor] = []
        if self.gated:
            name = "mlp.gate_up_proj" if self.kind == "phi3" else "mlp.gate_proj"
            module = self.blocks[layer].get_submodule(name)

            def keep(_module: nn.Module, _inputs: object, output: Tensor) -> None:
                gates[:] = [output.chunk(2, -1)[0] if self.kind == "phi3" else output]

            stack.callback(module.register_forward_hook(keep).remove)

        def change(_module: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor]:
            post = inputs[0].clone()
            for edit in edits:
                before = inputs[0][..., edit.neuron]
                here = torch.ones_like(before, dtype=torch.bool)
                value = torch.full_like(before, edit.value * edit.sign)
                if self.gated:
                    gate = gates[0][..., edit.neuron]
                    here &= gate > 0 if "gate+" in condition else here
                    here &= gate < 0 if "gate-" in condition else here
                    if hook == "hook_pre_linear":
                        value = value * self._activation(layer)(gate)
                canonical = before * edit.sign
                here &= canonical > 0 if "post+" in condition else here
                here &= canonical < 0 if "post-" in condition else here
                post[..., edit.neuron] = torch.where(here, value, before)
            return (post,)

        stack.callback(self.out(layer).register_forward_pre_hook(change).remove)

    def _activation(self, layer: int) -> Callable[[Tensor], Tensor]:
        mlp = self.blocks[layer].mlp
        found: Callable[[Tensor], Tensor] = getattr(mlp, "act_fn", None) or mlp.activation_fn
        return found

    def _measured(self, logits: Tensor, stream: Tensor, ids: Sequence[int]) -> dict[str, Array]:
        log_p = torch.log_softmax(logits, dim=-1)
        loss, rank, gap = (np.full(len(ids), np.nan) for _ in range(3))
        for position, token in enumerate(ids[1:]):
            row = logits[position]
            loss[position] = -log_p[position, token].item()
            rank[position] = int((row > row[token]).sum())
            others = (row - row[token]).abs()
            others[token] = torch.inf
            gap[position] = others.min().item()
        entropy = -(log_p.exp() * log_p).sum(-1).numpy()
        if self.kind in LAYER_NORMS:
            scale = (stream.var(-1, correction=0) + self.eps).sqrt().numpy()
        else:
            scale = (stream.square().mean(-1) + self.eps).sqrt().numpy()
        return {"loss": loss, "entropy": entropy, "rank": rank, "scale": scale, "gap": gap}


@cache
def reference(directory: Path) -> Reference:
    """Return the reference of a directory, loaded once."""
    return Reference(directory)
