"""The weight files of a model directory: which tensor lies where, and reading a few of them.

Files are mapped into memory, so a tensor costs memory only once it is touched, and its pages are
given back when the last tensor of the same `read` is dropped.
"""

from __future__ import annotations

import json
import pickle
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from itertools import groupby
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from neurondb.errors import CheckpointError

EDGE_BYTES = 4096
DAMAGED = "it is truncated or damaged; download it again"


@dataclass(frozen=True)
class Stored:
    """Where one tensor lies, and its shape as the file's header gives it."""

    file: Path
    shape: tuple[int, ...]


@dataclass(frozen=True)
class Format:
    """One way of keeping weights in files.

    Attributes:
        single: The file's name where there is one file.
        index: The name of the JSON file that maps tensors to shards where there are several.
        shapes: Reads the names and shapes of a file's tensors, not their values.
        load: Maps the named tensors of a file.
    """

    single: str
    index: str
    shapes: Callable[[Path], dict[str, tuple[int, ...]]]
    load: Callable[[Path, Iterable[str]], dict[str, Tensor]]


@dataclass(frozen=True)
class Shards:
    """All tensors of a model directory, by name."""

    stored: Mapping[str, Stored]
    format: Format

    @classmethod
    def open(cls, directory: Path) -> Shards:
        """Find a directory's weight files and read their headers; safetensors go before .bin.

        Raises:
            CheckpointError: There are none, a shard named by the index is missing, or a file is
                truncated, of another format, or holds anything but tensors.
        """
        for format_ in FORMATS:
            files = _weight_files(directory, format_)
            if files:
                return cls(_headers(files, format_), format_)
        raise CheckpointError(_no_weights(directory))

    def read(self, names: Iterable[str]) -> dict[str, Tensor]:
        """The named tensors, mapped; each file is opened once.

        Raises:
            CheckpointError: There is no such tensor, or its file has become unreadable.
        """
        wanted = sorted({name: self._find(name) for name in names}.items(), key=_by_file)
        tensors: dict[str, Tensor] = {}
        for file, group in groupby(wanted, key=_by_file):
            tensors |= self.format.load(file, [name for name, _ in group])
        return tensors

    def digests(self, names: Iterable[str] | None = None) -> dict[str, str]:
        """The digest of each named tensor (default: of all), in the order of their names.

        A digest covers dtype, shape, and the first and last 4 KiB, so little of a file is read.
        """
        wanted = sorted(self.stored if names is None else names)
        return {name: _digest(tensor) for name, tensor in sorted(self.read(wanted).items())}

    def _find(self, name: str) -> Stored:
        if name not in self.stored:
            raise CheckpointError(f"the weight files hold no tensor '{name}'")
        return self.stored[name]


def _by_file(item: tuple[str, Stored]) -> Path:
    return item[1].file


def _digest(tensor: Tensor) -> str:
    flat = tensor.reshape(-1).view(torch.uint8)
    digest = sha256(f"{tensor.dtype} {list(tensor.shape)} ".encode())
    digest.update(flat[:EDGE_BYTES].numpy().tobytes())
    digest.update(flat[-EDGE_BYTES:].numpy().tobytes())
    return digest.hexdigest()


def _weight_files(directory: Path, format_: Format) -> dict[Path, list[str]]:
    """The files of one format, each with the tensors that the index, if any, says it holds."""
    index = directory / format_.index
    single = directory / format_.single
    if not index.is_file():
        return {single: []} if single.is_file() else {}
    files: dict[Path, list[str]] = {}
    for tensor, shard in _weight_map(index).items():
        files.setdefault(directory / shard, []).append(tensor)
    missing = sorted(file.name for file in files if not file.is_file())
    if missing:
        raise CheckpointError(
            f"{index} names {missing[0]}, which is not there"
            f" ({len(missing)} of {len(files)} shards missing): finish the download"
        )
    return files


def _weight_map(index: Path) -> dict[str, str]:
    try:
        weight_map = json.loads(index.read_bytes())["weight_map"]
        names = {str(tensor): str(shard) for tensor, shard in weight_map.items()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{index} is no index of weight files: download it again") from error
    astray = [shard for shard in names.values() if Path(shard).name != shard]
    if astray:
        raise CheckpointError(f"{index} names {astray[0]!r}, a file outside the directory")
    return names


def _headers(files: Mapping[Path, list[str]], format_: Format) -> dict[str, Stored]:
    stored: dict[str, Stored] = {}
    for file, promised in files.items():
        shapes = format_.shapes(file)
        absent = [name for name in promised if name not in shapes]
        if absent:
            raise CheckpointError(f"{file} lacks tensor '{absent[0]}', which the index puts there")
        stored |= {name: Stored(file, shape) for name, shape in shapes.items()}
    return stored


def _no_weights(directory: Path) -> str:
    looked = " nor ".join(format_.single for format_ in FORMATS)
    if list(directory.glob("*.gguf")):
        return f"{directory} holds GGUF weights only: take the model's safetensors repository"
    return f"{directory} has neither {looked} nor an index of shards: is the download complete?"


@contextmanager
def _opening(file: Path, advice: str) -> Iterator[None]:
    """Turn what the two readers raise into one line that names the file."""
    try:
        yield
    except (SafetensorError, OSError, RuntimeError, EOFError, ValueError) as error:
        detail = re.sub(r"\s+", " ", str(error))[:120]
        raise CheckpointError(f"{file} cannot be read ({detail}): {advice}") from error


def _safetensors_shapes(file: Path) -> dict[str, tuple[int, ...]]:
    with _opening(file, DAMAGED), safe_open(file, framework="pt") as opened:
        names = opened.keys()
        return {name: tuple(opened.get_slice(name).get_shape()) for name in names}


def _safetensors_load(file: Path, names: Iterable[str]) -> dict[str, Tensor]:
    # Opened anew each time: a mapping kept open would keep every page ever touched resident.
    with _opening(file, DAMAGED), safe_open(file, framework="pt") as opened:
        return {name: opened.get_tensor(name) for name in names}


def _pickled(file: Path) -> dict[str, Tensor]:
    try:
        with _opening(file, "damaged, or older than torch 1.6; take or make safetensors"):
            content = torch.load(file, map_location="cpu", weights_only=True, mmap=True)
    except pickle.UnpicklingError as error:
        raise CheckpointError(
            f"{file} holds more than tensors, and loading it could run foreign code: refused;"
            " convert it to safetensors"
        ) from error
    if not isinstance(content, dict) or not all(isinstance(v, Tensor) for v in content.values()):
        raise CheckpointError(f"{file} is no mapping of names to tensors: not a model's weights")
    return {str(name): tensor for name, tensor in content.items()}


def _pickled_shapes(file: Path) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in _pickled(file).items()}


def _pickled_load(file: Path, names: Iterable[str]) -> dict[str, Tensor]:
    tensors = _pickled(file)
    return {name: tensors[name] for name in names}


FORMATS = (
    Format(
        "model.safetensors", "model.safetensors.index.json", _safetensors_shapes, _safetensors_load
    ),
    Format("pytorch_model.bin", "pytorch_model.bin.index.json", _pickled_shapes, _pickled_load),
)
