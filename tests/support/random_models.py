"""Tiny seeded random models of every supported layout, built and saved by transformers.

`FAMILIES["gemma2"](directory, seed)` writes `directory/config.json` and its weights. Norm gains,
norm biases and all other biases are random too, so that a forgotten fold shows. The vocabulary of
512 fits the tokenizer of `../shared/models/stories260K`.
"""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import torch
import transformers
from torch import nn

VOCABULARY = 512
COMMON: Mapping[str, object] = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "intermediate_size": 56,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 256,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 0,
}
GROUPED: Mapping[str, object] = {**COMMON, "num_key_value_heads": 2}
GEMMA: Mapping[str, object] = {**GROUPED, "head_dim": 8}
GPT2: Mapping[str, object] = {
    "vocab_size": VOCABULARY,
    "n_embd": 32,
    "n_layer": 2,
    "n_head": 4,
    "n_positions": 256,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 0,
}
OPT: Mapping[str, object] = {
    **{key: value for key, value in COMMON.items() if key != "intermediate_size"},
    "ffn_dim": 56,
    "word_embed_proj_dim": 32,
}
BLOOM: Mapping[str, object] = {
    key: value
    for key, value in {**COMMON, "n_layer": 2, "n_head": 4}.items()
    if not key.startswith(("intermediate", "num_", "max_"))
}

VISION: Mapping[str, object] = {
    "hidden_size": 16,
    "intermediate_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "image_size": 8,
    "patch_size": 4,
}


def _randomise(model: nn.Module, generator: torch.Generator) -> None:
    """Every parameter anew: matrices at a scale that keeps activations alive, vectors not trivial.

    A gain around one or, where the family adds one, around zero; both are random enough at ±0.4.
    """
    for parameter in model.parameters():
        noise = torch.randn(parameter.shape, generator=generator)
        if parameter.ndim == 1:
            parameter.data += 0.4 * noise
        else:
            parameter.data = noise / parameter.shape[-1] ** 0.5


def build(model_type: str, values: Mapping[str, object], directory: Path, seed: int = 0) -> Path:
    """Save a random language model of `model_type` with these settings; returns `directory`."""
    config = transformers.AutoConfig.for_model(model_type, **values)
    model = transformers.AutoModelForCausalLM.from_config(config)  # type: ignore[no-untyped-call]
    _randomise(model, torch.Generator().manual_seed(seed))
    model.eval().save_pretrained(directory)
    return directory


def _family(model_type: str, shape: Mapping[str, object], **own: object) -> Callable[..., Path]:
    return partial(build, model_type, {**shape, **own})


FAMILIES: Mapping[str, Callable[[Path, int], Path]] = {
    "llama": _family("llama", GROUPED, mlp_bias=True),
    "llama-square": _family("llama", GROUPED, intermediate_size=32, tie_word_embeddings=True),
    "mistral": _family("mistral", GROUPED),
    "qwen2": _family("qwen2", GROUPED, tie_word_embeddings=True),
    "qwen3": _family("qwen3", GROUPED, head_dim=8),
    "smollm3": _family("smollm3", GROUPED),
    "granite": _family(
        "granite", GROUPED, embedding_multiplier=12.0, residual_multiplier=0.22, logits_scaling=8.0
    ),
    "phi3": _family("phi3", GROUPED),
    "phi3-square": _family("phi3", GROUPED, intermediate_size=32),
    "gemma": _family("gemma", GEMMA),
    "gemma2": _family("gemma2", GEMMA, query_pre_attn_scalar=8),
    "gemma3_text": _family("gemma3_text", GEMMA, query_pre_attn_scalar=8),
    "gemma3": _family("gemma3", {}, text_config=dict(GEMMA), vision_config=VISION),
    "olmo": _family("olmo", GROUPED),
    "olmo2": _family("olmo2", GROUPED),
    "olmo3": _family("olmo3", GROUPED),
    "stablelm": _family("stablelm", GROUPED),
    "stablelm-parallel": _family("stablelm", GROUPED, use_parallel_residual=True),
    "gpt2": _family("gpt2", GPT2),
    "gpt2-square": _family("gpt2", GPT2, n_inner=32),
    "gptj": _family("gptj", GPT2, rotary_dim=4),
    "gpt_neox": _family("gpt_neox", COMMON),
    "gpt_neox-serial": _family("gpt_neox", COMMON, use_parallel_residual=False),
    "bloom": _family("bloom", BLOOM),
    "opt": _family("opt", OPT),
    "opt-unbiased": _family("opt", OPT, enable_bias=False, layer_norm_elementwise_affine=False),
    "phi": _family("phi", COMMON),
    "starcoder2": _family("starcoder2", GROUPED),
}
"""Every supported layout by name; a name's first part, up to a hyphen, is its `model_type`."""
