"""One adapter per architecture layout, found by the configuration's `model_type`.

To add a family, write a module with `MODEL_TYPES` and `layout(settings)` and list it here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from difflib import get_close_matches

from ingest.families import (
    bloom,
    gemma,
    gemma2,
    gpt2,
    gpt_neox,
    gpt_oss,
    gptj,
    llama,
    mixtures,
    olmo,
    olmo2,
    opt,
    phi,
    phi3,
    stablelm,
    starcoder2,
)
from ingest.families.layout import Layout
from ingest.families.settings import Settings
from neurondb.errors import UnsupportedModelError

__all__ = ["FAMILIES", "MIXTURES", "choose_layout"]

_MODULES = (
    bloom,
    gemma,
    gemma2,
    gpt2,
    gpt_neox,
    gpt_oss,
    gptj,
    llama,
    mixtures,
    olmo,
    olmo2,
    opt,
    phi,
    phi3,
    stablelm,
    starcoder2,
)

FAMILIES: Mapping[str, Callable[[Settings], Layout]] = {
    model_type: module.layout for module in _MODULES for model_type in module.MODEL_TYPES
}

MIXTURES = frozenset({*gpt_oss.MODEL_TYPES, *mixtures.MODEL_TYPES})
"""The mixtures of experts among them."""

EXPERT_KEYS = ("num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts")

ENCODER_KEYS = ("is_encoder_decoder", "use_bidirectional_attention")

ENCODERS = frozenset(
    {"albert", "bert", "camembert", "deberta", "deberta-v2", "distilbert", "electra", "esm"}
    | {"modernbert", "mpnet", "roberta", "xlm-roberta"}
    | {"bart", "mbart", "mt5", "pegasus", "t5", "umt5"}
)


def choose_layout(settings: Settings) -> Layout:
    """Return the layout of the model that a `config.json` describes.

    Raises:
        CheckpointError: The configuration lacks a value or holds an impossible one.
        UnsupportedModelError: There is no adapter: the model is another mixture of experts, an
            encoder, quantised, or of an unknown `model_type`, which the message names.
    """
    model_type = settings.text("model_type")
    reason = _refusal(settings, model_type)
    if reason is not None:
        raise UnsupportedModelError(f"{settings.source}: model_type '{model_type}' {reason}")
    return FAMILIES[model_type](settings)


def _refusal(settings: Settings, model_type: str) -> str | None:
    experts = next((key for key in EXPERT_KEYS if settings.values.get(key)), None)
    if model_type not in MIXTURES and (experts is not None or "moe" in model_type):
        evidence = f"{experts} = {settings.values[experts]}" if experts else "by its name"
        return (
            f"is a mixture of experts ({evidence}) without an adapter; supported mixtures are"
            f" {', '.join(sorted(MIXTURES))}"
        )
    if model_type in ENCODERS or any(settings.values.get(key) for key in ENCODER_KEYS):
        return "is an encoder; only decoder-only language models are supported"
    if settings.has("quantization_config"):
        return "is stored quantised; take the repository with the full-precision weights"
    if model_type not in FAMILIES:
        nearest = get_close_matches(model_type, FAMILIES, n=3)
        hint = f"nearest: {', '.join(nearest)}" if nearest else f"supported: {', '.join(FAMILIES)}"
        return f"has no adapter in ingest/families ({hint})"
    return None
