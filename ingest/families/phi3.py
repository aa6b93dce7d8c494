"""Phi-3 and Phi-4: as Llama, but gate and up are stacked in one tensor, the gate on top."""

from __future__ import annotations

from functools import partial

from ingest.families.architecture import read_common_architecture
from ingest.families.attention import read_attention
from ingest.families.layout import Layout, Matrix, NormPlace
from ingest.families.settings import Settings

MODEL_TYPES = ("phi3",)


def layout(settings: Settings) -> Layout:
    """Return the layout of a Phi-3 model.

    Raises:
        CheckpointError: The configuration lacks a value or holds an impossible one.
    """
    return Layout(
        architecture=read_common_architecture(
            settings,
            gated=True,
            norm="rms",
            activation=settings.text("hidden_act", default="silu"),
            tied=False,
        ),
        gate=Matrix("mlp.gate_up_proj", "rows", part=0, parts=2),
        in_=Matrix("mlp.gate_up_proj", "rows", part=1, parts=2),
        out=Matrix("mlp.down_proj", "columns"),
        pre_norm=NormPlace("post_attention_layernorm"),
        final_norm=NormPlace("norm"),
        attention=partial(read_attention, settings, query="self_attn.qkv_proj"),
    )
