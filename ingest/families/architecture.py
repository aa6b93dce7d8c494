"""A model's sizes as its `config.json` gives them, and the weights of one of its layers."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any, Final, Literal, TypeVar

import torch
from jaxtyping import Float
from torch import Tensor

from ingest.families.settings import Settings
from neurondb.experts import Experts

NormKind = Literal["rms", "layer"]
PHI3_SHORT_CONTEXT: Final = 4096
"""What transformers takes where the configuration of a Phi-3 does not say."""


@dataclass(frozen=True)
class Architecture:
    """A model's sizes and habits, as its `config.json` gives them.

    Attributes:
        model_type: As in the configuration; it selects the adapter.
        gated: Whether a neuron has a gate (METHODS, notation).
        activation: transformers' name of the function on the gate (ungated: on the input).
        n_layers: Number of layers.
        d_model: Width of the residual stream.
        d_mlp: Neurons per layer; in a mixture of experts, of the widest layer.
        d_vocab: Rows of the embedding.
        norm: RMSNorm, or LayerNorm, which also subtracts the mean.
        tied: Whether the unembedding is the embedding.
        context: The most positions the model can run; None where the configuration is silent.
        experts: How its MLPs are divided into experts; None in a dense model.
        short_context: The length beyond which all positions of a batch are rotated by other
            frequencies (Phi-3's LongRoPE), so that texts on either side of it cannot share a batch;
            None for other models.
    """

    model_type: str
    gated: bool
    activation: str
    n_layers: int
    d_model: int
    d_mlp: int
    d_vocab: int
    norm: NormKind
    tied: bool
    context: int | None
    experts: Experts | None = None
    short_context: int | None = None

    def count_neurons(self, layer: int) -> int:
        """Return how many neurons a layer has."""
        return self.d_mlp if self.experts is None else self.experts.count_neurons(layer)

    def is_divided(self, layer: int) -> bool:
        """Tell whether a layer's MLP is divided into experts."""
        return self.experts is not None and self.experts.is_divided(layer)


@dataclass(frozen=True)
class Norm:
    """A norm's parameters as they act: the gain is already 1 + w where the family says so.

    Either is None where the norm has no such parameter.
    """

    gain: Float[Tensor, " d_model"] | None
    bias: Float[Tensor, " d_model"] | None


@dataclass(frozen=True)
class LayerWeights:
    """The raw MLP weights of one layer, in the file's dtype; they may be views of mapped files.

    Every matrix has one neuron per row. `pre_norm` is the norm the MLP reads through (None: it
    reads the residual stream itself, as in OLMo-2); `post_norm` acts on what the MLP writes.
    The bias of the MLP's output belongs to no neuron and is not here.
    """

    gate: Float[Tensor, "d_mlp d_model"] | None
    in_: Float[Tensor, "d_mlp d_model"]
    out: Float[Tensor, "d_mlp d_model"]
    gate_bias: Float[Tensor, " d_mlp"] | None
    in_bias: Float[Tensor, " d_mlp"] | None
    pre_norm: Norm | None
    post_norm: Norm | None

    def to(self, device: torch.device) -> LayerWeights:
        """Return the weights on another device."""
        return _moved(self, device)


Tensors = TypeVar("Tensors", Norm, LayerWeights)


def _moved(tensors: Tensors, device: torch.device) -> Tensors:
    changes: dict[str, Any] = {}
    for field in fields(tensors):
        value = getattr(tensors, field.name)
        if isinstance(value, Tensor):
            changes[field.name] = value.to(device)
        elif isinstance(value, Norm):
            changes[field.name] = _moved(value, device)
    return replace(tensors, **changes)


def read_common_architecture(
    settings: Settings, *, gated: bool, norm: NormKind, activation: str, tied: bool
) -> Architecture:
    """Read a model's sizes by the names that most of transformers' configurations share.

    Args:
        settings: The model's `config.json`.
        gated: Whether the family's neurons have a gate.
        norm: The kind of the family's norms.
        activation: transformers' name of the function on the gate (ungated: on the input).
        tied: Whether the unembedding is the embedding where the configuration does not say, as
            transformers assumes it.

    Raises:
        CheckpointError: A size is missing or is no positive integer.
    """
    return Architecture(
        model_type=settings.text("model_type"),
        gated=gated,
        activation=activation,
        n_layers=settings.integer("num_hidden_layers"),
        d_model=settings.integer("hidden_size"),
        d_mlp=settings.integer("intermediate_size"),
        d_vocab=settings.integer("vocab_size"),
        norm=norm,
        tied=settings.flag("tie_word_embeddings", default=tied),
        context=settings.integer_or_none("max_position_embeddings"),
        short_context=read_short_context(settings),
    )


def read_short_context(settings: Settings) -> int | None:
    """Return the length beyond which a LongRoPE model rotates all positions by other frequencies.

    The names are those of today's configurations and of those before transformers 5; Phi-3 once
    called LongRoPE `su` or `yarn`. None where the rotation does not depend on the length.

    Raises:
        CheckpointError: The length is no positive integer.
    """
    names = ("rope_parameters", "rope_scaling")
    name = next((name for name in names if isinstance(settings.values.get(name), dict)), None)
    if name is None:
        return None
    rope = settings.section(name)
    kind = next((rope.values[key] for key in ("rope_type", "type") if rope.has(key)), None)
    is_phi3 = settings.values.get("model_type") == "phi3"
    if kind not in (("longrope", "su", "yarn") if is_phi3 else ("longrope",)):
        return None
    key = "original_max_position_embeddings"
    if settings.has(key) or is_phi3:
        return settings.integer(key, default=PHI3_SHORT_CONTEXT)
    context = settings.integer_or_none("max_position_embeddings")
    return rope.integer(key) if rope.has(key) else context


def read_gpt2_architecture(settings: Settings, *, tied: bool) -> Architecture:
    """Read a model's sizes by the older names that GPT-2 and GPT-J use.

    `tied` is what transformers assumes where the configuration does not say.

    Raises:
        CheckpointError: A size is missing or is no positive integer.
    """
    d_model = settings.integer("n_embd", "hidden_size")
    return Architecture(
        model_type=settings.text("model_type"),
        gated=False,
        activation=settings.text("activation_function", default="gelu_new"),
        n_layers=settings.integer("n_layer", "num_hidden_layers"),
        d_model=d_model,
        d_mlp=settings.integer("n_inner", default=4 * d_model),
        d_vocab=settings.integer("vocab_size"),
        norm="layer",
        tied=settings.flag("tie_word_embeddings", default=tied),
        context=settings.integer_or_none("n_positions", "max_position_embeddings", "n_ctx"),
    )
