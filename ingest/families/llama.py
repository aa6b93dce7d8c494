"""Llama and the models laid out like it: gate_proj, up_proj, down_proj behind an RMSNorm.

Yi calls itself `llama`. Mistral, Qwen and SmolLM3 differ from Llama in attention only. Granite also
scales the embedding, what each block adds to the residual stream, and the logits, each by one
number for the whole model. No cosine changes, so every vector is left as it is stored: norms and
dot products of a Granite are those without the multipliers.
"""

from __future__ import annotations

from functools import partial

from ingest.families.architecture import read_common_architecture
from ingest.families.attention import Attention, QueryNorm, read_attention
from ingest.families.layout import Layout, NormPlace, gated_linear
from ingest.families.settings import Settings

MODEL_TYPES = ("llama", "mistral", "qwen2", "qwen3", "granite", "smollm3")

# What transformers assumes where a configuration does not say: all but SmolLM3 untied, and only
# these have an MLP whose bias the configuration can switch on.
TIED_BY_DEFAULT = frozenset({"smollm3"})
BIAS_SWITCH = frozenset({"llama", "granite", "smollm3"})
KEY_HEADS = {"mistral": 8, "qwen2": 32, "qwen3": 32, "smollm3": 4}
"""Heads of keys where a configuration does not say, as transformers assumes; else all."""


def layout(settings: Settings) -> Layout:
    """Return the layout of a Llama-like model.

    Raises:
        CheckpointError: The configuration lacks a value or holds an impossible one.
    """
    model_type = settings.text("model_type")
    bias = model_type in BIAS_SWITCH and settings.flag("mlp_bias", default=False)
    gate, in_, out = gated_linear(bias=bias)
    return Layout(
        architecture=read_common_architecture(
            settings,
            gated=True,
            norm="rms",
            activation=settings.text("hidden_act", default="silu"),
            tied=model_type in TIED_BY_DEFAULT,
        ),
        gate=gate,
        in_=in_,
        out=out,
        pre_norm=NormPlace("post_attention_layernorm"),
        final_norm=NormPlace("norm"),
        attention=partial(_read_attention, settings),
    )


def _read_attention(settings: Settings) -> Attention:
    model_type = settings.text("model_type")
    own: dict[str, object] = {}
    if model_type == "qwen3":
        own = {"head": 128, "query_norm": QueryNorm("self_attn.q_norm")}
    elif model_type == "granite":
        own = {"scale": settings.number("attention_multiplier", default=1.0)}
        own |= {"residual_scale": settings.number("residual_multiplier", default=1.0)}
    return read_attention(settings, key_heads=KEY_HEADS.get(model_type), **own)  # type: ignore[arg-type]
