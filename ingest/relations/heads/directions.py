"""What of the residual stream raises each head's attention to BOS (METHODS §7).

The score of a neuron at a head is linear in the unit vector that it writes along: its product with
W_Q k_BOS / √d_head, taken back through the gain of the norm before. Such a direction is read once a
head. Left out of it, as the paper does, is what no neuron's direction decides: the biases of
queries, the size of the norm before, the norm on queries but its gain, and the rotary embedding.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ingest.families.attention import Attention
from ingest.families.layout import Layout
from ingest.forward.batching import Batch
from ingest.forward.model import Forward
from ingest.relations.heads.watching import AttentionCall, watch_attention
from neurondb.errors import ModelError, UnsupportedModelError


@dataclass(frozen=True)
class BosState:
    """What every layer's attention makes of BOS alone.

    Attributes:
        key: Its keys.
        value: Its values.
    """

    key: Float[Tensor, "layers key_heads d_head"]
    value: Float[Tensor, "layers key_heads d_head"]


def find_attention(layout: Layout) -> Attention:
    """Return the places of a model's attention.

    Raises:
        UnsupportedModelError: when no adapter says where they are.
        CheckpointError: when a size is missing from its configuration.
    """
    if layout.attention is None:
        raise UnsupportedModelError(
            f"model_type '{layout.architecture.model_type}': ingest/families does not say yet"
            " where its attention is kept, so that its heads cannot be read"
        )
    return layout.attention()


@torch.inference_mode()
def run_on_bos(forward: Forward, attention: Attention, bos: int) -> BosState:
    """Run a text that is BOS alone, and return its keys and values in every layer, in float64.

    Its position is the first, where a rotary embedding turns nothing.

    Raises:
        ModelError: when the model that runs has other sizes than its configuration.
    """
    calls: dict[int, AttentionCall] = {}
    receive = {
        layer: lambda watched: calls.__setitem__(watched.layer, watched.call)
        for layer in range(forward.architecture.n_layers)
    }
    ids = torch.tensor([[bos]], device=forward.device)
    one = torch.ones(1, dtype=torch.int64, device=forward.device)
    with watch_attention(forward, attention, receive):
        forward.run(Batch(ids, one, one - 1), [])
    shape = (1, attention.n_key_heads, 1, attention.d_head)
    wrong = next((c.key.shape for c in calls.values() if tuple(c.key.shape) != shape), None)
    if wrong is not None or len(calls) != forward.architecture.n_layers:
        raise ModelError(
            f"model_type '{forward.architecture.model_type}': its attention has keys of shape"
            f" {list(wrong or ())}, not {list(shape)}; report this as a bug of NeuronDB"
        )
    layers = range(forward.architecture.n_layers)
    return BosState(
        torch.stack([calls[layer].key[0, :, 0].double() for layer in layers]),
        torch.stack([calls[layer].value[0, :, 0].double() for layer in layers]),
    )


def read_directions(
    forward: Forward, attention: Attention, layer: int, key: Float[Tensor, "key_heads d_head"]
) -> Float[Tensor, "heads d_model"]:
    """Return, of each head of a layer, the vector whose product with out/‖out‖ is the score.

    Args:
        forward: The model.
        attention: The places of its attention.
        layer: The layer.
        key: The keys of BOS there, in float64.

    Returns:
        W_Q k_BOS / √d_head with the gains of both norms folded in, in float64. Behind a LayerNorm
        its mean over d is taken away, as the norm takes it from what neurons write.
    """
    block = forward.blocks[layer]
    weight = _weight(block.get_submodule(attention.query))
    queries = attention.select_queries(weight).double()
    group = attention.n_heads // attention.n_key_heads
    of_head = _fold_query_norm(block, attention, key.repeat_interleave(group, dim=0))
    directions = torch.einsum("hkd,hk->hd", queries, of_head) * attention.score_scale(layer)
    if attention.norm is None:
        return directions
    norm = block.get_submodule(attention.norm.module)
    if attention.norm.gain:
        directions = directions * (_weight(norm).double() + attention.norm.offset)
    if forward.architecture.norm == "layer":
        directions = directions - directions.mean(dim=-1, keepdim=True)
    return directions


def _fold_query_norm(
    block: nn.Module, attention: Attention, key: Float[Tensor, "heads d_head"]
) -> Float[Tensor, "heads d_head"]:
    """Return keys times the gain of the norm on queries; a LayerNorm takes the mean away too."""
    place = attention.query_norm
    if place is None:
        return key
    module = block.get_submodule(place.module)
    norms: Sequence[nn.Module] = list(getattr(module, "norms", [module]))
    gain = torch.cat([_weight(norm).double() for norm in norms]) + place.offset
    # One gain for all heads, one for each, or one over all that the heads read (OLMo-2).
    folded = key * (gain if len(gain) == attention.d_head else gain.view(-1, attention.d_head))
    return folded - folded.mean(dim=-1, keepdim=True) if place.kind == "layer" else folded


def read_outputs(
    forward: Forward, attention: Attention, layer: int
) -> Float[Tensor, "heads d_model d_head"]:
    """Return W_O of each head of a layer, in float32."""
    module = forward.blocks[layer].get_submodule(attention.output)
    return attention.select_outputs(_weight(module)).float()


def _weight(module: nn.Module) -> Tensor:
    weight = module.weight
    assert isinstance(weight, Tensor)
    return weight.detach()


def list_ignored(attention: Attention, *, softcap: bool = False) -> list[str]:
    """Return what the score leaves out of a model's attention, in words."""
    ignored = ["the size of the norm before attention"] if attention.norm is not None else []
    if attention.query_norm is not None:
        ignored.append("the size of the norm on queries (its gain is folded in)")
    if attention.position == "rotary":
        ignored.append("the rotary embedding")
    elif attention.position == "alibi":
        ignored.append("ALiBi, which is the same for every query")
    if softcap:
        ignored.append("the bound of scores (softcapping)")
    return ignored
