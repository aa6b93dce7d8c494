"""GPT-J: ungated; attention and MLP run in parallel and read through one LayerNorm.

The bias of its unembedding is no part of any vector and is not read.
"""

from __future__ import annotations

from functools import partial

from ingest.families.architecture import read_gpt2_architecture
from ingest.families.attention import read_attention
from ingest.families.layout import Layout, Matrix, NormPlace
from ingest.families.settings import Settings

MODEL_TYPES = ("gptj",)


def layout(settings: Settings) -> Layout:
    """Return the layout of a GPT-J model.

    Raises:
        CheckpointError: The configuration lacks a value or holds an impossible one.
    """
    return Layout(
        architecture=read_gpt2_architecture(settings, tied=False),
        roots=("transformer.", ""),
        block="h.{}.",
        embedding="wte",
        gate=None,
        in_=Matrix("mlp.fc_in", "rows", bias=True),
        out=Matrix("mlp.fc_out", "columns"),
        pre_norm=NormPlace("ln_1", bias=True),
        final_norm=NormPlace("ln_f", bias=True),
        attention=partial(
            read_attention,
            settings,
            module="attn",
            query="attn.q_proj",
            output="attn.out_proj",
            norm=NormPlace("ln_1", bias=True),
            runner="gptj",
        ),
    )
