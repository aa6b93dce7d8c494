"""What a GGUF file says of itself: its architecture, and where each tensor lies."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, Final

import gguf
import numpy as np
from gguf import GGMLQuantizationType, GGUFReader, GGUFValueType

from ingest.checkpoint.digests import Stamp
from neurondb.errors import CheckpointError, UnsupportedModelError

SUFFIX: Final = ".gguf"
PART_NAME: Final = re.compile(r"(?P<stem>.+)-(?P<number>\d{5})-of-(?P<count>\d{5})\.gguf")
"""How llama.cpp names the parts of a split file."""
FIRST_PART: Final = "00001"
MAX_LISTED: Final = 4
LONG_LIST: Final = 64
"""Lists of more values are the tokenizer's, which only the sidecar reads."""
MAGIC: Final = b"GGUF"


@dataclass(frozen=True)
class GgufTensor:
    """Where one tensor lies in a GGUF file, and how it is stored.

    Attributes:
        file: The file or part that holds it.
        type: How its values are stored, under llama.cpp's name.
        shape: Rows first, as numpy and torch count.
        offset: The place of its first byte in the file.
        n_bytes: Its size as stored.
    """

    file: Path
    type: GGMLQuantizationType
    shape: tuple[int, ...]
    offset: int
    n_bytes: int


@dataclass(frozen=True)
class GgufFile:
    """A GGUF file, or all parts of a split one.

    Attributes:
        path: The file, or the first part.
        parts: All files, in order.
        architecture: llama.cpp's name of the architecture.
        n_layers: Number of layers.
        file_type: The name under which its mixture of types is known, such as Q4_K_M; None where
            it does not say.
        tensors: Each tensor's place in the file, by GGUF's names.
        header_bytes: Bytes of the first file in front of its tensors.
    """

    path: Path
    parts: tuple[Path, ...]
    architecture: str
    n_layers: int
    file_type: str | None
    tensors: Mapping[str, GgufTensor]
    header_bytes: int


def is_gguf(path: Path) -> bool:
    """Tell whether a path is that of a GGUF file: by its name, or its first bytes (Ollama's)."""
    if path.suffix.lower() == SUFFIX:
        return path.is_file()
    try:
        with path.open("rb") as opened:
            return opened.read(len(MAGIC)) == MAGIC
    except OSError:
        return False


def find_gguf(directory: Path) -> Path | None:
    """Return the one GGUF model of a directory, the first part of a split one; None without any.

    Raises:
        CheckpointError: There are several; the message names them.
    """
    files = [file for file in sorted(directory.iterdir()) if file.suffix.lower() == SUFFIX]
    first_parts = [
        file
        for file in files
        if (part := PART_NAME.fullmatch(file.name)) is None or part["number"] == FIRST_PART
    ]
    # A picture tower lies beside the language model that it belongs to.
    models = [file for file in first_parts or files if not file.name.startswith("mmproj")]
    if len(models) > 1:
        names = ", ".join(file.name for file in models[:MAX_LISTED])
        more = ", …" if len(models) > MAX_LISTED else ""
        raise CheckpointError(
            f"{directory} holds {len(models)} GGUF models ({names}{more}): give the file that is"
            " meant"
        )
    return models[0] if models else None


def open_gguf(path: Path) -> GgufFile:
    """Read the header of a GGUF file, or of every part of a split one.

    Args:
        path: The file; any part stands for all.

    Raises:
        CheckpointError: A part is missing, truncated, damaged or no GGUF.
        UnsupportedModelError: It was written for processors of the other byte order.
    """
    parts = _parts(path)
    return _read(parts, tuple(Stamp.from_file(part) for part in parts))


@contextmanager
def read_by_transformers(file: GgufFile, *, lists: bool) -> Iterator[None]:
    """Let transformers see all parts of a file while this is open, which it cannot by itself.

    It also makes the table of tensors' names once for each of the model's modules, in which most of
    the time of loading a small model would go: here once.

    Args:
        file: The file that it is to read.
        lists: Whether it needs the tokenizer's lists. Without them it is much faster.
    """
    quick = [_reader(part, quick=not lists) for part in file.parts]
    joined = quick[0]
    joined.tensors = [tensor for reader in quick for tensor in reader.tensors]
    plain, make_table = gguf.GGUFReader, gguf.get_tensor_name_map
    gguf.GGUFReader = lambda *_, **__: joined  # type: ignore[misc,assignment]
    gguf.get_tensor_name_map = cache(make_table)
    try:
        yield
    finally:
        gguf.GGUFReader = plain  # type: ignore[misc]
        gguf.get_tensor_name_map = make_table


def _parts(path: Path) -> tuple[Path, ...]:
    split_name = PART_NAME.fullmatch(path.name)
    if split_name is None:
        return (path,)
    count = int(split_name["count"])
    names = [f"{split_name['stem']}-{i:05}-of-{count:05}.gguf" for i in range(1, count + 1)]
    parts = [path.with_name(name) for name in names]
    missing = [part.name for part in parts if not part.is_file()]
    if missing:
        raise CheckpointError(
            f"{path.name} is one of {count} parts, and {missing[0]} is not beside it"
            f" ({len(missing)} missing): finish the download"
        )
    return tuple(parts)


@lru_cache(maxsize=4)
def _read(parts: tuple[Path, ...], _stamps: tuple[Stamp, ...]) -> GgufFile:
    tensors: dict[str, GgufTensor] = {}
    readers = [_reader(part, quick=True) for part in parts]
    for part, reader in zip(parts, readers, strict=True):
        tensors |= {tensor.name: _place(part, tensor) for tensor in reader.tensors}
    architecture = _value(parts[0], readers[0], "general.architecture")
    n_layers = _value(parts[0], readers[0], f"{architecture}.block_count")
    return GgufFile(
        parts[0],
        parts,
        str(architecture),
        int(n_layers),
        _file_type(readers[0]),
        tensors,
        int(readers[0].data_offset),
    )


def _file_type(reader: GGUFReader) -> str | None:
    field = reader.get_field("general.file_type")
    try:
        name = None if field is None else gguf.LlamaFileType(field.contents()).name
    except ValueError:  # newer than the library
        return None
    return None if name is None else re.sub("^(MOSTLY|ALL)_", "", name)


def _place(file: Path, tensor: Any) -> GgufTensor:
    return GgufTensor(
        file,
        tensor.tensor_type,
        tuple(int(size) for size in reversed(tensor.shape)),
        int(tensor.data_offset),
        int(tensor.n_bytes),
    )


def _value(file: Path, reader: GGUFReader, key: str) -> Any:
    field = reader.get_field(key)
    if field is None:
        raise CheckpointError(
            f"{file} has no '{key}': it is a part of a split file under another name, or holds no"
            " language model"
        )
    return field.contents()


def _reader(file: Path, *, quick: bool) -> GGUFReader:
    _refuse_foreign(file)
    try:
        reader = _QuickReader(file) if quick else GGUFReader(file)
    except (ValueError, KeyError, IndexError, OverflowError, OSError, struct.error) as error:
        detail = re.sub(r"\s+", " ", str(error))[:120]
        raise CheckpointError(
            f"{file} cannot be read as GGUF ({detail}): it is truncated or damaged, or newer than"
            " the installed gguf library; download it again, or update gguf"
        ) from error
    if reader.byte_order == "S":
        raise UnsupportedModelError(
            f"{file} was written for big-endian processors: take one for little-endian ones"
        )
    return reader


def _refuse_foreign(file: Path) -> None:
    if not file.is_file():
        raise CheckpointError(f"there is no file {file}: check the path")
    with file.open("rb") as opened:
        start = opened.read(len(MAGIC))
    if not start:
        raise CheckpointError(f"{file} is empty: download it again")
    if start == b"vers":
        raise CheckpointError(
            f"{file} is a pointer of Git LFS, not the file itself: run `git lfs pull`"
        )
    if start != MAGIC:
        raise CheckpointError(f"{file} does not begin as GGUF does: download it again")


class _QuickReader(GGUFReader):
    """llama.cpp's reader, which walks over long lists instead of taking them to pieces.

    A vocabulary of 262,144 tokens takes it ten seconds otherwise. Of such a list nothing is kept.
    """

    def _get_field_parts(
        self, orig_offs: int, raw_type: int
    ) -> tuple[int, list[Any], list[int], list[GGUFValueType]]:
        if GGUFValueType(raw_type) == GGUFValueType.ARRAY and self.byte_order == "I":
            item, count = struct.unpack_from("<IQ", _buffer(self.data), orig_offs)
            if count > LONG_LIST:
                size = self._size_of_list(orig_offs + 12, GGUFValueType(item), count)
                return 12 + size, [], [], [GGUFValueType.ARRAY]
        return super()._get_field_parts(orig_offs, raw_type)

    def _size_of_list(self, start: int, item: GGUFValueType, count: int) -> int:
        if item in self.gguf_scalar_to_np:
            return int(np.dtype(self.gguf_scalar_to_np[item]).itemsize) * count
        if item != GGUFValueType.STRING:
            raise ValueError(f"a list of {item.name}")
        view = _buffer(self.data)
        offset = start
        for _ in range(count):
            offset += 8 + struct.unpack_from("<Q", view, offset)[0]
        return offset - start


def _buffer(mapped: Any) -> memoryview:
    """Return a mapped file's bytes; numpy's types do not say that it is a buffer of Python's."""
    return memoryview(mapped)
