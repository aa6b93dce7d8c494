"""The weights that are read are those that transformers runs; what else lies there is named.

Which tensors transformers takes is asked of transformers itself.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from ingest.checkpoint.reader import Checkpoint
from ingest.forward import Forward
from neurondb.errors import CheckpointError
from tests.support.model_files import INDEX, SINGLE, as_bin, edit_config, message, shard
from tests.support.random_models import FAMILIES, GROUPED, build

BIN = "pytorch_model.bin"


def others(path: Path) -> dict[str, torch.Tensor]:
    """Tensors of other values under the same names."""
    torch.manual_seed(1)
    return {name: torch.randn_like(t) for name, t in load_file(path / SINGLE).items()}


def shards_of_others(path: Path) -> None:
    """Indexed shards of another model beside the single file."""
    tensors = others(path)
    save_file(tensors, path / "model-00001-of-00001.safetensors")
    weight_map = dict.fromkeys(tensors, "model-00001-of-00001.safetensors")
    (path / INDEX).write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))


def shards_beside_bin(path: Path) -> None:
    torch.save(others(path), path / BIN)
    shard(path)


def bins_of_both_kinds(path: Path) -> None:
    torch.save(others(path), path / "part.bin")
    index = {"metadata": {}, "weight_map": dict.fromkeys(others(path), "part.bin")}
    (path / f"{BIN}.index.json").write_text(json.dumps(index))
    as_bin(path)


def one_name_in_two_shards(path: Path) -> None:
    """Each shard holds all; the index lists the halves, the later file first."""
    tensors = others(path)
    (path / SINGLE).rename(path / "a.safetensors")
    save_file(tensors, path / "b.safetensors")
    names = sorted(tensors)
    halves = dict.fromkeys(names[::2], "b.safetensors") | dict.fromkeys(
        names[1::2], "a.safetensors"
    )
    (path / INDEX).write_text(json.dumps({"metadata": {}, "weight_map": halves}))


def more_than_the_index_says(path: Path) -> None:
    shard(path)
    index = json.loads((path / INDEX).read_text())
    index["weight_map"].pop("model.layers.1.mlp.up_proj.weight")
    (path / INDEX).write_text(json.dumps(index))


def named_by_the_configuration(path: Path) -> None:
    save_file(others(path), path / "mine.safetensors")
    edit_config(path, transformers_weights="mine.safetensors")


BESIDE: dict[str, Callable[[Path], object]] = {
    "a single file beside shards of others": shards_of_others,
    "a single file beside a broken index": lambda p: (p / INDEX).write_text("nothing"),
    "safetensors beside a pickle of others": lambda p: torch.save(others(p), p / BIN),
    "shards beside a pickle of others": shards_beside_bin,
    "a pickle beside shards of others": bins_of_both_kinds,
    "a variant beside": lambda p: save_file(others(p), p / "model.fp16.safetensors"),
    "Mistral's own beside": lambda p: save_file(others(p), p / "consolidated.safetensors"),
    "an adapter's weights alone": lambda p: save_file(others(p), p / "adapter_model.safetensors"),
    "one name in two shards": one_name_in_two_shards,
    "more than the index says": more_than_the_index_says,
    "a file that the configuration names": named_by_the_configuration,
}


@pytest.mark.parametrize("name", list(BESIDE))
def test_what_is_read_is_what_transformers_loads(llama: Path, name: str) -> None:
    BESIDE[name](llama)
    loaded: Any = transformers.AutoModelForCausalLM.from_pretrained(llama)
    checkpoint = Checkpoint.open(llama)
    for index, layer in enumerate(loaded.model.layers):
        read = checkpoint.read_layer(index)
        assert read.gate is not None
        assert torch.equal(read.gate, layer.mlp.gate_proj.weight)
        assert torch.equal(read.in_, layer.mlp.up_proj.weight)
        assert torch.equal(read.out.T, layer.mlp.down_proj.weight)
    assert torch.equal(checkpoint.read_embedding(), loaded.get_input_embeddings().weight)
    assert torch.equal(checkpoint.read_unembedding(), loaded.get_output_embeddings().weight)
    Forward(checkpoint, torch.device("cpu"), torch.float32)


TIED = ("llama-square", "qwen2", "gemma", "gemma3", "gpt2", "bloom", "opt", "starcoder2")


def only_the_head(path: Path) -> None:
    """Save a tied model as `safetensors.torch.save_model` may: under its head's name alone."""
    tensors = load_file(path / SINGLE)
    (embedding,) = {name for name, t in tensors.items() if len(t) == FAMILY_VOCABULARY[path.name]}
    tensors["lm_head.weight"] = tensors.pop(embedding)
    save_file(tensors, path / SINGLE, metadata={"format": "pt"})


def as_base_model(path: Path) -> None:
    """Save what `AutoModel` loads, with the language model's configuration."""
    config = (path / "config.json").read_text()
    transformers.AutoModel.from_pretrained(path).save_pretrained(path)
    (path / "config.json").write_text(config)


FAMILY_VOCABULARY = dict.fromkeys(TIED, 512)


@pytest.mark.parametrize("family", TIED)
@pytest.mark.parametrize("save", [only_the_head, as_base_model])
def test_a_tied_model_is_read_however_it_is_saved(
    tmp_path: Path, family: str, save: Callable[[Path], None]
) -> None:
    path = FAMILIES[family](tmp_path / family, 3)
    save(path)
    loaded: Any = transformers.AutoModelForCausalLM.from_pretrained(path)
    checkpoint = Checkpoint.open(path)
    assert checkpoint.architecture.tied
    assert torch.equal(checkpoint.read_embedding(), loaded.get_input_embeddings().weight)
    assert torch.equal(checkpoint.read_unembedding(), loaded.get_output_embeddings().weight)
    Forward(checkpoint, torch.device("cpu"), torch.float32)


def test_an_untied_model_without_embedding_is_refused_as_transformers_misses_it(
    llama: Path,
) -> None:
    tensors = load_file(llama / SINGLE)
    del tensors["model.embed_tokens.weight"]
    save_file(tensors, llama / SINGLE, metadata={"format": "pt"})
    assert "model.embed_tokens.weight, embed_tokens.weight" in message(llama)


def test_a_head_that_differs_in_its_middle_alone_is_no_tie(llama: Path) -> None:
    edit_config(llama, tie_word_embeddings=True)
    tensors = load_file(llama / SINGLE)
    tensors["lm_head.weight"] = tensors["model.embed_tokens.weight"].clone()
    tensors["lm_head.weight"][250, 7] += 1
    save_file(tensors, llama / SINGLE, metadata={"format": "pt"})
    loaded: Any = transformers.AutoModelForCausalLM.from_pretrained(llama)
    checkpoint = Checkpoint.open(llama)
    assert not checkpoint.architecture.tied
    assert torch.equal(checkpoint.read_unembedding(), loaded.get_output_embeddings().weight)


def test_a_pickle_of_torch_before_1_6_is_read(llama: Path, tmp_path: Path) -> None:
    other = build("llama", GROUPED, tmp_path / "old", 7)
    tensors = load_file(other / SINGLE)
    (other / SINGLE).unlink()
    torch.save(tensors, other / BIN, _use_new_zipfile_serialization=False)
    new, old = Checkpoint.open(llama), Checkpoint.open(other)
    assert old.fingerprint() == new.fingerprint()
    for index in range(2):
        assert torch.equal(old.read_layer(index).in_, new.read_layer(index).in_)
    loaded: Any = transformers.AutoModelForCausalLM.from_pretrained(other)
    assert torch.equal(loaded.model.layers[1].mlp.up_proj.weight, old.read_layer(1).in_)
    Forward(old, torch.device("cpu"), torch.float32)


POINTER = f"version https://git-lfs.github.com/spec/v1\noid sha256:{'0' * 64}\nsize 538090408\n"


def pointer_for_a_shard(path: Path) -> None:
    shard(path)
    (path / "model-00002-of-00003.safetensors").write_text(POINTER)


def pointer_for_a_pickle(path: Path) -> None:
    as_bin(path).write_text(POINTER)


POINTERS: dict[str, Callable[[Path], object]] = {
    "model.safetensors": lambda p: (p / SINGLE).write_text(POINTER),
    "model-00002-of-00003.safetensors": pointer_for_a_shard,
    "pytorch_model.bin": pointer_for_a_pickle,
    "config.json": lambda p: (p / "config.json").write_text(POINTER),
    "tokenizer.json": lambda p: (p / "tokenizer.json").write_text(POINTER),
    "tokenizer.model": lambda p: (p / "tokenizer.model").write_text(POINTER),
    "vocab.json": lambda p: (p / "vocab.json").write_text(POINTER),
    "merges.txt": lambda p: (p / "merges.txt").write_text(POINTER),
    INDEX: lambda p: (p / SINGLE).rename(p / INDEX).write_text(POINTER),
}


@pytest.mark.parametrize("file", list(POINTERS))
def test_a_pointer_of_git_lfs_is_called_one(llama: Path, file: str) -> None:
    POINTERS[file](llama)
    text = message(llama)
    assert f"{llama / file} " in text
    assert f"`git lfs pull` in {llama}" in text


def test_a_pointer_that_nothing_reads_does_no_harm(llama: Path) -> None:
    (llama / BIN).write_text(POINTER)
    Checkpoint.open(llama)


INSTEAD = {
    "model-q4.gguf": "GGUF",
    "model.fp16.safetensors": "variant",
    "pytorch_model.fp16.bin": "variant",
    "consolidated.safetensors": "Mistral",
    "consolidated.00.pth": "Meta",
    "adapter_model.safetensors": "PEFT",
    "tf_model.h5": "TensorFlow",
    "flax_model.msgpack": "Flax",
    "model.onnx": "ONNX",
    "model-00001-of-00002.safetensors": "shards without",
    "weights.safetensors": "under a name",
}


@pytest.mark.parametrize(("file", "meaning"), list(INSTEAD.items()))
def test_other_weights_are_called_what_they_are(llama: Path, file: str, meaning: str) -> None:
    (llama / SINGLE).rename(llama / file)
    text = message(llama)
    assert meaning in text
    assert file in text


@pytest.mark.parametrize("file", ["model-q4.gguf", "model.onnx", "consolidated.00.pth"])
def test_a_directory_without_config_is_called_what_it_is(tmp_path: Path, file: str) -> None:
    (tmp_path / file).touch()
    text = message(tmp_path)
    assert "no config.json" in text
    assert file in text


def test_an_adapter_alone_is_called_one_with_its_base(tmp_path: Path) -> None:
    base = {"base_model_name_or_path": "meta-llama/Llama-3.2-1B", "peft_type": "LORA"}
    (tmp_path / "adapter_config.json").write_text(json.dumps(base))
    (tmp_path / "adapter_model.safetensors").touch()
    text = message(tmp_path)
    assert "PEFT" in text
    assert "meta-llama/Llama-3.2-1B" in text
    assert "merge_and_unload" in text


@pytest.mark.parametrize("installed", [True, False])
def test_an_adapter_beside_a_model_is_refused_with_peft_or_without(
    llama: Path, monkeypatch: pytest.MonkeyPatch, installed: bool
) -> None:
    monkeypatch.setattr("transformers.integrations.peft.is_peft_available", lambda: installed)
    (llama / "adapter_config.json").write_text('{"peft_type": "LORA"}')
    text = message(llama)
    assert "adapter_config.json" in text
    assert "merge_and_unload" in text


@pytest.mark.parametrize("named", ["../mine.safetensors", "mine.bin", 3, "absent.safetensors"])
def test_an_impossible_file_in_the_configuration_is_refused(llama: Path, named: object) -> None:
    edit_config(llama, transformers_weights=named)
    assert re.search(f"transformers_weights .*{re.escape(str(named))}", message(llama))


def test_an_empty_file_is_called_empty(llama: Path) -> None:
    (llama / SINGLE).write_bytes(b"")
    assert re.search(r"model\.safetensors .*\bempty\b", message(llama))


def test_a_truncated_shard_is_named(llama: Path) -> None:
    shard(llama)
    os.truncate(llama / "model-00003-of-00003.safetensors", 5000)
    said = r"model-00003-of-00003\.safetensors .*\btruncated\b"
    assert re.search(said, message(llama))


def test_a_pickle_that_is_none_is_not_called_foreign_code(llama: Path, tmp_path: Path) -> None:
    as_bin(llama).write_text("<!doctype html>")
    assert "of torch" in message(llama)
    shutil.copy(llama / "config.json", tmp_path / "storages")
    with tarfile.open(llama / BIN, "w") as archive:
        archive.add(tmp_path / "storages", "storages")
    assert "newer torch" in message(llama)


def test_an_unreadable_directory_is_one_line(tmp_path: Path) -> None:
    absent = tmp_path / "absent"
    with pytest.raises(CheckpointError, match=f"{re.escape(str(absent))} .*exist"):
        Checkpoint.open(absent)
