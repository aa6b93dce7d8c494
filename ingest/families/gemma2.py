"""Gemma-2 and Gemma-3: as Gemma, but the MLP stands between a norm before and a norm after.

A Gemma-3 that also sees images (`gemma3`) keeps its language model's sizes under `text_config`
and its tensors under one of two prefixes, according to the version of transformers that wrote it.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from ingest.families.architecture import read_common_architecture
from ingest.families.attention import Attention, QueryNorm, read_attention
from ingest.families.layout import Layout, NormPlace, gated_linear
from ingest.families.settings import Settings

MODEL_TYPES = ("gemma2", "gemma3_text", "gemma3")

# The published `text_config`s leave out what equals transformers' default; this one has no other
# way to be known, and the reader checks it against the stored embedding.
GEMMA3_VOCABULARY = 262_208


def layout(settings: Settings) -> Layout:
    """Return the layout of a Gemma-2 or -3.

    Raises:
        CheckpointError: The configuration lacks a value or holds an impossible one.
    """
    if settings.text("model_type") == "gemma3":
        return _with_vision(settings)
    gate, in_, out = gated_linear()
    return Layout(
        architecture=read_common_architecture(
            settings,
            gated=True,
            norm="rms",
            activation=settings.text("hidden_activation", default="gelu_pytorch_tanh"),
            tied=True,
        ),
        gate=gate,
        in_=in_,
        out=out,
        pre_norm=NormPlace("pre_feedforward_layernorm", offset=1.0),
        post_norm=NormPlace("post_feedforward_layernorm", offset=1.0),
        final_norm=NormPlace("norm", offset=1.0),
        attention=partial(_read_attention, settings),
    )


def _read_attention(settings: Settings) -> Attention:
    # Gemma-3 normalises its queries; Gemma-2 caps the scores, which no gain can express.
    has_norm = settings.text("model_type") != "gemma2"
    return read_attention(
        settings,
        heads=8,
        key_heads=4,
        head=256,
        scale=settings.number("query_pre_attn_scalar", default=256.0) ** -0.5,
        norm=NormPlace("input_layernorm", offset=1.0),
        query_norm=QueryNorm("self_attn.q_norm", offset=1.0) if has_norm else None,
    )


def _with_vision(settings: Settings) -> Layout:
    section = settings.section("text_config")
    defaults = {"model_type": "gemma3_text", "vocab_size": GEMMA3_VOCABULARY}
    tied = settings.flag("tie_word_embeddings", default=True)
    values = {**defaults, **section.values, "tie_word_embeddings": tied}
    text_layout = layout(Settings(values, section.source))
    return replace(
        text_layout,
        architecture=replace(text_layout.architecture, model_type="gemma3"),
        roots=("model.language_model.", "language_model.model."),
        heads=("lm_head.weight", "language_model.lm_head.weight"),
    )
