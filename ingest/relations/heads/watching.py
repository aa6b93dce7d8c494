"""Attention while it runs: queries, keys and values of a layer, and what other queries would be.

transformers' attention interface hands over queries and keys as they are multiplied: behind their
projections, norms and rotary embeddings. GPT-J and BLOOM compute attention in code of their own,
and are watched there. A query of another residual stream comes from the model's own code too: its
attention runs again on that stream, and ends where the queries are known.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from ingest.families.attention import Attention
from ingest.forward.model import Forward

IMPLEMENTATION: Final = "neurondb_watched"
"""What the watched attention is called among transformers' implementations."""


class AttentionCall(NamedTuple):
    """What a layer's attention multiplies.

    Attributes:
        query: Of each head.
        key: Of each head of keys.
        value: Likewise.
        bias: What is added to scaled scores, the causal mask above all; its second axis may be one
            for all heads. None adds nothing.
        scale: What the dot products are multiplied by.
        softcap: The bound c of scores that go through c·tanh(s/c); None where there is none.
    """

    query: Float[Tensor, "texts heads positions d_head"]
    key: Float[Tensor, "texts key_heads positions d_head"]
    value: Float[Tensor, "texts key_heads positions d_head"]
    bias: Float[Tensor, "texts heads queries keys"] | None
    scale: float
    softcap: float | None = None

    def key_head(self, head: int) -> int:
        """Return the head of keys that a head's queries are compared with."""
        return head // (self.query.shape[1] // self.key.shape[1])


class _QueryKnown(Exception):  # noqa: N818
    """No error: it ends an attention that runs again once its queries are known."""


@dataclass
class WatchedAttention:
    """A layer's attention in the middle of a pass.

    Attributes:
        layer: The layer.
        stream: The residual stream that it reads.
        call: What it multiplies.
    """

    layer: int
    _module: nn.Module
    _norm: nn.Module | None
    stream: Tensor = field(default_factory=Tensor)
    _arguments: tuple[Any, ...] = ()
    _named: dict[str, Any] = field(default_factory=dict)
    _call: AttentionCall | None = None
    _runs_again: bool = False

    @property
    def call(self) -> AttentionCall:
        """What the attention multiplies; only once it has run."""
        assert self._call is not None
        return self._call

    def compute_query(self, stream: Tensor) -> Float[Tensor, "texts heads positions d_head"]:
        """Return the queries that another residual stream would give, through the norm before."""
        normed = stream if self._norm is None else self._norm(stream)
        named, arguments, clean = dict(self._named), self._arguments, self.call
        if "hidden_states" in named:
            named["hidden_states"] = normed
        else:
            arguments = (normed, *arguments[1:])
        self._runs_again = True
        try:
            self._module.forward(*arguments, **named)
        except _QueryKnown:
            return self.call.query
        finally:
            self._call, self._runs_again = clean, False
        raise AssertionError("attention ran without its queries being seen")

    def keep_inputs(
        self, _module: nn.Module, arguments: tuple[Any, ...], named: dict[str, Any]
    ) -> None:
        """Keep what the attention is called with: a hook in front of it."""
        self._arguments, self._named = arguments, named

    def keep_stream(
        self, _module: nn.Module, arguments: tuple[Any, ...], named: dict[str, Any]
    ) -> None:
        """Keep what the block reads: a hook in front of it."""
        self.stream = arguments[0] if arguments else named["hidden_states"]

    def take(self, call: AttentionCall) -> None:
        """Take what is multiplied; ends an attention that runs again."""
        self._call = call
        if self._runs_again:
            raise _QueryKnown

    def forget(self) -> None:
        """Let go of all tensors."""
        self.stream, self._arguments, self._named, self._call = Tensor(), (), {}, None


Receive = Callable[[WatchedAttention], None]
_WATCHED: Final[dict[nn.Module, WatchedAttention]] = {}
"""Attention modules that are watched now."""


@contextmanager
def watch_attention(
    forward: Forward, attention: Attention, receive: Mapping[int, Receive]
) -> Iterator[None]:
    """While open, hand each layer's attention to its receiver as soon as it has run.

    Args:
        forward: The model, which is run meanwhile.
        attention: Where its family keeps what belongs to attention.
        receive: Layer → what takes it. What it is handed is gone when it returns.
    """
    with ExitStack() as stack:
        if attention.runner == "interface":
            stack.enter_context(_run_by_interface(forward))
        for layer, take in receive.items():
            block = forward.blocks[layer]
            module = block.get_submodule(attention.module)
            norm = None if attention.norm is None else block.get_submodule(attention.norm.module)
            watched = WatchedAttention(layer, module, norm)
            for hook in (
                block.register_forward_pre_hook(watched.keep_stream, with_kwargs=True),
                module.register_forward_pre_hook(watched.keep_inputs, with_kwargs=True),
                module.register_forward_hook(_make_delivery(watched, take)),
            ):
                stack.callback(hook.remove)
            stack.enter_context(_WATCHERS[attention.runner](module, watched))
        yield


def _make_delivery(watched: WatchedAttention, take: Receive) -> Callable[..., None]:
    def deliver(*_: object) -> None:
        take(watched)
        watched.forget()

    return deliver


@contextmanager
def _run_by_interface(forward: Forward) -> Iterator[None]:
    """While open, the model's attention is ours, and its masks are numbers that are added."""
    from transformers import AttentionInterface
    from transformers.masking_utils import AttentionMaskInterface, eager_mask

    AttentionInterface.register(IMPLEMENTATION, _attend)
    AttentionMaskInterface.register(IMPLEMENTATION, eager_mask)
    config: Any = forward.decoder.config
    before = config._attn_implementation
    config._attn_implementation = IMPLEMENTATION
    try:
        yield
    finally:
        config._attn_implementation = before


def _attend(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    softcap: float | None = None,
    **_: object,
) -> tuple[Tensor, None]:
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    call = AttentionCall(query, key, value, attention_mask, scale, softcap)
    if module in _WATCHED:
        _WATCHED[module].take(call)
    return _mix_values(call).transpose(1, 2).contiguous(), None


def _mix_values(call: AttentionCall) -> Float[Tensor, "texts heads positions d_head"]:
    """Return what attention puts out, as the model goes on with it."""
    if call.softcap is not None:
        heads = [
            compute_pattern(call, call.query[:, head], head).to(call.value.dtype)
            @ call.value[:, call.key_head(head)]
            for head in range(call.query.shape[1])
        ]
        return torch.stack(heads, dim=1)
    group = call.query.shape[1] // call.key.shape[1]
    key, value = (t.repeat_interleave(group, dim=1) for t in (call.key, call.value))
    return scaled_dot_product_attention(
        call.query, key, value, attn_mask=call.bias, scale=call.scale
    )


def compute_pattern(
    call: AttentionCall, query: Float[Tensor, "texts positions d_head"], head: int
) -> Float[Tensor, "texts positions keys"]:
    """Return how a head's attention is shared out by queries, its own or others.

    It is computed in float32 at least.
    """
    precision = torch.promote_types(query.dtype, torch.float32)
    key = call.key[:, call.key_head(head)].to(precision)
    scores = (query.to(precision) @ key.transpose(1, 2)) * call.scale
    if call.softcap is not None:
        scores = torch.tanh(scores / call.softcap) * call.softcap
    if call.bias is not None:
        scores = scores + call.bias[:, head if call.bias.shape[1] > 1 else 0].to(precision)
    return scores.softmax(dim=-1)


@contextmanager
def _watch_interface(module: nn.Module, watched: WatchedAttention) -> Iterator[None]:
    _WATCHED[module] = watched
    try:
        yield
    finally:
        del _WATCHED[module]


@contextmanager
def _watch_gptj(module: Any, watched: WatchedAttention) -> Iterator[None]:
    """Watch GPT-J, whose attention is a method of the module's."""
    own = module._attn

    def attend(query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None) -> Any:
        scale = 1.0 / float(module.scale_attn)
        watched.take(AttentionCall(query, key, value, attention_mask, scale))
        return own(query, key, value, attention_mask)

    module._attn = attend
    try:
        yield
    finally:
        del module._attn


@contextmanager
def _watch_bloom(module: Any, watched: WatchedAttention) -> Iterator[None]:
    """Watch BLOOM, whose ALiBi is added to the scores with the mask."""

    def take(_module: nn.Module, _inputs: object, output: Tensor) -> None:
        query, key, value = module._reshape(output)
        alibi, mask = watched._named["alibi"], watched._named["attention_mask"]
        bias = alibi.view(len(query), query.shape[1], 1, -1)
        bias = bias if mask is None else bias + mask
        watched.take(AttentionCall(query, key, value, bias, module.inv_norm_factor))

    handle = module.query_key_value.register_forward_hook(take)
    try:
        yield
    finally:
        handle.remove()


_WATCHERS: Final = {"interface": _watch_interface, "gptj": _watch_gptj, "bloom": _watch_bloom}
