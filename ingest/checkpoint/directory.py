"""What a model directory holds: the weight files that transformers runs, or what else it is.

Every file is chosen in the order in which transformers' `from_pretrained` looks for them, so that
the weights that are analysed are the weights that run.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Final

from neurondb.errors import CheckpointError

SINGLE_FILES: Final = ("model.safetensors", "pytorch_model.bin")
"""The file of weights where there is one; safetensors go first."""
INDEX_SUFFIX: Final = ".index.json"
"""Ends the name of the file that says which shard holds which tensor, where there are several."""
ADAPTER: Final = "adapter_config.json"

LFS_POINTER: Final = b"version https://git-lfs"
LFS_POINTER_BYTES: Final = 1024
SMALL_FILES: Final = ("config.json", "tokenizer*", "vocab.*", "merges.txt", "*.index.json")
"""Files beside the weights that a model needs."""

OTHER_WEIGHTS: Final[Mapping[str, str]] = {
    "model-*-of-*.safetensors": "shards without their index, part of a download",
    "pytorch_model-*-of-*.bin": "shards without their index, part of a download",
    "*.gguf": "GGUF weights, of llama.cpp",
    "consolidated*.safetensors": "weights in Mistral's own layout",
    "consolidated*.pth": "weights in Meta's own layout",
    "model*.*.safetensors": "weights of a variant, which transformers loads by its name only",
    "pytorch_model.*.bin": "weights of a variant, which transformers loads by its name only",
    "adapter_model.*": "an adapter of PEFT (LoRA)",
    "tf_model*.h5": "TensorFlow weights",
    "model.ckpt*": "a TensorFlow checkpoint",
    "flax_model*.msgpack": "Flax weights",
    "*.onnx": "an ONNX graph",
    "rust_model.ot": "weights for Rust",
    "*.nemo": "a NeMo archive",
    "*.mlmodel*": "a Core ML model",
    "model.pt": "a pickled model of another program",
    "*.pth": "a pickled model of another program",
    "*.distcp": "a checkpoint of distributed training",
    "*.npz": "weights as NumPy arrays",
    "*.safetensors": "safetensors under a name that transformers does not look for",
}
"""What else a directory of weights may be, by the names of its files."""


@dataclass(frozen=True)
class WeightFiles:
    """The weight files of a directory.

    Attributes:
        pickled: Whether they are `.bin` files, else safetensors.
        files: Each, in the order of their names, with the tensors that the index says it holds.
    """

    pickled: bool
    files: Mapping[Path, list[str]]


def find_weight_files(directory: Path, named_file: object = None) -> WeightFiles:
    """Find the weight files that transformers runs.

    Args:
        directory: The model's.
        named_file: What `transformers_weights` of config.json names, which goes before everything.

    Raises:
        CheckpointError: There are none, or an index or a shard that it names is missing or no such
            thing.
    """
    if named_file is not None:
        return _check_weight_files(
            directory, str(named_file), "transformers_weights of config.json"
        )
    # The single file goes before an index: one that was left there is never looked at.
    for name in (
        candidate for single in SINGLE_FILES for candidate in (single, single + INDEX_SUFFIX)
    ):
        if (directory / name).is_file():
            return _check_weight_files(directory, name, "")
    raise CheckpointError(_explain_no_weights(directory))


def _check_weight_files(directory: Path, name: str, named_by: str) -> WeightFiles:
    file = directory / name
    if named_by and (
        Path(name).name != name or not name.removesuffix(INDEX_SUFFIX).endswith(".safetensors")
    ):
        raise CheckpointError(
            f"{directory}: {named_by} names {name!r}, no safetensors file beside it"
        )
    if not file.is_file():
        raise CheckpointError(f"{directory}: {named_by} names {name}, which is not there")
    pickled = name.removesuffix(INDEX_SUFFIX).endswith(".bin")
    refuse_pointer(file)
    files = _shards(file) if name.endswith(INDEX_SUFFIX) else {file: []}
    for shard in files:
        refuse_pointer(shard)
    return WeightFiles(pickled, files)


def _shards(index: Path) -> dict[Path, list[str]]:
    files: dict[Path, list[str]] = {}
    for tensor, shard in _weight_map(index).items():
        files.setdefault(index.parent / shard, []).append(tensor)
    missing = sorted(file.name for file in files if not file.is_file())
    if missing:
        raise CheckpointError(
            f"{index} names {missing[0]}, which is not there"
            f" ({len(missing)} of {len(files)} shards missing): finish the download"
        )
    return dict(sorted(files.items()))


def _weight_map(index: Path) -> dict[str, str]:
    try:
        weight_map = json.loads(index.read_bytes())["weight_map"]
        names = {str(tensor): str(shard) for tensor, shard in weight_map.items()}
    except (ValueError, KeyError, TypeError, AttributeError, OSError) as error:
        raise CheckpointError(f"{index} is no index of weight files: download it again") from error
    if not names:
        raise CheckpointError(f"{index} is an index that names no file: download it again")
    astray = [shard for shard in names.values() if Path(shard).name != shard]
    if astray:
        raise CheckpointError(f"{index} names {astray[0]!r}, a file outside the directory")
    return names


def read_config(directory: Path) -> dict[str, object]:
    """Read `config.json`, after making sure that the directory is a model's.

    Raises:
        CheckpointError: It is none: the message says what it is; or the file is no JSON object.
    """
    file = directory / "config.json"
    if not directory.is_dir():
        problem = "is a file, not a directory" if directory.exists() else "does not exist"
        raise CheckpointError(f"{directory} {problem}: give a model directory in hub format")
    if not file.is_file():
        raise CheckpointError(_explain_no_config(directory))
    _refuse_pointers(directory)
    config = _json_object(file)
    _refuse_adapter(directory)
    return config


def _json_object(file: Path) -> dict[str, object]:
    try:
        content = json.loads(file.read_bytes())
    except (ValueError, OSError, RecursionError) as error:
        raise CheckpointError(f"{file} cannot be read as JSON ({error})") from error
    if not isinstance(content, dict):
        raise CheckpointError(f"{file} is no JSON object")
    return content


def _explain_no_config(directory: Path) -> str:
    if (directory / ADAPTER).is_file():
        return (
            f"{directory} is a PEFT adapter (LoRA or the like){_describe_base_model(directory)},"
            " no model: merge it into its base model with peft's merge_and_unload and give what"
            " save_pretrained writes, or give the base model"
        )
    weights = describe_other_weights(_names(directory))
    hint = "" if weights is None else f"; it holds {weights}"
    return f"{directory} has no config.json: not a model in hub format{hint}"


def _describe_base_model(directory: Path) -> str:
    """Name the base model of an adapter, where it says which."""
    try:
        base = _json_object(directory / ADAPTER).get("base_model_name_or_path")
    except CheckpointError:
        return ""
    return f" of {base}" if isinstance(base, str) and base else ""


def _refuse_adapter(directory: Path) -> None:
    """Refuse what transformers runs with an adapter or without, as peft is installed or not."""
    if (directory / ADAPTER).is_file():
        raise CheckpointError(
            f"{directory} holds an adapter ({ADAPTER}) beside the model, which transformers applies"
            " where peft is installed and ignores elsewhere: move the adapter's files away, or"
            " merge them into the model with peft's merge_and_unload"
        )


def _refuse_pointers(directory: Path) -> None:
    for name in _names(directory):
        is_read = any(fnmatch(name, pattern) for pattern in SMALL_FILES)
        if is_read and (directory / name).is_file():
            refuse_pointer(directory / name)


def refuse_pointer(file: Path) -> None:
    """Refuse what Git leaves in place of a large file.

    Raises:
        CheckpointError: The file is a pointer of Git LFS, or cannot be read.
    """
    try:
        with file.open("rb") as opened:
            start = opened.read(LFS_POINTER_BYTES + 1)
    except OSError as error:
        raise CheckpointError(f"{file} cannot be read ({error.strerror})") from error
    if start.startswith(LFS_POINTER) and len(start) <= LFS_POINTER_BYTES:
        raise CheckpointError(
            f"{file} is a Git LFS pointer, not the file that it stands for: run `git lfs pull` in"
            f" {file.parent}"
        )


def describe_other_weights(names: Iterable[str]) -> str | None:
    """Say what a set of files without weights of transformers holds instead, with one of them."""
    sorted_names = sorted(names)
    for pattern, meaning in OTHER_WEIGHTS.items():
        match = next((name for name in sorted_names if fnmatch(name, pattern)), None)
        if match is not None:
            return f"{meaning} ({match})"
    return None


def _explain_no_weights(directory: Path) -> str:
    looked = " nor ".join(SINGLE_FILES)
    other_weights = describe_other_weights(_names(directory))
    if other_weights is not None:
        return (
            f"{directory} has neither {looked} nor an index of shards, but {other_weights}: take"
            " the model's safetensors repository"
        )
    return f"{directory} has neither {looked} nor an index of shards: is the download complete?"


def _names(directory: Path) -> list[str]:
    return sorted(entry.name for entry in directory.iterdir())
