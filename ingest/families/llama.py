"""Llama and the models laid out like it: gate_proj, up_proj, down_proj behind an RMSNorm.

Yi calls itself `llama`. Mistral, Qwen and SmolLM3 differ from Llama in attention only. Granite also
scales the embedding, what each block adds to the residual stream, and the logits, each by one
number for the whole model. No cosine changes, so every vector is left as it is stored: norms and
dot products of a Granite are those without the multipliers.
"""

from __future__ import annotations

from ingest.families.architecture import read_common_architecture
from ingest.families.layout import Layout, NormPlace, gated_linear
from ingest.families.settings import Settings

MODEL_TYPES = ("llama", "mistral", "qwen2", "qwen3", "granite", "smollm3")

# What transformers assumes where a configuration does not say: all but SmolLM3 untied, and only
# these have an MLP whose bias the configuration can switch on.
TIED_BY_DEFAULT = frozenset({"smollm3"})
BIAS_SWITCH = frozenset({"llama", "granite", "smollm3"})


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
    )
