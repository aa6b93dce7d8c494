"""OLMoE, Mixtral, Qwen-MoE and DeepSeek: Llama's gated MLP, many times in a layer, and a router.

Each expert's neurons are those of Llama's MLP. Qwen2-MoE and DeepSeek send every token through a
shared expert too, which is the layer's last one here; DeepSeek's several shared experts are one
module in its files, and one expert here. Qwen's `mlp_only_layers` and DeepSeek's first layers are
dense. What the router multiplies an expert's output by belongs to no neuron: `hook_post` and `out`
are without it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ingest.families.architecture import Architecture, read_common_architecture
from ingest.families.experts import ExpertPlaces, separate_experts
from ingest.families.layout import Layout, Matrix, NormPlace, gated_linear
from ingest.families.settings import Settings
from neurondb.errors import CheckpointError
from neurondb.experts import Experts

MODEL_TYPES = ("olmoe", "mixtral", "qwen2_moe", "qwen3_moe", "deepseek_v2", "deepseek_v3")

SHARED_MODULE = {"qwen2_moe": "shared_expert"}
"""How the module of the shared expert is called, where not `shared_experts`."""


def layout(settings: Settings) -> Layout:
    """Return the layout of a mixture of experts.

    Raises:
        CheckpointError: The configuration lacks a value or holds an impossible one.
    """
    model_type = settings.text("model_type")
    experts = read_experts(settings)
    # Only DeepSeek-V2 can have biases, in its MLPs, never in an expert of its own.
    bias = model_type == "deepseek_v2" and settings.flag("mlp_bias", default=False)
    gate, in_, out = gated_linear(bias=bias)
    if bias and experts.shared_width:
        raise CheckpointError(
            f"{settings.source}: 'mlp_bias' is true, which no published mixture of experts has"
        )
    of_expert = ("gate_proj", "up_proj", "down_proj")
    routed = separate_experts("mlp.experts", *of_expert)
    if model_type == "mixtral":
        routed = separate_experts("block_sparse_moe.experts", "w1", "w3", "w2")
    module = f"mlp.{SHARED_MODULE.get(model_type, 'shared_experts')}"
    return Layout(
        architecture=read_architecture(settings, experts),
        gate=replace(gate, width=experts.dense_width),
        in_=replace(in_, width=experts.dense_width),
        out=replace(out, width=experts.dense_width),
        pre_norm=NormPlace("post_attention_layernorm"),
        final_norm=NormPlace("norm"),
        experts=ExpertPlaces(
            *routed,
            shared=_list_shared(module, experts.shared_width) if experts.shared_width else None,
            shared_gate="mlp.shared_expert_gate" if model_type == "qwen2_moe" else None,
        ),
    )


def _list_shared(module: str, width: int) -> tuple[Matrix, Matrix, Matrix]:
    return (
        Matrix(f"{module}.gate_proj", "rows", width=width),
        Matrix(f"{module}.up_proj", "rows", width=width),
        Matrix(f"{module}.down_proj", "columns", width=width),
    )


def read_architecture(settings: Settings, experts: Experts, **own: Any) -> Architecture:
    """Return a mixture's sizes; its layers are as wide as all of their experts.

    `own` are values that differ from those of most mixtures.
    """
    common = read_common_architecture(
        settings,
        gated=True,
        norm="rms",
        activation=settings.text("hidden_act", default="silu"),
        tied=False,
    )
    return replace(common, d_mlp=experts.widest, experts=experts, **own)


def read_experts(settings: Settings) -> Experts:
    """Return how the MLPs are divided.

    Raises:
        CheckpointError: A size is missing or is no positive integer.
    """
    model_type = settings.text("model_type")
    dense = tuple(_list_dense_layers(settings, model_type))
    is_deepseek = model_type.startswith("deepseek")
    width = settings.integer(
        *(() if model_type in ("olmoe", "mixtral") else ("moe_intermediate_size",)),
        "intermediate_size",
    )
    if is_deepseek:
        shared = settings.integer("n_shared_experts") * width
    elif model_type == "qwen2_moe":
        shared = settings.integer("shared_expert_intermediate_size")
    else:
        shared = 0
    return Experts(
        n_routed=settings.integer("num_experts", "num_local_experts", "n_routed_experts"),
        width=width,
        per_token=settings.integer("num_experts_per_tok"),
        shared_width=shared,
        dense_layers=dense,
        dense_width=settings.integer("intermediate_size") if dense else 0,
    )


def _list_dense_layers(settings: Settings, model_type: str) -> list[int]:
    layers = range(settings.integer("num_hidden_layers"))
    if model_type.startswith("deepseek"):
        n_first = settings.number("first_k_dense_replace", default=0)
        return [layer for layer in layers if layer < n_first]
    if model_type.startswith("qwen"):
        only = settings.values.get("mlp_only_layers") or []
        step = settings.integer("decoder_sparse_step", default=1)
        if not isinstance(only, list):
            raise CheckpointError(
                f"{settings.source}: 'mlp_only_layers' is {only!r}, but must be a list of layers"
            )
        return [layer for layer in layers if layer in only or (layer + 1) % step]
    return []
