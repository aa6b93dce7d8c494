"""BLOOM: ungated, behind a LayerNorm; its activation is fixed to the tanh form of GELU.

The LayerNorm on its embedding is left out: METHODS §1.2 takes the embedding as it is stored.
"""

from __future__ import annotations

from functools import partial

from ingest.families.architecture import Architecture
from ingest.families.attention import read_attention
from ingest.families.layout import Layout, Matrix, NormPlace
from ingest.families.settings import Settings
from neurondb.errors import UnsupportedModelError

MODEL_TYPES = ("bloom",)


def layout(settings: Settings) -> Layout:
    """Return the layout of a BLOOM model.

    Raises:
        CheckpointError: The configuration is incomplete.
        UnsupportedModelError: Blocks add to the normalised stream, which folding cannot express.
    """
    if settings.flag("apply_residual_connection_post_layernorm", default=False):
        raise UnsupportedModelError(
            f"{settings.source}: model_type 'bloom' with apply_residual_connection_post_layernorm"
            " has no adapter; only the published form without it is supported"
        )
    d_model = settings.integer("hidden_size", "n_embed")
    return Layout(
        architecture=Architecture(
            model_type="bloom",
            gated=False,
            activation="gelu_new",
            n_layers=settings.integer("n_layer", "num_hidden_layers"),
            d_model=d_model,
            d_mlp=4 * d_model,
            d_vocab=settings.integer("vocab_size"),
            norm="layer",
            tied=settings.flag("tie_word_embeddings", default=True),
            context=settings.integer_or_none("seq_length"),
        ),
        roots=("transformer.", ""),
        block="h.{}.",
        embedding="word_embeddings",
        gate=None,
        in_=Matrix("mlp.dense_h_to_4h", "rows", bias=True),
        out=Matrix("mlp.dense_4h_to_h", "columns"),
        pre_norm=NormPlace("post_attention_layernorm", bias=True),
        final_norm=NormPlace("ln_f", bias=True),
        attention=partial(
            read_attention,
            settings,
            module="self_attention",
            query="self_attention.query_key_value",
            interleaved=True,
            output="self_attention.dense",
            norm=NormPlace("input_layernorm", bias=True),
            position="alibi",
            runner="bloom",
        ),
    )
