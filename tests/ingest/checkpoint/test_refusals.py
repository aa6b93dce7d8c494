"""One clear line for each way in which a model directory can be broken or be something else."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from ingest.checkpoint.reader import Checkpoint
from neurondb.errors import UnsupportedModelError
from tests.support.model_files import (
    INDEX,
    SINGLE,
    as_bin,
    edit_config,
    edit_tensors,
    lose_shard,
    message,
)
from tests.support.random_models import FAMILIES


def lone_index(path: Path, content: str) -> None:
    """Put an index in the place of a single file, which gets another name."""
    (path / SINGLE).rename(path / "weights.safetensors")
    (path / INDEX).write_text(content)


BREAKS: dict[str, tuple[Callable[[Path], object], str]] = {
    "no config": (lambda p: (p / "config.json").unlink(), "no config.json"),
    "config no JSON": (lambda p: (p / "config.json").write_text("{"), "as JSON"),
    "config no text": (lambda p: (p / "config.json").write_bytes(b"\xff\xfe\xff"), "as JSON"),
    "config a list": (lambda p: (p / "config.json").write_text("[]"), "no JSON object"),
    "no model_type": (lambda p: edit_config(p, model_type=None), "lacks 'model_type'"),
    "no size": (lambda p: edit_config(p, hidden_size=None), "lacks 'hidden_size'"),
    "size a text": (lambda p: edit_config(p, hidden_size="32"), "must be a positive integer"),
    "size zero": (lambda p: edit_config(p, num_hidden_layers=0), "must be a positive integer"),
    "flag a text": (lambda p: edit_config(p, tie_word_embeddings="no"), "true or false"),
    "activation a number": (lambda p: edit_config(p, hidden_act=3), "must be a text"),
    "no weights": (lambda p: (p / SINGLE).unlink(), "neither model.safetensors nor pytorch"),
    "GGUF only": (lambda p: (p / SINGLE).rename(p / "x.gguf"), "GGUF"),
    "truncated": (lambda p: os.truncate(p / SINGLE, 20_000), "truncated or damaged"),
    "empty file": (lambda p: (p / SINGLE).write_bytes(b""), "truncated or damaged"),
    "more layers": (lambda p: edit_config(p, num_hidden_layers=3), "lacks tensor 'model.layers.2."),
    "other width": (lambda p: edit_config(p, hidden_size=31), "has shape [512, 32]"),
    "other vocabulary": (lambda p: edit_config(p, vocab_size=500), "must be [500, 32]"),
    "bias promised": (lambda p: edit_config(p, mlp_bias=True), "mlp.gate_proj.bias"),
    "empty index": (lambda p: lone_index(p, "{}"), "no index"),
    "index no JSON": (lambda p: lone_index(p, "nope"), "no index"),
    "index of nothing": (lambda p: lone_index(p, '{"weight_map": {}}'), "names no file"),
    "index astray": (
        lambda p: lone_index(p, '{"weight_map": {"a": "../x.safetensors"}}'),
        "outside the directory",
    ),
    "index names a missing shard": (
        lose_shard,
        "model-00002-of-00003.safetensors, which is not there (1 of 3",
    ),
    "index promises a tensor": (
        lambda p: lone_index(p, '{"weight_map": {"absent": "weights.safetensors"}}'),
        "lacks tensor 'absent'",
    ),
    "bin no dictionary": (lambda p: as_bin(p, [torch.ones(2)]), "no mapping of names to tensors"),
    "bin not of tensors": (lambda p: as_bin(p, {"a": 3}), "no mapping of names to tensors"),
    "bin truncated": (lambda p: os.truncate(as_bin(p), 5_000), "cannot be read"),
}


@pytest.mark.parametrize("name", list(BREAKS))
def test_a_broken_directory_is_one_clear_line(llama: Path, name: str) -> None:
    spoil, expected = BREAKS[name]
    spoil(llama)
    text = message(llama)
    assert expected in text
    assert str(llama) in text


def test_a_path_that_is_no_directory_says_so(tmp_path: Path) -> None:
    assert "does not exist" in message(tmp_path / "absent")
    file = tmp_path / "file"
    file.touch()
    assert "not a directory" in message(file)


def test_an_adapter_directory_is_recognised(tmp_path: Path) -> None:
    (tmp_path / "adapter_config.json").write_text("{}")
    assert "LoRA" in message(tmp_path)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize(
    "tensor",
    [
        "model.layers.1.mlp.gate_proj.weight",
        "model.layers.1.mlp.down_proj.weight",
        "model.layers.0.post_attention_layernorm.weight",
        "model.embed_tokens.weight",
        "lm_head.weight",
        "model.norm.weight",
    ],
)
def test_values_that_are_no_numbers_name_their_tensor(
    llama: Path, tensor: str, value: float
) -> None:
    def spoil(tensors: dict[str, Tensor]) -> None:
        tensors[tensor].view(-1)[5] = value

    edit_tensors(llama, spoil)
    assert f"'{tensor}' holds NaN or infinity" in message(llama)


@pytest.mark.parametrize("dtype", [torch.int8, torch.float8_e4m3fn])
def test_quantised_tensors_are_refused_by_name(llama: Path, dtype: torch.dtype) -> None:
    name = "model.layers.0.mlp.up_proj.weight"

    def quantise(tensors: dict[str, Tensor]) -> None:
        tensors[name] = tensors[name].to(dtype)

    edit_tensors(llama, quantise)
    assert f"'{name}' is stored as {dtype}" in message(llama)


class Malicious:
    """Pickles to a call that would create a file."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[object, ...]:
        return (os.mkdir, (str(self.target),))


def test_a_pickle_that_would_run_code_is_refused_unrun(llama: Path, tmp_path: Path) -> None:
    target = tmp_path / "owned"
    as_bin(llama, {"model.embed_tokens.weight": Malicious(target)})
    assert "foreign code" in message(llama)
    assert not target.exists()


def test_a_pickle_without_an_archive_is_refused_unrun(llama: Path, tmp_path: Path) -> None:
    target = tmp_path / "owned"
    file = as_bin(llama)
    file.write_bytes(pickle.dumps({"a": Malicious(target)}))
    assert "pytorch_model.bin" in message(llama)
    assert not target.exists()


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"model_type": "mixtral", "num_local_experts": 8}, "'mixtral' is a mixture of experts"),
        ({"num_experts": 4}, "num_experts = 4"),
        ({"model_type": "qwen3_moe"}, "'qwen3_moe' is a mixture of experts"),
        ({"model_type": "bert"}, "'bert' is an encoder"),
        ({"model_type": "t5", "is_encoder_decoder": True}, "'t5' is an encoder"),
        ({"use_bidirectional_attention": True}, "'llama' is an encoder"),
        ({"quantization_config": {"quant_method": "gptq"}}, "quantised"),
        ({"model_type": "mamba"}, "'mamba' has no adapter"),
        ({"model_type": "lama"}, "nearest: llama"),
    ],
)
def test_other_architectures_are_refused_by_name(
    llama: Path, values: dict[str, object], expected: str
) -> None:
    edit_config(llama, **values)
    with pytest.raises(UnsupportedModelError):
        Checkpoint.open(llama)
    assert expected in message(llama)


@pytest.mark.parametrize(
    ("family", "values", "expected"),
    [
        ("opt", {"word_embed_proj_dim": 16}, "opt-350m"),
        ("opt", {"do_layer_norm_before": False}, "opt-350m"),
        ("bloom", {"apply_residual_connection_post_layernorm": True}, "'bloom' with apply"),
    ],
)
def test_variants_that_do_not_fold_are_refused(
    tmp_path: Path, family: str, values: dict[str, object], expected: str
) -> None:
    path = FAMILIES[family](tmp_path, 0)
    edit_config(path, **values)
    with pytest.raises(UnsupportedModelError, match=expected):
        Checkpoint.open(path)
