"""OLMo: as Llama, but behind a LayerNorm, which has no parameters yet subtracts the mean."""

from __future__ import annotations

from functools import partial

from ingest.families.architecture import read_common_architecture
from ingest.families.attention import read_attention
from ingest.families.layout import Layout, NormPlace, gated_linear
from ingest.families.settings import Settings

MODEL_TYPES = ("olmo",)


def layout(settings: Settings) -> Layout:
    """Return the layout of an OLMo model.

    Raises:
        CheckpointError: The configuration lacks a value or holds an impossible one.
    """
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
        pre_norm=NormPlace("post_attention_layernorm", gain=False),
        final_norm=NormPlace("norm", gain=False),
        attention=partial(read_attention, settings, norm=NormPlace("input_layernorm", gain=False)),
    )
