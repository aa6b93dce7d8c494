"""transformers' own models with norms that divide by what they divided by in a clean run."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from tests.support.ablation_reference import EPSILONS, FINAL_NORMS, LAYER_NORMS

POST_NORM = "post_feedforward_layernorm"


class Freezable:
    """A model, and its final norm and the norms behind its MLPs."""

    def __init__(self, model: Any) -> None:
        self.model = model
        text = model.config.get_text_config()
        self.kind = model.config.model_type
        self.eps = next((getattr(text, e) for e in EPSILONS if hasattr(text, e)), 1e-5)
        if self.kind == "olmo":
            self.eps = 1e-5
        decoder = model.get_decoder()
        decoder = getattr(decoder, "decoder", decoder)
        self.blocks = list(getattr(decoder, "layers", None) or decoder.h)
        self.final = next(getattr(decoder, n) for n in FINAL_NORMS if hasattr(decoder, n))
        behind = [getattr(block, POST_NORM, None) for block in self.blocks]
        self.norms: list[nn.Module] = [self.final, *(norm for norm in behind if norm is not None)]

    def divisor(self, x: Tensor) -> Tensor:
        """Return what a norm divides by: a standard deviation, or a root of mean square."""
        x = x.double()
        if self.kind in LAYER_NORMS:
            x = x - x.mean(-1, keepdim=True)
        return (x.square().mean(-1, keepdim=True) + self.eps).sqrt()

    @contextmanager
    def frozen(self, ids: Sequence[int]) -> Iterator[None]:
        """Run a text as it is; while open, every norm divides by what it divided by then."""
        kept: dict[nn.Module, Tensor] = {}

        def keep(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            kept[module] = self.divisor(inputs[0])

        with ExitStack() as stack:
            for norm in self.norms:
                stack.callback(norm.register_forward_pre_hook(keep).remove)
            with torch.no_grad():
                self.model(input_ids=torch.tensor([list(ids)]), use_cache=False)

        def undo(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
            bias = getattr(module, "bias", None)
            shift = 0.0 if bias is None else bias
            ratio = self.divisor(inputs[0]) / kept[module]
            return ((output - shift) * ratio + shift).to(output.dtype)

        with ExitStack() as stack:
            for norm in self.norms:
                stack.callback(norm.register_forward_hook(undo).remove)
            yield


def uncapped(model: Any, logits: Tensor) -> Tensor:
    """Return logits as they are before a soft cap."""
    cap = getattr(model.config.get_text_config(), "final_logit_softcapping", None)
    return logits if cap is None else cap * torch.atanh(logits.double() / cap)
