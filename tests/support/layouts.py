"""The bundled model's weights in other files: in full precision, sharded, fused, rounded.

The bundled model is stored in bfloat16. So that rounding changes something, the plain layout has
low bits of its own, by chance.
"""

import json
import shutil
from functools import cache
from pathlib import Path
from typing import Any

import torch
import transformers
from safetensors.torch import load_file, save_file
from torch import Tensor

from ingest.bundled import model_directory
from tests.support.ingested import TOKENIZER_FILES, fresh
from tests.support.model_files import SINGLE, edit_config, shard

LOW_BITS = 2.0**-9
"""Size of the noise, relative to each weight: the half of what bfloat16 can tell apart."""

LAYOUTS = ("sharded", "phi3-fused")
BFLOAT16 = "bfloat16"


@cache
def layout(name: str = "plain") -> Path:
    """Return the directory of a layout: plain, one of LAYOUTS, or BFLOAT16."""
    directory = fresh(name)
    if name == "plain":
        shutil.copytree(model_directory(), directory, dirs_exist_ok=True)
        edit_config(directory, dtype="float32")
        save_file(_with_low_bits(load_file(directory / SINGLE)), directory / SINGLE)
        return directory
    shutil.copytree(layout(), directory, dirs_exist_ok=True)
    if name == "sharded":
        shard(directory)
    elif name == BFLOAT16:
        tensors = load_file(directory / SINGLE)
        save_file({key: tensor.bfloat16() for key, tensor in tensors.items()}, directory / SINGLE)
        edit_config(directory, dtype="bfloat16")
    else:
        _fuse(directory)
    return directory


def _with_low_bits(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    draw = torch.Generator().manual_seed(0)
    return {
        name: tensor.float() * (1 + LOW_BITS * torch.randn(tensor.shape, generator=draw))
        for name, tensor in sorted(tensors.items())
    }


def _fuse(directory: Path) -> None:
    """Write a llama as the phi3 that computes the same: gate and in, q, k and v in one matrix."""
    tensors = load_file(directory / SINGLE)
    said = json.loads((directory / "config.json").read_text())
    for layer in range(said["num_hidden_layers"]):
        block = f"model.layers.{layer}."
        for fused, parts in (
            ("mlp.gate_up_proj", ("mlp.gate_proj", "mlp.up_proj")),
            ("self_attn.qkv_proj", ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj")),
        ):
            rows = [tensors.pop(f"{block}{part}.weight") for part in parts]
            tensors[f"{block}{fused}.weight"] = torch.cat(rows)
    kept = (
        *("vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "rms_norm_eps"),
        *("num_attention_heads", "num_key_value_heads", "max_position_embeddings", "hidden_act"),
        *("bos_token_id", "eos_token_id", "pad_token_id", "tie_word_embeddings", "rope_parameters"),
    )
    config: Any = transformers.Phi3Config(
        **{key: said[key] for key in kept},
        original_max_position_embeddings=said["max_position_embeddings"],
    )
    config.architectures, config.dtype = ["Phi3ForCausalLM"], torch.float32
    for name in ("config.json", SINGLE):
        (directory / name).unlink()
    config.save_pretrained(directory)
    save_file(tensors, directory / SINGLE, metadata={"format": "pt"})
    assert all((directory / name).is_file() for name in TOKENIZER_FILES)
