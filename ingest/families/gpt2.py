"""GPT-2: ungated, behind a LayerNorm; its `Conv1D` keeps (inputs, outputs), unlike `nn.Linear`."""

from __future__ import annotations

from functools import partial

from ingest.families.architecture import read_gpt2_architecture
from ingest.families.attention import Attention, read_attention
from ingest.families.layout import Layout, Matrix, NormPlace
from ingest.families.settings import Settings

MODEL_TYPES = ("gpt2",)


def layout(settings: Settings) -> Layout:
    """Return the layout of a GPT-2 model.

    Raises:
        CheckpointError: The configuration lacks a value or holds an impossible one.
    """
    return Layout(
        architecture=read_gpt2_architecture(settings, tied=True),
        roots=("transformer.", ""),
        block="h.{}.",
        embedding="wte",
        gate=None,
        in_=Matrix("mlp.c_fc", "columns", bias=True),
        out=Matrix("mlp.c_proj", "rows"),
        pre_norm=NormPlace("ln_2", bias=True),
        final_norm=NormPlace("ln_f", bias=True),
        attention=partial(_read_attention, settings),
    )


def _read_attention(settings: Settings) -> Attention:
    return read_attention(
        settings,
        module="attn",
        query="attn.c_attn",
        query_orientation="columns",
        output="attn.c_proj",
        norm=NormPlace("ln_1", bias=True),
        position="learned",
        scale=None if settings.flag("scale_attn_weights", default=True) else 1.0,
        scale_by_layer=settings.flag("scale_attn_by_inverse_layer_idx", default=False),
    )
