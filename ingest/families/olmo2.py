"""OLMo-2 and OLMo-3: the MLP reads the residual stream as it is; the RMSNorm comes after it."""

from __future__ import annotations

from functools import partial

from ingest.families.architecture import read_common_architecture
from ingest.families.attention import QueryNorm, read_attention
from ingest.families.layout import Layout, NormPlace, gated_linear
from ingest.families.settings import Settings

MODEL_TYPES = ("olmo2", "olmo3")


def layout(settings: Settings) -> Layout:
    """Return the layout of an OLMo-2 or -3.

    Raises:
        CheckpointError: The configuration lacks a value or holds an impossible one.
    """
    gate, in_, out = gated_linear()
    return Layout(
        architecture=read_common_architecture(
            settings,
            gated=True,
            norm="rms",
            activation=settings.text("hidden_act", default="silu"),
            tied=False,
        ),
        gate=gate,
        in_=in_,
        out=out,
        pre_norm=None,
        post_norm=NormPlace("post_feedforward_layernorm"),
        final_norm=NormPlace("norm"),
        attention=partial(
            read_attention, settings, norm=None, query_norm=QueryNorm("self_attn.q_norm")
        ),
    )
