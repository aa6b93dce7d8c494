"""What a model directory may look like: the weights are the same in all of its layouts."""

from __future__ import annotations

import json
import pickle
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from ingest.checkpoint.reader import Checkpoint
from neurondb.errors import CheckpointError
from tests.support.layouts import BFLOAT16, layout
from tests.support.model_files import (
    SINGLE,
    as_bin,
    edit_config,
    edit_tensors,
    message,
    read_all,
    shard,
)
from tests.support.random_models import FAMILIES, GROUPED, build


def same_layers(one: Checkpoint, two: Checkpoint) -> bool:
    pairs = [(one.read_layer(i), two.read_layer(i)) for i in range(one.architecture.n_layers)]
    return all(
        torch.equal(a.in_, b.in_)
        and torch.equal(a.out, b.out)
        and (a.gate is None) == (b.gate is None)
        and (a.gate is None or b.gate is None or torch.equal(a.gate, b.gate))
        for a, b in pairs
    )


def test_sharded_and_single_files_give_the_same_weights_and_fingerprint(llama: Path) -> None:
    before = Checkpoint.open(llama)
    kept = [before.read_layer(index).in_.clone() for index in range(2)]
    fingerprint = before.fingerprint()
    shard(llama)
    after = Checkpoint.open(llama)
    assert all(torch.equal(kept[index], after.read_layer(index).in_) for index in range(2))
    assert after.fingerprint() == fingerprint


def test_pickled_weights_read_the_same_as_safetensors(llama: Path, tmp_path: Path) -> None:
    other = build("llama", GROUPED, tmp_path / "bin", 7)
    as_bin(other)
    assert same_layers(Checkpoint.open(llama), Checkpoint.open(other))
    assert Checkpoint.open(llama).fingerprint() == Checkpoint.open(other).fingerprint()


def test_sharded_pickles_are_read(llama: Path, tmp_path: Path) -> None:
    other = build("llama", GROUPED, tmp_path / "bin", 7)
    tensors = load_file(other / SINGLE)
    (other / SINGLE).unlink()
    names = sorted(tensors)
    weight_map: dict[str, str] = {}
    for file, part in (("pytorch_model-1.bin", names[::2]), ("pytorch_model-2.bin", names[1::2])):
        torch.save({name: tensors[name] for name in part}, other / file)
        weight_map |= dict.fromkeys(part, file)
    (other / "pytorch_model.bin.index.json").write_text(json.dumps({"weight_map": weight_map}))
    assert same_layers(Checkpoint.open(llama), Checkpoint.open(other))


def test_safetensors_go_before_pickles(llama: Path) -> None:
    (llama / "pytorch_model.bin").write_bytes(b"never looked at")
    read_all(llama)


def test_gpt2_without_its_prefix_reads_the_same(tmp_path: Path) -> None:
    """The repository openai-community/gpt2 stores the decoder without `transformer.`."""
    one = FAMILIES["gpt2"](tmp_path / "one", 1)
    two = FAMILIES["gpt2"](tmp_path / "two", 1)

    def strip(tensors: dict[str, Tensor]) -> None:
        for name in list(tensors):
            tensors[name.removeprefix("transformer.")] = tensors.pop(name)

    edit_tensors(two, strip)
    assert same_layers(Checkpoint.open(one), Checkpoint.open(two))


def test_fingerprint_changes_with_weights_names_and_settings_only(llama: Path) -> None:
    first = Checkpoint.open(llama).fingerprint()
    assert len(first) == 64
    edit_config(llama, transformers_version="4.0.0", _name_or_path="elsewhere")
    assert Checkpoint.open(llama).fingerprint() == first
    edit_config(llama, rope_theta=12345.0)
    second = Checkpoint.open(llama).fingerprint()
    assert second != first

    def nudge(tensors: dict[str, Tensor]) -> None:
        tensors["model.layers.1.mlp.up_proj.weight"][0, 0] += 1e-3

    edit_tensors(llama, nudge)
    third = Checkpoint.open(llama).fingerprint()
    assert third not in {first, second}

    def cast(tensors: dict[str, Tensor]) -> None:
        tensors["model.norm.weight"] = tensors["model.norm.weight"].double()

    edit_tensors(llama, cast)
    assert Checkpoint.open(llama).fingerprint() not in {first, second, third}


def test_a_worker_that_finds_other_weights_or_none_refuses_them_in_a_line(llama: Path) -> None:
    sent = pickle.dumps(Checkpoint.open(llama))
    assert pickle.loads(sent).fingerprint() == Checkpoint.open(llama).fingerprint()
    file = llama / "model.safetensors"
    tensors = load_file(file)
    tensors["model.norm.weight"] += 1
    save_file(tensors, file, metadata={"format": "pt"})
    with pytest.raises(CheckpointError, match=r"holds other weights .* every machine the same"):
        pickle.loads(sent)
    file.unlink()
    with pytest.raises(CheckpointError, match=rf"^{re.escape(socket.gethostname())}: ") as caught:
        pickle.loads(sent)
    assert "\n" not in str(caught.value)


def test_a_stored_head_counts_although_the_settings_tie_it(llama: Path) -> None:
    edit_config(llama, tie_word_embeddings=True)
    checkpoint = Checkpoint.open(llama)
    assert not checkpoint.architecture.tied
    assert not torch.equal(checkpoint.read_unembedding(), checkpoint.read_embedding())

    def tie(tensors: dict[str, Tensor]) -> None:
        tensors["lm_head.weight"] = tensors["model.embed_tokens.weight"].clone()

    edit_tensors(llama, tie)
    assert Checkpoint.open(llama).architecture.tied


def test_a_head_that_is_neither_stored_nor_tied_is_refused(llama: Path) -> None:
    edit_tensors(llama, lambda tensors: tensors.__delitem__("lm_head.weight"))
    assert "lm_head.weight" in message(llama)
    edit_config(llama, tie_word_embeddings=True)
    checkpoint = Checkpoint.open(llama)
    assert torch.equal(checkpoint.read_unembedding(), checkpoint.read_embedding())


def test_weights_are_views_of_the_file_and_rows_are_neurons(llama: Path) -> None:
    weights = Checkpoint.open(llama).read_layer(1)
    stored = load_file(llama / SINGLE)["model.layers.1.mlp.down_proj.weight"]
    assert torch.equal(weights.out, stored.T)
    assert weights.out.stride() == (1, 56)  # transposed by its strides, not copied


@pytest.mark.parametrize("index", [-1, 2])
def test_a_layer_that_is_not_there_is_refused(llama: Path, index: int) -> None:
    with pytest.raises(CheckpointError, match=rf"\b0 to 1\b.* {index}\b"):
        Checkpoint.open(llama).read_layer(index)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_extreme_finite_values_are_accepted(llama: Path, dtype: torch.dtype) -> None:
    """A check by summation would overflow here."""

    def stretch(tensors: dict[str, Tensor]) -> None:
        for name in list(tensors):
            tensors[name] = torch.full_like(tensors[name], torch.finfo(dtype).max, dtype=dtype)

    edit_tensors(llama, stretch)
    read_all(llama)


def test_an_opt_without_final_norm_has_none(tmp_path: Path) -> None:
    path = FAMILIES["opt"](tmp_path, 0)
    edit_config(path, _remove_final_layer_norm=True)
    norm = Checkpoint.open(path).read_final_norm()
    assert (norm.gain, norm.bias) == (None, None)


MEASURE = """
import sys
from pathlib import Path
import torch
from ingest.checkpoint.reader import Checkpoint

def peak() -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) * 1024

torch.aminmax(torch.ones(10)), torch.isfinite(torch.ones(1))
Path("/proc/self/clear_refs").write_text("5")
before = peak()
checkpoint = Checkpoint.open(Path(sys.argv[1]))
checkpoint.fingerprint()
for index in range(checkpoint.architecture.n_layers):
    checkpoint.read_layer(index)
print(peak() - before)
"""


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="needs Linux's /proc")
@pytest.mark.parametrize("pickled", [False, True], ids=["safetensors", "bin"])
def test_reading_layer_by_layer_never_holds_the_file(tmp_path: Path, pickled: bool) -> None:
    big = {**GROUPED, "hidden_size": 256, "intermediate_size": 4096, "num_hidden_layers": 12}
    path = build("llama", big, tmp_path, 0)
    size = (path / SINGLE).stat().st_size
    if pickled:
        as_bin(path)
    layer = 3 * 256 * 4096 * 4
    assert size > 12 * layer
    grown = subprocess.run(
        [sys.executable, "-c", MEASURE, str(path)], check=True, capture_output=True, text=True
    )
    assert int(grown.stdout) < 3 * layer


def test_real_checkpoints_open() -> None:
    for name in ("plain", "sharded", BFLOAT16):
        path = layout(name)
        read_all(path)
        size = Checkpoint.open(path).architecture
        assert (size.n_layers, size.d_model, size.d_mlp, size.d_vocab) == (6, 128, 512, 2048)
        assert size.tied
        assert size.context == 256
