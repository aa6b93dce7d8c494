"""GGUF files of our own small models, written with llama.cpp's library as its converter would.

What the converter does to the tensors is done here once more, from its documentation and not from
our reader: rows of llama's q and k in another order, Gemma's gains plus one, GPT-2's matrices the
other way round.
"""

import json
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import gguf
import numpy as np
from gguf import GGMLQuantizationType as Type
from numpy.typing import NDArray
from safetensors.numpy import load_file

from tests.support.random_models import GEMMA, GPT2, GROUPED, build
from tests.support.tiny_model import write_tokenizer

WIDE: Mapping[str, object] = {"hidden_size": 64, "intermediate_size": 96, "num_attention_heads": 2}
"""Quantised rows are whole blocks of 32 values."""

MODELS: Mapping[str, Callable[[Path, int], Path]] = {
    "llama": partial(build, "llama", {**GROUPED, **WIDE}),
    "llama-tied": partial(build, "llama", {**GROUPED, **WIDE, "tie_word_embeddings": True}),
    "qwen2": partial(build, "qwen2", {**GROUPED, **WIDE, "tie_word_embeddings": True}),
    "qwen3": partial(build, "qwen3", {**GROUPED, **WIDE, "head_dim": 128}),
    "phi3": partial(build, "phi3", {**GROUPED, **WIDE}),
    "gemma2": partial(build, "gemma2", {**GEMMA, **WIDE, "head_dim": 32}),
    "gemma3_text": partial(build, "gemma3_text", {**GEMMA, **WIDE, "head_dim": 32}),
    "gpt2": partial(build, "gpt2", {**GPT2, "n_embd": 64}),
    "starcoder2": partial(build, "starcoder2", {**GROUPED, **WIDE}),
}
ARCHITECTURES = {"gemma3_text": "gemma3"}
ONE_PLUS = ("gemma2", "gemma3")


def gguf_model(directory: Path, name: str, type_: Type = Type.F32, seed: int = 0) -> Path:
    """Write a random model and its tokenizer as safetensors, and beside them as `model.gguf`.

    Matrices are stored as `type_`, vectors as F32. Returns the GGUF file.
    """
    hub = directory / "hub"
    MODELS[name](hub, seed)
    write_tokenizer(hub)
    return write_gguf(hub, directory / "model.gguf", type_)


def write_gguf(
    hub: Path,
    file: Path,
    type_: Type = Type.F32,
    rope_factors: NDArray[np.float32] | None = None,
) -> Path:
    """Write a directory in hub format as one GGUF file."""
    config = json.loads((hub / "config.json").read_text())
    architecture = ARCHITECTURES.get(config["model_type"], config["model_type"])
    writer = gguf.GGUFWriter(file, architecture)
    _describe(writer, config)
    _write_tokenizer(writer, hub, _size(config, "vocab_size"))
    codes = {name: code for code, name in gguf.MODEL_ARCH_NAMES.items()}
    names = gguf.get_tensor_name_map(codes[architecture], _size(config, "num_hidden_layers"))
    if rope_factors is not None:
        writer.add_tensor("rope_freqs.weight", rope_factors)
    for name, values in load_file(hub / "model.safetensors").items():
        own = names.get_name(name, try_suffixes=(".weight", ".bias"))
        assert own is not None, name
        _add(writer, own, _converted(own, values.astype(np.float32), architecture, config), type_)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return file


def split_in_two(file: Path, directory: Path) -> Path:
    """Write a file again in two parts; returns the second, which stands for both as well."""
    reader = gguf.GGUFReader(file)
    half = len(reader.tensors) // 2
    parts = [directory / f"model-0000{number}-of-00002.gguf" for number in (1, 2)]
    for number, tensors in enumerate((reader.tensors[:half], reader.tensors[half:])):
        writer = gguf.GGUFWriter(
            parts[number], str(reader.fields["general.architecture"].contents())
        )
        if number == 0:
            for key, field in reader.fields.items():
                if not key.startswith(("GGUF.", "general.architecture")):
                    item = field.types[1] if len(field.types) > 1 else None
                    writer.add_key_value(key, field.contents(), field.types[0], item)
        for tensor in tensors:
            data = np.array(tensor.data)
            writer.add_tensor(tensor.name, data, raw_dtype=tensor.tensor_type)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
    return parts[1]


def _size(config: Mapping[str, Any], name: str) -> int:
    old = {
        "hidden_size": "n_embd",
        "num_hidden_layers": "n_layer",
        "num_attention_heads": "n_head",
        "max_position_embeddings": "n_positions",
    }
    return int(config[name] if name in config else config[old[name]])


def _describe(writer: gguf.GGUFWriter, config: Mapping[str, Any]) -> None:
    d_model, heads = _size(config, "hidden_size"), _size(config, "num_attention_heads")
    writer.add_context_length(_size(config, "max_position_embeddings"))
    writer.add_embedding_length(d_model)
    writer.add_block_count(_size(config, "num_hidden_layers"))
    writer.add_feed_forward_length(config.get("intermediate_size") or 4 * d_model)
    writer.add_head_count(heads)
    writer.add_head_count_kv(config.get("num_key_value_heads", heads))
    for key in ("layer_norm_epsilon", "norm_epsilon"):
        if key in config:
            writer.add_layer_norm_eps(config[key])
    if "rms_norm_eps" in config:
        writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    rope = config.get("rope_parameters") or {}
    if "rope_theta" in rope:
        writer.add_rope_freq_base(rope["rope_theta"])
    elif "full_attention" in rope:
        writer.add_rope_freq_base(rope["full_attention"]["rope_theta"])
    if config["model_type"] == "llama":
        writer.add_rope_dimension_count(config.get("head_dim") or d_model // heads)
    if "head_dim" in config:
        writer.add_key_length(config["head_dim"])
        writer.add_value_length(config["head_dim"])
    if config.get("sliding_window"):
        writer.add_sliding_window(config["sliding_window"])
    writer.add_vocab_size(_size(config, "vocab_size"))


def _write_tokenizer(writer: gguf.GGUFWriter, hub: Path, n_tokens: int) -> None:
    model = json.loads((hub / "tokenizer.json").read_text())["model"]
    tokens = sorted(model["vocab"], key=model["vocab"].__getitem__)
    special = {"<s>", "</s>"}
    padded = [*tokens, *(f"[PAD{i}]" for i in range(len(tokens), n_tokens))]
    kinds = gguf.TokenType
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(padded)
    writer.add_token_types(
        [
            kinds.UNUSED if i >= len(tokens) else kinds.CONTROL if t in special else kinds.NORMAL
            for i, t in enumerate(padded)
        ]
    )
    merges = [merge if isinstance(merge, str) else " ".join(merge) for merge in model["merges"]]
    writer.add_token_merges(merges)
    writer.add_bos_token_id(model["vocab"]["<s>"])
    writer.add_eos_token_id(model["vocab"]["</s>"])


def _converted(
    own: str, values: NDArray[np.float32], architecture: str, config: Mapping[str, Any]
) -> NDArray[np.float32]:
    if architecture == "llama" and own.endswith(("attn_q.weight", "attn_k.weight")):
        heads = config["num_attention_heads" if "attn_q" in own else "num_key_value_heads"]
        pairs = values.reshape(heads, 2, values.shape[0] // heads // 2, values.shape[1])
        return pairs.swapaxes(1, 2).reshape(values.shape)
    if architecture in ONE_PLUS and own.endswith("norm.weight"):
        return values + 1
    if architecture == "gpt2" and values.ndim == 2 and "blk." in own:
        return np.ascontiguousarray(values.T)
    return values


def _add(writer: gguf.GGUFWriter, own: str, values: NDArray[np.float32], type_: Type) -> None:
    # llama.cpp keeps positions and whatever is no matrix in full.
    if values.ndim < 2 or type_ == Type.F32 or own.startswith("position"):
        writer.add_tensor(own, values)
    elif type_ == Type.F16:
        writer.add_tensor(own, values.astype(np.float16))
    else:
        writer.add_tensor(own, gguf.quantize(values, type_), raw_dtype=type_)
