"""One clear line for each way in which a model directory can be broken or be something else."""

from __future__ import annotations

import os
import pickle
import re
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
    "config a list": (lambda p: (p / "config.json").write_text("[]"), "JSON object"),
    "no model_type": (lambda p: edit_config(p, model_type=None), "lacks 'model_type'"),
    "no size": (lambda p: edit_config(p, hidden_size=None), "lacks 'hidden_size'"),
    "size a text": (lambda p: edit_config(p, hidden_size="32"), "'hidden_size' .*'32'"),
    "size zero": (lambda p: edit_config(p, num_hidden_layers=0), r"'num_hidden_layers' .* 0\b"),
    "flag a text": (
        lambda p: edit_config(p, tie_word_embeddings="no"),
        "'tie_word_embeddings' .*'no'",
    ),
    "activation a number": (lambda p: edit_config(p, hidden_act=3), r"'hidden_act' .* 3\b"),
    "no weights": (lambda p: (p / SINGLE).unlink(), r"model\.safetensors .*pytorch_model\.bin"),
    "GGUF only": (lambda p: (p / SINGLE).rename(p / "x.gguf"), r"GGUF .*x\.gguf"),
    "truncated": (lambda p: os.truncate(p / SINGLE, 20_000), r"model\.safetensors .*truncated"),
    "empty file": (lambda p: (p / SINGLE).write_bytes(b""), r"model\.safetensors .*empty"),
    "more layers": (lambda p: edit_config(p, num_hidden_layers=3), r"'model\.layers\.2\."),
    "other width": (lambda p: edit_config(p, hidden_size=31), r"\[512, 32\].*\[512, 31\]"),
    "other vocabulary": (lambda p: edit_config(p, vocab_size=500), r"\[512, 32\].*\[500, 32\]"),
    "bias promised": (lambda p: edit_config(p, mlp_bias=True), r"mlp\.gate_proj\.bias"),
    "empty index": (lambda p: lone_index(p, "{}"), r"\.index\.json .*no index"),
    "index no JSON": (lambda p: lone_index(p, "nope"), r"\.index\.json .*no index"),
    "index of nothing": (lambda p: lone_index(p, '{"weight_map": {}}'), r"\.index\.json .*no file"),
    "index astray": (
        lambda p: lone_index(p, '{"weight_map": {"a": "../x.safetensors"}}'),
        r"\.index\.json .*'\.\./x\.safetensors'",
    ),
    "index names a missing shard": (
        lose_shard,
        r"model-00002-of-00003\.safetensors.*1 of 3\b",
    ),
    "index promises a tensor": (
        lambda p: lone_index(p, '{"weight_map": {"absent": "weights.safetensors"}}'),
        r"weights\.safetensors .*'absent'",
    ),
    "bin no dictionary": (lambda p: as_bin(p, [torch.ones(2)]), r"pytorch_model\.bin .*no mapping"),
    "bin not of tensors": (lambda p: as_bin(p, {"a": 3}), r"pytorch_model\.bin .*no mapping"),
    "bin truncated": (lambda p: os.truncate(as_bin(p), 5_000), r"pytorch_model\.bin .*truncated"),
}


@pytest.mark.parametrize("name", list(BREAKS))
def test_a_broken_directory_is_one_clear_line(llama: Path, name: str) -> None:
    spoil, expected = BREAKS[name]
    spoil(llama)
    text = message(llama)
    assert re.search(expected, text)
    assert str(llama) in text


def test_a_path_that_is_no_directory_says_so(tmp_path: Path) -> None:
    absent = tmp_path / "absent"
    assert re.search(f"{re.escape(str(absent))} .*exist", message(absent))
    file = tmp_path / "file"
    file.touch()
    assert re.search(f"{re.escape(str(file))} .*directory", message(file))


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
    assert re.search(f"'{re.escape(tensor)}' .*NaN", message(llama))


@pytest.mark.parametrize("dtype", [torch.int8, torch.float8_e4m3fn])
def test_quantised_tensors_are_refused_by_name(llama: Path, dtype: torch.dtype) -> None:
    name = "model.layers.0.mlp.up_proj.weight"

    def quantise(tensors: dict[str, Tensor]) -> None:
        tensors[name] = tensors[name].to(dtype)

    edit_tensors(llama, quantise)
    assert re.search(f"'{re.escape(name)}' .*{dtype}", message(llama))


class Malicious:
    """Pickles to a call that would create a file."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[object, ...]:
        return (os.mkdir, (str(self.target),))


def test_a_pickle_that_would_run_code_is_refused_unrun(llama: Path, tmp_path: Path) -> None:
    target = tmp_path / "owned"
    as_bin(llama, {"model.embed_tokens.weight": Malicious(target)})
    assert re.search(r"pytorch_model\.bin .*foreign", message(llama))
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
        (
            {"model_type": "granitemoe", "num_local_experts": 8},
            "'granitemoe' .*experts.*num_local_experts = 8",
        ),
        ({"num_experts": 4}, "num_experts = 4"),
        ({"model_type": "qwen9_moe"}, "'qwen9_moe' .*experts"),
        ({"model_type": "bert"}, "'bert' .*encoder"),
        ({"model_type": "t5", "is_encoder_decoder": True}, "'t5' .*encoder"),
        ({"use_bidirectional_attention": True}, "'llama' .*encoder"),
        ({"quantization_config": {"quant_method": "gptq"}}, "quantised"),
        ({"model_type": "mamba"}, "'mamba' .*adapter"),
        ({"model_type": "lama"}, r"'lama' .*\bllama\b"),
    ],
)
def test_other_architectures_are_refused_by_name(
    llama: Path, values: dict[str, object], expected: str
) -> None:
    edit_config(llama, **values)
    with pytest.raises(UnsupportedModelError):
        Checkpoint.open(llama)
    assert re.search(expected, message(llama))


@pytest.mark.parametrize(
    ("family", "values", "expected"),
    [
        ("opt", {"word_embed_proj_dim": 16}, "opt-350m"),
        ("opt", {"do_layer_norm_before": False}, "opt-350m"),
        (
            "bloom",
            {"apply_residual_connection_post_layernorm": True},
            "'bloom' .*apply_residual_connection_post_layernorm",
        ),
    ],
)
def test_variants_that_do_not_fold_are_refused(
    tmp_path: Path, family: str, values: dict[str, object], expected: str
) -> None:
    path = FAMILIES[family](tmp_path, 0)
    edit_config(path, **values)
    with pytest.raises(UnsupportedModelError, match=expected):
        Checkpoint.open(path)
