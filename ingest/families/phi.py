"""Phi-1, -1.5 and -2: ungated; attention and MLP run in parallel and read through one LayerNorm.

The bias of its unembedding is no part of any vector and is not read.
"""

from __future__ import annotations

from functools import partial

from ingest.families.architecture import read_common_architecture
from ingest.families.attention import Attention, QueryNorm, read_attention
from ingest.families.layout import Layout, Matrix, NormPlace
from ingest.families.settings import Settings

MODEL_TYPES = ("phi",)


def layout(settings: Settings) -> Layout:
    """Return the layout of a Phi model.

    Raises:
        CheckpointError: The configuration lacks a value or holds an impossible one.
    """
    return Layout(
        architecture=read_common_architecture(
            settings,
            gated=False,
            norm="layer",
            activation=settings.text("hidden_act", default="gelu_new"),
            tied=False,
        ),
        gate=None,
        in_=Matrix("mlp.fc1", "rows", bias=True),
        out=Matrix("mlp.fc2", "columns"),
        pre_norm=NormPlace("input_layernorm", bias=True),
        final_norm=NormPlace("final_layernorm", bias=True),
        attention=partial(_read_attention, settings),
    )


def _read_attention(settings: Settings) -> Attention:
    has_norm = settings.flag("qk_layernorm", default=False)
    return read_attention(
        settings,
        output="self_attn.dense",
        norm=NormPlace("input_layernorm", bias=True),
        query_norm=QueryNorm("self_attn.q_layernorm", "layer") if has_norm else None,
    )
