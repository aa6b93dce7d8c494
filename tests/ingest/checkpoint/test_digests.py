"""Digests see every byte, whatever the file; what is remembered is true or is not used."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

import ingest.checkpoint.digests
from ingest.checkpoint.digests import Stamp, hash_tensors
from ingest.checkpoint.files import PICKLES, SAFETENSORS
from ingest.checkpoint.reader import Checkpoint
from neurondb.errors import CheckpointError
from tests.support.model_files import SINGLE, as_bin, edit_config, edit_tensors, shard

MIB = 1 << 20


@pytest.fixture(autouse=True)
def memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache directory, and files that count as settled."""
    monkeypatch.setattr(ingest.checkpoint.digests, "user_cache_path", lambda _: tmp_path / "cache")
    monkeypatch.setattr(ingest.checkpoint.digests, "SETTLED_S", -1e9)
    return tmp_path / "cache" / "digests"


class Counting:
    """Loads safetensors, and counts how often."""

    def __init__(self) -> None:
        self.times = 0

    def __call__(self, file: Path, names: Iterable[str]) -> dict[str, Tensor]:
        self.times += 1
        return SAFETENSORS.load(file, names)


def digest(tensor: Tensor) -> str:
    """By the definition, from the tensor's own bytes."""
    content = tensor.contiguous().view(-1).view(torch.uint8).numpy().tobytes()
    expected = hashlib.sha256(f"{tensor.dtype} {list(tensor.shape)} ".encode())
    for start in range(0, len(content), MIB):
        expected.update(hashlib.sha256(content[start : start + MIB]).digest())
    return expected.hexdigest()


def saved(file: Path, tensors: dict[str, Tensor]) -> dict[str, str]:
    save_file(tensors, file)
    return hash_tensors(file, Stamp.from_file(file), tensors, SAFETENSORS.load)


def several() -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {
        "large": torch.randn(3000, 3001, generator=generator),  # 34 MiB: three groups
        "half": torch.randn(700, 800, generator=generator).bfloat16(),
        "small": torch.randn(5, generator=generator),
        "none": torch.zeros(0, 4),
        "one": torch.tensor(3.0),
        "flags": torch.tensor([True, False, True]),
    }


def test_a_digest_is_that_of_the_definition(tmp_path: Path) -> None:
    tensors = several()
    assert saved(tmp_path / "a.safetensors", tensors) == {
        name: digest(tensor) for name, tensor in tensors.items()
    }


@pytest.mark.parametrize("zipped", [True, False])
def test_pickles_give_the_same(tmp_path: Path, zipped: bool) -> None:
    tensors = several() | {"turned": torch.arange(12.0).view(3, 4).T}
    file = tmp_path / "a.bin"
    torch.save(tensors, file, _use_new_zipfile_serialization=zipped)
    found = hash_tensors(file, Stamp.from_file(file), tensors, PICKLES.load)
    assert found == {name: digest(tensor) for name, tensor in tensors.items()}


@pytest.mark.parametrize("place", [0, 1, 262_143, 262_144, 4_500_000, 9_002_999])
def test_one_bit_anywhere_changes_its_tensor_only(tmp_path: Path, place: int) -> None:
    tensors = several()
    before = saved(tmp_path / "a.safetensors", tensors)
    tensors["large"].view(-1).view(torch.int32)[place] ^= 1
    after = saved(tmp_path / "b.safetensors", tensors)
    assert {name for name in before if before[name] != after[name]} == {"large"}


def test_an_edit_of_any_neuron_changes_the_fingerprint(llama: Path) -> None:
    seen = {Checkpoint.open(llama).fingerprint()}
    names = [name for name in load_file(llama / SINGLE) if name.endswith("weight")]

    for name in names:

        def nudge(tensors: dict[str, Tensor], name: str = name) -> None:
            flat = tensors[name].view(-1)
            flat[len(flat) // 2] += 0.01

        edit_tensors(llama, nudge)
        seen.add(Checkpoint.open(llama).fingerprint())
    assert len(seen) == len(names) + 1


def test_an_edit_in_the_middle_is_seen_where_the_old_rule_saw_none(llama: Path) -> None:
    def nudge(tensors: dict[str, Tensor]) -> None:
        tensors["model.embed_tokens.weight"][256, 16] += 1

    before = Checkpoint.open(llama)
    kept = before.fingerprint(), before.edge_fingerprint()
    edit_tensors(llama, nudge)
    after = Checkpoint.open(llama)
    assert after.edge_fingerprint() == kept[1]
    assert after.fingerprint() != kept[0]


def test_what_was_hashed_is_remembered(tmp_path: Path, memory: Path) -> None:
    file, tensors = tmp_path / "a.safetensors", {"a": torch.ones(3), "b": torch.zeros(2)}
    first = saved(file, tensors)
    assert len(list(memory.iterdir())) == 1
    load = Counting()
    assert hash_tensors(file, Stamp.from_file(file), tensors, load) == first
    (tmp_path / "link").symlink_to(file)
    assert hash_tensors(tmp_path / "link", Stamp.from_file(file), tensors, load) == first
    assert load.times == 0


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff", b'{"tensors": 3}', None])
def test_a_damaged_memory_is_hashed_again(
    tmp_path: Path, memory: Path, content: bytes | None
) -> None:
    file, tensors = tmp_path / "a.safetensors", {"a": torch.ones(3)}
    first = saved(file, tensors)
    (kept,) = memory.iterdir()
    if content is None:  # a digest that is not the one that was computed
        said = json.loads(kept.read_bytes())
        said["tensors"]["a"] = "0" * 64
        content = json.dumps(said).encode()
    kept.write_bytes(content)
    assert hash_tensors(file, Stamp.from_file(file), tensors, SAFETENSORS.load) == first
    assert json.loads(kept.read_bytes())["tensors"] == first


def test_a_file_that_changed_is_hashed_again(tmp_path: Path) -> None:
    file = tmp_path / "a.safetensors"
    first = saved(file, {"a": torch.ones(3)})
    times = file.stat().st_atime_ns, file.stat().st_mtime_ns
    assert saved(file, {"a": torch.zeros(3)}) != first
    os.utime(file, ns=times)  # not even times that were set back hide it
    again = hash_tensors(file, Stamp.from_file(file), ["a"], SAFETENSORS.load)
    assert again == {"a": digest(torch.zeros(3))}


def test_a_file_that_may_still_change_is_not_remembered(
    tmp_path: Path, memory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ingest.checkpoint.digests, "SETTLED_S", 2.0)
    saved(tmp_path / "a.safetensors", {"a": torch.ones(3)})
    assert not memory.exists()


def test_without_a_place_to_remember_it_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setattr(ingest.checkpoint.digests, "user_cache_path", lambda _: tmp_path / "file")
    tensors = {"a": torch.ones(3)}
    assert saved(tmp_path / "a.safetensors", tensors) == {"a": digest(tensors["a"])}


def test_a_file_that_changes_meanwhile_is_refused(tmp_path: Path, memory: Path) -> None:
    file = tmp_path / "a.safetensors"
    save_file({"a": torch.ones(3)}, file)

    def load(file: Path, names: Iterable[str]) -> dict[str, Tensor]:
        loaded = SAFETENSORS.load(file, names)
        save_file({"a": torch.zeros(3)}, file)
        return loaded

    with pytest.raises(CheckpointError, match=rf"{re.escape(str(file))} .*\bchanged\b"):
        hash_tensors(file, Stamp.from_file(file), ["a"], load)
    assert not memory.exists()


def test_a_checkpoint_whose_files_change_is_refused(llama: Path) -> None:
    checkpoint = Checkpoint.open(llama)
    edit_tensors(llama, lambda tensors: tensors.update(extra=torch.ones(1)))
    for read in (
        checkpoint.fingerprint,
        checkpoint.read_embedding,
        lambda: checkpoint.read_layer(0),
    ):
        with pytest.raises(CheckpointError, match=r"model\.safetensors .*\bchanged\b"):
            read()


def test_a_configuration_that_changes_is_refused(llama: Path) -> None:
    checkpoint = Checkpoint.open(llama)
    edit_config(llama, rms_norm_eps=0.1)
    with pytest.raises(CheckpointError, match=r"config\.json .*\bchanged\b"):
        checkpoint.fingerprint()


def test_spreading_over_files_changes_nothing(llama: Path) -> None:
    first = Checkpoint.open(llama).fingerprint()
    shard(llama, 5)
    assert Checkpoint.open(llama).fingerprint() == first


def test_a_pickle_changes_nothing(llama: Path) -> None:
    first = Checkpoint.open(llama).fingerprint()
    as_bin(llama)
    assert Checkpoint.open(llama).fingerprint() == first
