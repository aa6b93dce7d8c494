"""Gemma: as Llama, but the norms' gain is 1 + w and the embedding is always the unembedding.

The factor √d_model on the embedding is one number for the whole model and is left out: METHODS
§1.2 takes the embedding as it is stored.
"""

from __future__ import annotations

from functools import partial

from ingest.families.architecture import read_common_architecture
from ingest.families.attention import read_attention
from ingest.families.layout import Layout, NormPlace, gated_linear
from ingest.families.settings import Settings

MODEL_TYPES = ("gemma",)
TANH_GELU = "gelu_pytorch_tanh"


def layout(settings: Settings) -> Layout:
    """Return the layout of a Gemma model.

    Raises:
        CheckpointError: The configuration lacks a value or holds an impossible one.
    """
    stated = settings.text("hidden_act", default=TANH_GELU)
    gate, in_, out = gated_linear()
    return Layout(
        architecture=read_common_architecture(
            settings,
            gated=True,
            norm="rms",
            # The official files say "gelu" and mean its tanh form; transformers corrects it too.
            activation=TANH_GELU if stated == "gelu" else stated,
            tied=True,
        ),
        gate=gate,
        in_=in_,
        out=out,
        pre_norm=NormPlace("post_attention_layernorm", offset=1.0),
        final_norm=NormPlace("norm", offset=1.0),
        attention=partial(
            read_attention,
            settings,
            key_heads=16,
            head=256,
            norm=NormPlace("input_layernorm", offset=1.0),
        ),
    )
