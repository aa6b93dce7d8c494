"""The tensors of a model directory: which file holds which, and reading a few of them.

Files are mapped into memory, so a tensor costs memory only once it is touched, and its pages are
given back when the last tensor of the same `read` is dropped.
"""

from __future__ import annotations

import pickle
import re
import tarfile
import warnings
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from hashlib import sha256
from itertools import groupby
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from ingest.checkpoint.digests import Stamp, hash_tensors, refuse_changed
from ingest.checkpoint.directory import find_weight_files
from ingest.checkpoint.gguf.reader import GgufFile
from ingest.checkpoint.gguf.tensors import GgufTensors
from neurondb.errors import CheckpointError

EDGE_BYTES = 4096
DAMAGED = "it is truncated or damaged; download it again"


@dataclass(frozen=True)
class StoredTensor:
    """Where one tensor lies, and its shape as the file's header gives it."""

    file: Path
    shape: tuple[int, ...]


@dataclass(frozen=True)
class Format:
    """One way of keeping weights in files.

    Attributes:
        shapes: Reads the names and shapes of a file's tensors, not their values.
        load: Maps the named tensors of a file.
        stored: Maps their bytes as they are stored, where those are other than their values.
    """

    shapes: Callable[[Path], dict[str, tuple[int, ...]]]
    load: Callable[[Path, Iterable[str]], dict[str, Tensor]]
    stored: Callable[[Path, Iterable[str]], dict[str, Tensor]] | None = None


@dataclass(frozen=True)
class TensorFiles:
    """All tensors of a model directory, by name.

    Attributes:
        stored: The file, the offset, the dtype and the shape of each tensor, by its name.
        format: How files are read.
        stamps: What the file system said of each file when it was opened.
    """

    stored: Mapping[str, StoredTensor]
    format: Format
    stamps: Mapping[Path, Stamp]
    _digests: dict[str, str] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def open(cls, directory: Path, named_file: object = None) -> TensorFiles:
        """Find the weight files that transformers runs and read their headers.

        Args:
            directory: The model's.
            named_file: The file that `transformers_weights` of config.json names, if it does.

        Raises:
            CheckpointError: There are none, a shard named by the index is missing, or a file is
                truncated, of another format, or holds anything but tensors.
        """
        weights = find_weight_files(directory, named_file)
        format_ = PICKLES if weights.pickled else SAFETENSORS
        stamps = {file: Stamp.from_file(file) for file in weights.files}
        return cls(_headers(weights.files, format_), format_, stamps)

    @classmethod
    def from_gguf(cls, file: GgufFile, tensors: GgufTensors) -> TensorFiles:
        """Take the tensors of a GGUF file, whose header has been read.

        Raises:
            CheckpointError: A part of it has gone.
        """
        format_ = Format(tensors.read_shapes, tensors.load, tensors.map_stored_bytes)
        stamps = {part: Stamp.from_file(part) for part in file.parts}
        return cls(_headers({part: [] for part in file.parts}, format_), format_, stamps)

    def read(self, names: Iterable[str]) -> dict[str, Tensor]:
        """Return the named tensors, mapped into memory; each file is opened once.

        Raises:
            CheckpointError: There is no such tensor, or its file was changed or has become
                unreadable.
        """
        located = sorted({name: self._find(name) for name in names}.items(), key=_by_file)
        tensors: dict[str, Tensor] = {}
        for file, group in groupby(located, key=_by_file):
            tensors |= self.format.load(file, [name for name, _ in group])
            refuse_changed({file: self.stamps[file]})
        return tensors

    def compute_digests(self) -> Mapping[str, str]:
        """Return each tensor's digest, of dtype, shape and all bytes, in the order of the names.

        Raises:
            CheckpointError: A file was changed or has become unreadable.
        """
        if not self._digests:
            digests: dict[str, str] = {}
            for file, stamp in self.stamps.items():
                names = [name for name, stored in self.stored.items() if stored.file == file]
                load = self.format.stored or self.format.load
                digests |= hash_tensors(file, stamp, names, load)
            self._digests.update(sorted(digests.items()))
        return self._digests

    def compute_edge_digests(self, names: Iterable[str] | None = None) -> dict[str, str]:
        """Return digests of dtype, shape and the first and last 4 KiB; by default all tensors'."""
        tensor_names = sorted(self.stored if names is None else names)
        return {name: _edges(tensor) for name, tensor in sorted(self.read(tensor_names).items())}

    def _find(self, name: str) -> StoredTensor:
        if name not in self.stored:
            raise CheckpointError(f"the weight files hold no tensor '{name}'")
        return self.stored[name]


def _by_file(item: tuple[str, StoredTensor]) -> Path:
    return item[1].file


def _edges(tensor: Tensor) -> str:
    flat = tensor.reshape(-1).view(torch.uint8)
    digest = sha256(f"{tensor.dtype} {list(tensor.shape)} ".encode())
    digest.update(flat[:EDGE_BYTES].numpy().tobytes())
    digest.update(flat[-EDGE_BYTES:].numpy().tobytes())
    return digest.hexdigest()


def _headers(files: Mapping[Path, list[str]], format_: Format) -> dict[str, StoredTensor]:
    """Read where each tensor lies; where two files hold it, the last one counts.

    transformers takes that one too.
    """
    stored: dict[str, StoredTensor] = {}
    for file, listed in files.items():
        shapes = format_.shapes(file)
        missing = [name for name in listed if name not in shapes]
        if missing:
            raise CheckpointError(f"{file} lacks tensor '{missing[0]}', which the index puts there")
        stored |= {name: StoredTensor(file, shape) for name, shape in shapes.items()}
    return stored


@contextmanager
def _opening(file: Path, advice: str) -> Iterator[None]:
    """Turn what the two readers raise into one line that names the file."""
    try:
        yield
    except (SafetensorError, OSError, RuntimeError, EOFError, ValueError) as error:
        detail = re.sub(r"\s+", " ", str(error))[:120]
        raise CheckpointError(f"{file} cannot be read ({detail}): {advice}") from error


def _refuse_empty(file: Path) -> None:
    if file.stat().st_size == 0:
        raise CheckpointError(f"{file} is empty: {DAMAGED}")


def _safetensors_shapes(file: Path) -> dict[str, tuple[int, ...]]:
    _refuse_empty(file)
    with _opening(file, DAMAGED), safe_open(file, framework="pt") as opened:
        names = opened.keys()
        return {name: tuple(opened.get_slice(name).get_shape()) for name in names}


def _safetensors_load(file: Path, names: Iterable[str]) -> dict[str, Tensor]:
    # Opened anew each time: a mapping kept open would keep every page ever touched resident.
    with _opening(file, DAMAGED), safe_open(file, framework="pt") as opened:
        return {name: opened.get_tensor(name) for name in names}


def _pickled(file: Path) -> dict[str, Tensor]:
    if zipfile.is_zipfile(file):
        return _unpickled(file, mmap=True)
    return _unmapped(file, Stamp.from_file(file))


@lru_cache(maxsize=1)
def _unmapped(file: Path, _stamp: Stamp) -> dict[str, Tensor]:
    """Read a file of torch before 1.6 whole; it stays in memory until another is read."""
    return _unpickled(file, mmap=False)


def _unpickled(file: Path, *, mmap: bool) -> dict[str, Tensor]:
    _refuse_foreign(file)
    try:
        with _opening(file, DAMAGED), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of pickle protocols: what cannot be read is said
            content = torch.load(file, map_location="cpu", weights_only=True, mmap=mmap)
    except pickle.UnpicklingError as error:
        raise CheckpointError(
            f"{file} holds more than tensors, and loading it could run foreign code: refused;"
            " convert it to safetensors"
        ) from error
    if not isinstance(content, dict) or not all(isinstance(v, Tensor) for v in content.values()):
        raise CheckpointError(f"{file} is no mapping of names to tensors: not a model's weights")
    return {str(name): tensor for name, tensor in content.items()}


def _refuse_foreign(file: Path) -> None:
    """Say what a file is that torch.load would call foreign code, or damaged."""
    _refuse_empty(file)
    with _opening(file, DAMAGED), file.open("rb") as opened:
        start = opened.read(2)
    if start == b"PK" or start[:1] == b"\x80":  # a zip archive; a pickle
        return
    with _opening(file, DAMAGED):
        old = tarfile.is_tarfile(file)
    problem = "was saved by torch before 0.2: load and save it" if old else "is no file of torch's"
    advice = " with a newer torch" if old else ": download it again"
    raise CheckpointError(f"{file} cannot be read, it {problem}{advice}")


def _pickled_shapes(file: Path) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in _pickled(file).items()}


def _pickled_load(file: Path, names: Iterable[str]) -> dict[str, Tensor]:
    tensors = _pickled(file)
    return {name: tensors[name] for name in names}


SAFETENSORS = Format(_safetensors_shapes, _safetensors_load)
PICKLES = Format(_pickled_shapes, _pickled_load)
