"""Checkpoints with the exact shapes of published models and random weights."""

import argparse
import json
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors.torch import save_file
from torch import Tensor


class Shape(NamedTuple):
    """Sizes of a published model of the Llama layout."""

    d_model: int
    d_mlp: int
    n_layers: int
    d_vocab: int
    n_heads: int
    n_key_value_heads: int

    @property
    def head(self) -> int:
        """Width of an attention head."""
        return self.d_model // self.n_heads


SHAPES = {
    "smollm2-135m": Shape(576, 1536, 30, 49_152, 9, 3),
    "qwen2.5-0.5b": Shape(896, 4864, 24, 151_936, 14, 2),
    "llama-3.2-1b": Shape(2048, 8192, 16, 128_256, 32, 8),
    "llama-3.2-3b": Shape(3072, 8192, 28, 128_256, 24, 8),
    "llama-3.1-8b": Shape(4096, 14336, 32, 128_256, 32, 8),
}


def write_checkpoint(
    directory: Path, shape: Shape, n_layers: int, *, attention: bool = False
) -> Path:
    """Write embeddings and the MLPs of `n_layers` layers in bfloat16, a shard a layer.

    Without attention it is enough for the weights and vocab stages; with it the model runs. There
    is no tokenizer.
    """
    directory.mkdir(parents=True, exist_ok=True)
    d, n = shape.d_model, shape.d_mlp
    shards = {
        "model-embed.safetensors": {
            "model.embed_tokens.weight": _normal(shape.d_vocab, d),
            "model.norm.weight": torch.ones(d).bfloat16(),
        }
    }
    for layer in range(n_layers):
        prefix = f"model.layers.{layer}."
        shards[f"model-{layer:02d}.safetensors"] = {
            f"{prefix}mlp.gate_proj.weight": _normal(n, d),
            f"{prefix}mlp.up_proj.weight": _normal(n, d),
            f"{prefix}mlp.down_proj.weight": _normal(d, n),
            f"{prefix}post_attention_layernorm.weight": _normal(1, d)[0] + 1,
            **(_attention(prefix, shape) if attention else {}),
        }
    for name, tensors in shards.items():
        save_file(tensors, directory / name, metadata={"format": "pt"})
    index = {tensor: name for name, tensors in shards.items() for tensor in tensors}
    (directory / "model.safetensors.index.json").write_text(
        json.dumps({"metadata": {}, "weight_map": index})
    )
    (directory / "config.json").write_text(json.dumps(make_config(shape, n_layers)))
    return directory


def _attention(prefix: str, shape: Shape) -> dict[str, Tensor]:
    d, keys = shape.d_model, shape.n_key_value_heads * shape.head
    return {
        f"{prefix}self_attn.q_proj.weight": _normal(d, d),
        f"{prefix}self_attn.k_proj.weight": _normal(keys, d),
        f"{prefix}self_attn.v_proj.weight": _normal(keys, d),
        f"{prefix}self_attn.o_proj.weight": _normal(d, d),
        f"{prefix}input_layernorm.weight": _normal(1, d)[0] + 1,
    }


def _normal(rows: int, columns: int) -> Tensor:
    return (torch.randn(rows, columns) * 0.02).bfloat16()


def make_config(shape: Shape, n_layers: int) -> dict[str, object]:
    """Return the `config.json` of a model of a shape."""
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_size": shape.d_model,
        "intermediate_size": shape.d_mlp,
        "num_hidden_layers": n_layers,
        "num_attention_heads": shape.n_heads,
        "num_key_value_heads": shape.n_key_value_heads,
        "vocab_size": shape.d_vocab,
        "hidden_act": "silu",
        "rms_norm_eps": 1e-5,
        "tie_word_embeddings": True,
        "max_position_embeddings": 4096,
    }


def shape_options(description: str | None) -> argparse.ArgumentParser:
    """Return the options that the benchmarks on random checkpoints share."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("shape", choices=SHAPES)
    parser.add_argument("--layers", type=int, default=2)
    return parser
