"""Attention by hand, in float64, from transformers' own modules: where queries lie is written anew.

Nothing of `ingest` is used. A model runs eager attention, which returns its patterns; a path is
ablated by replacing one head's part of what the queries' module puts out.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
import transformers
from torch import Tensor

BOS = 1


class Places(NamedTuple):
    """Where a family's modules lie."""

    blocks: str = "model.layers"
    attention: str = "self_attn"
    query: str = "q_proj"
    key: str | None = "k_proj"
    output: str = "o_proj"
    norm: str | None = "input_layernorm"
    packing: str = "alone"
    out: str = "mlp.down_proj"


_GPT2 = Places("transformer.h", "attn", "c_attn", None, "c_proj", "ln_1", "stacked", "mlp.c_proj")
_NEOX = Places(
    "gpt_neox.layers",
    "attention",
    "query_key_value",
    None,
    "dense",
    packing="thirds",
    out="mlp.dense_4h_to_h",
)
PLACES = {
    "phi3": Places(query="qkv_proj", key=None, packing="stacked"),
    "gemma3": Places("model.language_model.layers"),
    "olmo2": Places(norm=None),
    "olmo3": Places(norm=None),
    "gpt2": _GPT2,
    "gptj": _GPT2._replace(
        query="q_proj", key="k_proj", output="out_proj", packing="alone", out="mlp.fc_out"
    ),
    "gpt_neox": _NEOX,
    "bloom": _NEOX._replace(blocks="transformer.h", attention="self_attention"),
    "opt": Places(
        "model.decoder.layers", output="out_proj", norm="self_attn_layer_norm", out="fc2"
    ),
    "phi": Places(output="dense", out="mlp.fc2"),
    "starcoder2": Places(out="mlp.c_proj"),
}


@dataclass
class HandModel:
    """A model in float64, and its layer 1 taken apart."""

    name: str
    model: Any
    places: Places

    @classmethod
    def load(cls, name: str, path: Path) -> "HandModel":
        """Load it with eager attention."""
        loaded: Any = transformers.AutoModelForCausalLM.from_pretrained(
            path, dtype=torch.float64, attn_implementation="eager"
        )
        return cls(name, loaded.eval(), PLACES.get(name.split("-")[0], Places()))

    @property
    def config(self) -> Any:
        """The configuration of what reads texts."""
        return self.model.config.get_text_config()

    @property
    def heads(self) -> tuple[int, int, int]:
        """Heads, heads of keys, width of a head."""
        n: int = self.config.num_attention_heads
        keys = getattr(self.config, "num_key_value_heads", None) or n
        return n, keys, getattr(self.config, "head_dim", None) or self.config.hidden_size // n

    def block(self, layer: int = 1) -> Any:
        """Return a layer."""
        return self.model.get_submodule(f"{self.places.blocks}.{layer}")

    def attention(self, module: str) -> Any:
        """Return a module of layer 1's attention."""
        return self.block().get_submodule(f"{self.places.attention}.{module}")

    def part_of_head(self, head: int, kind: int = 0) -> slice:
        """Return where a head's queries (0) or keys (1) lie in what the module puts out."""
        n, _, width = self.heads
        if self.places.packing == "thirds":
            return slice((3 * head + kind) * width, (3 * head + kind + 1) * width)
        start = n * width if kind and self.places.packing == "stacked" else 0
        return slice(start + head * width, start + (head + 1) * width)

    def norm(self, stream: Tensor) -> Tensor:
        """Return what attention reads of a residual stream."""
        if self.places.norm is None:
            return stream
        normed: Tensor = self.block().get_submodule(self.places.norm)(stream)
        return normed

    @torch.no_grad()
    def bos_key(self, head: int) -> Tensor:
        """Return the key of BOS that a head's queries meet, behind its norm."""
        seen: list[Tensor] = []
        keep = self.block().register_forward_pre_hook(
            lambda _m, args, named: seen.append(args[0] if args else named["hidden_states"]),
            with_kwargs=True,
        )
        self.model(input_ids=torch.tensor([[BOS]]))
        keep.remove()
        read = self.norm(seen[0])
        n, keys, width = self.heads
        if self.places.key is None:
            both: Tensor = self.attention(self.places.query)(read)[0, 0]
            return both[self.part_of_head(head if keys == n else head // (n // keys), 1)]
        whole = self.attention(self.places.key)(read)[0, 0]
        norm = getattr(self.block().get_submodule(self.places.attention), "k_norm", None)
        if norm is not None and norm.weight.numel() > width:
            whole = norm(whole)
        of_head: Tensor = whole.view(keys, width)[head // (n // keys)]
        if norm is not None and norm.weight.numel() == width:
            of_head = norm(of_head)
        return of_head

    @torch.no_grad()
    def score(self, head: int, vector: Tensor) -> Tensor:
        """Return (out/‖out‖)ᵀ W_Q k_BOS times the scale, by the gain of the norm in front."""
        unit = vector / vector.norm()
        if self.places.norm is not None:
            unit = self._through_gain(unit)
        project = self.attention(self.places.query)
        zero = project(torch.zeros(1, len(unit)).double())
        query: Tensor = (project(unit[None]) - zero)[0][self.part_of_head(head)]
        norm = getattr(self.block().get_submodule(self.places.attention), "q_norm", None)
        if norm is not None:
            gain = norm.weight + (1.0 if self.name.startswith("gemma3") else 0.0)
            query = query * gain.view(-1, len(query))[head if gain.numel() > len(query) else 0]
        return query @ self.bos_key(head) * self.scale()

    def _through_gain(self, unit: Tensor) -> Tensor:
        norm = self.block().get_submodule(str(self.places.norm))
        weight: Tensor | None = getattr(norm, "weight", None)
        if self.config.model_type in LAYER_NORM:
            unit = unit - unit.mean()
        if weight is None:
            return unit
        return unit * (weight + (1.0 if self.name.startswith("gemma") else 0.0))

    def scale(self) -> float:
        """Return what scores are multiplied by."""
        if self.name.startswith(("gemma2", "gemma3")):
            return 1.0 / math.sqrt(self.config.query_pre_attn_scalar)
        if self.name == "granite":
            return float(self.config.attention_multiplier)
        return 1.0 / math.sqrt(self.heads[2])

    @torch.no_grad()
    def run(self, ids: Tensor, change: Callable[[Tensor], Tensor] | None = None) -> "HandRun":
        """Run texts; `change` replaces what the queries' module puts out in layer 1."""
        seen: dict[str, Tensor] = {}
        out = self.block(0).get_submodule(self.places.out)
        hooks = [
            out.register_forward_pre_hook(lambda _m, args: seen.__setitem__("post", args[0])),
            self.attention(self.places.output).register_forward_pre_hook(
                lambda _m, args: seen.__setitem__("mixed", args[0])
            ),
            self.block().register_forward_pre_hook(
                lambda _m, args, named: seen.__setitem__(
                    "stream", args[0] if args else named["hidden_states"]
                ),
                with_kwargs=True,
            ),
        ]
        after = getattr(self.block(0), "post_feedforward_layernorm", None)
        if after is not None:
            hooks.append(
                after.register_forward_hook(
                    lambda _m, args, output: seen.update(before=args[0], after=output)
                )
            )
        if change is not None:
            query = self.attention(self.places.query)
            hooks.append(query.register_forward_hook(lambda _m, _i, output: change(output)))
        attentions = self.model(input_ids=ids, output_attentions=True).attentions
        for hook in hooks:
            hook.remove()
        shape = (*ids.shape, -1)
        return HandRun(
            attentions[1],
            seen["mixed"].reshape(shape),
            seen["post"].reshape(shape),
            seen["stream"],
            (seen["before"], seen["after"]) if after is not None else None,
        )

    def head_output(self, head: int, mixed: Tensor) -> Tensor:
        """Return what a head writes, given what attention mixes of the values of all heads."""
        project, width = self.attention(self.places.output), self.heads[2]
        alone = torch.zeros_like(mixed)
        part = slice(head * width, (head + 1) * width)
        alone[..., part] = mixed[..., part]
        flat = alone.reshape(-1, mixed.shape[-1])
        written: Tensor = project(flat) - project(torch.zeros_like(flat))
        return written.reshape(*mixed.shape[:-1], -1)

    @torch.no_grad()
    def ablate(self, ids: Tensor, neuron: int, head: int) -> dict[str, Tensor]:
        """Take a neuron of layer 0 out of the query of a head of layer 1."""
        clean = self.run(ids)
        module = self.block(0).get_submodule(self.places.out)
        basis = torch.zeros(1, clean.post.shape[-1]).double()
        nothing = module(basis)
        basis[0, neuron] = 1.0
        vector = (module(basis) - nothing)[0]
        written = clean.post[..., neuron, None] * vector
        if clean.after is not None:  # the norm behind the MLP, held at what it divides by
            norm = self.block(0).post_feedforward_layernorm
            gain = norm.weight + (1.0 if self.name.startswith("gemma") else 0.0)
            size = (clean.after[0].pow(2).mean(-1, keepdim=True) + _eps(norm)).sqrt()
            written = written / size * gain
        written = written * getattr(self.config, "residual_multiplier", 1.0)
        part = self.part_of_head(head)
        read = self.norm(clean.stream - written)

        def change(output: Tensor) -> Tensor:
            other = self.attention(self.places.query).forward(read).reshape(output.shape)
            changed = output.clone()
            changed[..., part] = other[..., part]
            return changed

        # A norm over all heads' queries (OLMo-2) sees the others change with this one; all do.
        whole = self.name.startswith("olmo") and hasattr(self.attention_module(), "q_norm")
        replaced = (
            (lambda output: self.attention(self.places.query).forward(read).reshape(output.shape))
            if whole
            else change
        )
        ablated = self.run(ids, replaced)
        return {
            "activation": clean.post[..., neuron],
            "bos_clean": clean.pattern[:, head, :, 0],
            "bos_ablated": ablated.pattern[:, head, :, 0],
            "norm_clean": self.head_output(head, clean.mixed).norm(dim=-1),
            "norm_ablated": self.head_output(head, ablated.mixed).norm(dim=-1),
        }

    def attention_module(self) -> Any:
        """Return layer 1's attention."""
        return self.block().get_submodule(self.places.attention)


class HandRun(NamedTuple):
    """What was seen in layer 1, and what entered it."""

    pattern: Tensor
    mixed: Tensor
    post: Tensor
    stream: Tensor
    after: tuple[Tensor, Tensor] | None


LAYER_NORM = ("gpt2", "gptj", "gpt_neox", "bloom", "opt", "phi", "starcoder2", "olmo", "stablelm")


def _eps(norm: Any) -> float:
    eps: float = next(getattr(norm, n) for n in ("variance_epsilon", "eps") if hasattr(norm, n))
    return eps
