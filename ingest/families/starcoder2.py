"""StarCoder2: ungated, behind a LayerNorm; GPT-2's names, but `nn.Linear`'s orientation."""

from __future__ import annotations

from functools import partial

from ingest.families.architecture import read_common_architecture
from ingest.families.attention import read_attention
from ingest.families.layout import Layout, Matrix, NormPlace
from ingest.families.settings import Settings

MODEL_TYPES = ("starcoder2",)


def layout(settings: Settings) -> Layout:
    """Return the layout of a StarCoder2 model.

    Raises:
        CheckpointError: The configuration lacks a value or holds an impossible one.
    """
    return Layout(
        architecture=read_common_architecture(
            settings,
            gated=False,
            norm="layer",
            activation=settings.text("hidden_act", default="gelu_pytorch_tanh"),
            tied=True,
        ),
        gate=None,
        in_=Matrix("mlp.c_fc", "rows", bias=settings.flag("use_bias", default=True)),
        out=Matrix("mlp.c_proj", "columns"),
        pre_norm=NormPlace("post_attention_layernorm", bias=True),
        final_norm=NormPlace("norm", bias=True),
        attention=partial(
            read_attention, settings, key_heads=2, norm=NormPlace("input_layernorm", bias=True)
        ),
    )
