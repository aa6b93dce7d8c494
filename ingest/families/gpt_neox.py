"""GPT-NeoX and Pythia: ungated, behind a LayerNorm of the MLP's own.

With `use_parallel_residual` attention and MLP read the same residual stream, but still each
through its own norm: the MLP's is `post_attention_layernorm` in both forms.
"""

from __future__ import annotations

from functools import partial

from ingest.families.architecture import read_common_architecture
from ingest.families.attention import read_attention
from ingest.families.layout import Layout, Matrix, NormPlace
from ingest.families.settings import Settings

MODEL_TYPES = ("gpt_neox",)


def layout(settings: Settings) -> Layout:
    """Return the layout of a GPT-NeoX model.

    Raises:
        CheckpointError: The configuration lacks a value or holds an impossible one.
    """
    return Layout(
        architecture=read_common_architecture(
            settings,
            gated=False,
            norm="layer",
            activation=settings.text("hidden_act", default="gelu"),
            tied=False,
        ),
        roots=("gpt_neox.", ""),
        embedding="embed_in",
        heads=("embed_out.weight", "lm_head.weight"),  # the second since transformers 5
        gate=None,
        in_=Matrix("mlp.dense_h_to_4h", "rows", bias=True),
        out=Matrix("mlp.dense_4h_to_h", "columns"),
        pre_norm=NormPlace("post_attention_layernorm", bias=True),
        final_norm=NormPlace("final_layer_norm", bias=True),
        attention=partial(
            read_attention,
            settings,
            module="attention",
            query="attention.query_key_value",
            interleaved=True,
            output="attention.dense",
            norm=NormPlace("input_layernorm", bias=True),
        ),
    )
