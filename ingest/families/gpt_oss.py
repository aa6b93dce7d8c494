"""gpt-oss: gate and in of all experts alternate in one tensor, with biases and a clamped SwiGLU.

An expert computes (in + 1) · gate · σ(α·gate), with gate clamped from above and in on both sides.
The one that is added to in is a part of its bias here, so that `hook_post` is the product of an
activation of the gate and of x_in as in every gated model, and its sign follows from theirs. x_gate
and x_in are values before they are clamped; `hook_post` is the model's own, after clamping.
"""

from __future__ import annotations

from typing import Final

from ingest.families.experts import ExpertMatrix, ExpertPlaces
from ingest.families.layout import Layout, NormPlace, gated_linear
from ingest.families.mixtures import read_architecture
from ingest.families.settings import Settings
from neurondb.errors import UnsupportedModelError
from neurondb.experts import Experts

MODEL_TYPES = ("gpt_oss",)

ACTIVATION: Final = "clamped_swish"
"""What `models.activation` calls the function on the gate; the configuration says `silu`."""
ALPHA: Final = 1.702
LIMIT: Final = 7.0
"""The constants of the published models' activation."""


def layout(settings: Settings) -> Layout:
    """Return the layout of a gpt-oss model.

    Raises:
        CheckpointError: The configuration lacks a value or holds an impossible one.
        UnsupportedModelError: Its activation has other constants than the published models'.
    """
    for key, published in (("swiglu_alpha", ALPHA), ("swiglu_limit", LIMIT)):
        if settings.number(key, default=published) != published:
            raise UnsupportedModelError(
                f"{settings.source}: model_type 'gpt_oss' with {key} {settings.number(key)} has no"
                f" adapter; only {published} is supported"
            )
    experts = Experts(
        n_routed=settings.integer("num_local_experts", "num_experts"),
        width=settings.integer("intermediate_size"),
        per_token=settings.integer("num_experts_per_tok", "experts_per_token"),
    )
    gate, in_, out = gated_linear()
    fused, bias = "mlp.experts.gate_up_proj", "mlp.experts.gate_up_proj_bias"
    return Layout(
        architecture=read_architecture(settings, experts, activation=ACTIVATION),
        gate=gate,
        in_=in_,
        out=out,
        pre_norm=NormPlace("post_attention_layernorm"),
        final_norm=NormPlace("norm"),
        experts=ExpertPlaces(
            ExpertMatrix(fused, "columns", bias=bias, turn=0),
            ExpertMatrix(fused, "columns", bias=bias, turn=1),
            ExpertMatrix("mlp.experts.down_proj", "rows"),
            in_offset=1.0,
            router="mlp.router",
        ),
    )
