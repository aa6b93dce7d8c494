"""StableLM: as Llama, but behind a LayerNorm with gain and bias.

In its parallel form attention and MLP read through one norm, the one in front of attention.
"""

from __future__ import annotations

from functools import partial

from ingest.families.architecture import read_common_architecture
from ingest.families.attention import Attention, QueryNorm, read_attention
from ingest.families.layout import Layout, NormPlace, gated_linear
from ingest.families.settings import Settings

MODEL_TYPES = ("stablelm",)


def layout(settings: Settings) -> Layout:
    """Return the layout of a StableLM model.

    Raises:
        CheckpointError: The configuration lacks a value or holds an impossible one.
    """
    parallel = settings.flag("use_parallel_residual", default=False)
    gate, in_, out = gated_linear()
    return Layout(
        architecture=read_common_architecture(
            settings,
            gated=True,
            norm="layer",
            activation=settings.text("hidden_act", default="silu"),
            tied=False,
        ),
        gate=gate,
        in_=in_,
        out=out,
        pre_norm=NormPlace(
            "input_layernorm" if parallel else "post_attention_layernorm", bias=True
        ),
        final_norm=NormPlace("norm", bias=True),
        attention=partial(_read_attention, settings),
    )


def _read_attention(settings: Settings) -> Attention:
    has_norm = settings.flag("qk_layernorm", default=False)
    return read_attention(
        settings,
        key_heads=32,
        norm=NormPlace("input_layernorm", bias=True),
        query_norm=QueryNorm("self_attn.q_layernorm", "layer") if has_norm else None,
    )
