"""OPT: ungated, behind a LayerNorm that the MLP's block calls `final_layer_norm`.

OPT-350m is the one published OPT with its norms after each block and with an embedding narrower
than the residual stream; neither fits METHODS §1, and it is refused.
"""

from __future__ import annotations

from functools import partial

from ingest.families.architecture import Architecture
from ingest.families.attention import read_attention
from ingest.families.layout import Layout, Matrix, NormPlace
from ingest.families.settings import Settings
from neurondb.errors import UnsupportedModelError

MODEL_TYPES = ("opt",)


def layout(settings: Settings) -> Layout:
    """Return the layout of an OPT model.

    Raises:
        CheckpointError: The configuration is incomplete.
        UnsupportedModelError: It is built like OPT-350m.
    """
    _refuse_350m(settings)
    affine = settings.flag("layer_norm_elementwise_affine", default=True)
    has_final = not settings.flag("_remove_final_layer_norm", default=False)
    return Layout(
        architecture=_architecture(settings),
        roots=("model.decoder.", "decoder.", ""),
        gate=None,
        in_=Matrix("fc1", "rows", bias=settings.flag("enable_bias", default=True)),
        out=Matrix("fc2", "columns"),
        pre_norm=NormPlace("final_layer_norm", gain=affine, bias=affine),
        final_norm=NormPlace("final_layer_norm", gain=affine, bias=affine) if has_final else None,
        attention=partial(
            read_attention,
            settings,
            output="self_attn.out_proj",
            norm=NormPlace("self_attn_layer_norm", gain=affine, bias=affine),
            position="learned",
        ),
    )


def _architecture(settings: Settings) -> Architecture:
    return Architecture(
        model_type="opt",
        gated=False,
        activation=settings.text("activation_function", default="relu"),
        n_layers=settings.integer("num_hidden_layers"),
        d_model=settings.integer("hidden_size"),
        d_mlp=settings.integer("ffn_dim"),
        d_vocab=settings.integer("vocab_size"),
        norm="layer",
        tied=settings.flag("tie_word_embeddings", default=True),
        context=settings.integer_or_none("max_position_embeddings"),
    )


def _refuse_350m(settings: Settings) -> None:
    hidden = settings.integer("hidden_size")
    width = settings.integer("word_embed_proj_dim", default=hidden)
    if width != hidden:
        problem = f"word_embed_proj_dim {width} differs from hidden_size {hidden}"
    elif not settings.flag("do_layer_norm_before", default=True):
        problem = "do_layer_norm_before is false"
    else:
        return
    raise UnsupportedModelError(
        f"{settings.source}: model_type 'opt' built like opt-350m has no adapter ({problem});"
        " take another size of OPT"
    )
