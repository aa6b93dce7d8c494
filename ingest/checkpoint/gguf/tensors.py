"""The tensors of a GGUF file under transformers' names, as transformers would load them.

GGUF has names of its own, stores what GPT-2 keeps transposed the other way round, and Gemma's norm
gains as 1 + w. Values are dequantised by llama.cpp's library, one tensor at a time.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

import gguf
import numpy as np
import torch
from gguf import GGMLQuantizationType as Type
from torch import Tensor

from ingest.checkpoint.gguf.reader import GgufFile, GgufTensor
from ingest.families.layout import Layout
from neurondb.errors import CheckpointError, UnsupportedModelError

NATIVE: Final = {Type.F32: torch.float32, Type.F16: torch.float16}
"""Stored as torch has them."""
ONE_PLUS: Final = frozenset({"gemma", "gemma2", "gemma3"})
"""Architectures whose norm gains are stored as 1 + w, where transformers keeps w."""
TRANSPOSED: Final = {"gpt2": re.compile(r"blk\.\d+\.ffn_(up|down)\.weight")}
"""What transformers keeps as (inputs, outputs)."""
CHUNK_ELEMENTS: Final = 1 << 22
"""Dequantised at a time: the library makes several copies on the way."""


class GgufTensors:
    """The tensors of a GGUF file by transformers' names, where we read them, else by GGUF's.

    Args:
        file: The file.
        layout: Which tensors of the model are read.

    Raises:
        UnsupportedModelError: A tensor that is read is stored in a way that cannot be dequantised,
            or the library does not know the architecture.
    """

    def __init__(self, file: GgufFile, layout: Layout) -> None:
        self._file = file
        names_by_gguf = _transformers_names(file, layout)
        self.gguf_name: Mapping[str, str] = {names_by_gguf.get(n, n): n for n in file.tensors}
        """GGUF's name of each tensor, by ours."""
        for name in names_by_gguf:
            _refuse_unreadable(name, file.tensors[name])

    def read_shapes(self, file: Path) -> dict[str, tuple[int, ...]]:
        """Return the names and shapes of the tensors that a file, or one part, holds."""
        return {
            name: self._shape(gguf_name)
            for name, gguf_name in self.gguf_name.items()
            if self._file.tensors[gguf_name].file == file
        }

    def load(self, _file: Path, names: Iterable[str]) -> dict[str, Tensor]:
        """Return the values of tensors, dequantised to float32; F16 as it is."""
        return {name: self._values(self.gguf_name[name]) for name in names}

    def map_stored_bytes(self, _file: Path, names: Iterable[str]) -> dict[str, Tensor]:
        """Return tensors' bytes as they are stored, mapped into memory."""
        return {name: _mapped(self._file.tensors[self.gguf_name[name]]) for name in names}

    def list_types(self) -> dict[str, str]:
        """Return how each tensor is stored, by our names, under llama.cpp's names of types."""
        return {name: self._file.tensors[n].type.name for name, n in self.gguf_name.items()}

    def _shape(self, gguf_name: str) -> tuple[int, ...]:
        shape = self._file.tensors[gguf_name].shape
        return shape[::-1] if self._is_transposed(gguf_name) else shape

    def _is_transposed(self, gguf_name: str) -> bool:
        pattern = TRANSPOSED.get(self._file.architecture)
        return pattern is not None and pattern.fullmatch(gguf_name) is not None

    def _values(self, gguf_name: str) -> Tensor:
        values = _dequantise(self._file.tensors[gguf_name])
        if self._file.architecture in ONE_PLUS and gguf_name.endswith("norm.weight"):
            values = values.float() - 1
        return values.T if self._is_transposed(gguf_name) else values


def summarise_types(types: Mapping[str, str]) -> dict[str, str]:
    """Return how each kind of tensor is stored: a layer's number is left out of its name.

    Where the layers differ, each type is named with the number of tensors: "Q4_K ×9, Q6_K ×9".
    """
    kinds: dict[str, Counter[str]] = {}
    for name, type_ in types.items():
        kinds.setdefault(re.sub(r"\.\d+\.", ".*.", name), Counter())[type_] += 1
    return {
        kind: ", ".join(t if len(counts) == 1 else f"{t} ×{n}" for t, n in counts.most_common())
        for kind, counts in kinds.items()
    }


def find_main_type(types: Mapping[str, str], names: Iterable[str]) -> str:
    """Return the type that most of the named tensors have, which a model is called by."""
    return Counter(types[name] for name in names if name in types).most_common(1)[0][0]


def _transformers_names(file: GgufFile, layout: Layout) -> dict[str, str]:
    """Return transformers' name of each tensor that is read, by GGUF's."""
    architectures = {name: key for key, name in gguf.MODEL_ARCH_NAMES.items()}
    if file.architecture not in architectures:
        raise UnsupportedModelError(
            f"{file.path}: the installed gguf library does not know the architecture"
            f" '{file.architecture}': update it"
        )
    table = gguf.get_tensor_name_map(architectures[file.architecture], file.n_layers)
    names_by_gguf: dict[str, str] = {}
    for root in layout.roots:
        for name in _read_names(layout, root):
            gguf_name = table.get_name(name, try_suffixes=(".weight", ".bias"))
            if gguf_name is not None and gguf_name in file.tensors:
                names_by_gguf.setdefault(gguf_name, name)
    return names_by_gguf


def _read_names(layout: Layout, root: str) -> list[str]:
    names = [f"{root}{layout.embedding}.weight", *layout.heads]
    for layer in range(layout.architecture.n_layers):
        names += layout.block_shapes(root + layout.block.format(layer), layer)
    if layout.final_norm is not None:
        names += layout.final_norm.shapes(root, layout.architecture)
    return names


def _refuse_unreadable(name: str, tensor: GgufTensor) -> None:
    if tensor.offset + tensor.n_bytes > tensor.file.stat().st_size:
        raise CheckpointError(f"{tensor.file} is truncated: download it again")
    if tensor.type in NATIVE:
        return
    _, block = gguf.GGML_QUANT_SIZES[tensor.type]
    try:
        gguf.dequantize(np.zeros((1, block), dtype=np.uint8), tensor.type)
    except NotImplementedError as error:
        raise UnsupportedModelError(
            f"{tensor.file}: tensor '{name}' is stored as {tensor.type.name}, which the gguf"
            " library cannot dequantise: take another quantisation of the model"
        ) from error


def _mapped(tensor: GgufTensor) -> Tensor:
    # Copy on write: torch warns of memory that cannot be written.
    bytes_ = np.memmap(tensor.file, np.uint8, "c", tensor.offset, (tensor.n_bytes,))
    return torch.from_numpy(bytes_)


def _dequantise(tensor: GgufTensor) -> Tensor:
    # Read, not mapped: pages of a mapping that is kept would stay in memory.
    stored = np.fromfile(tensor.file, np.uint8, tensor.n_bytes, offset=tensor.offset)
    if tensor.type in NATIVE:
        return torch.from_numpy(stored).view(NATIVE[tensor.type]).view(tensor.shape)
    rows = int(np.prod(tensor.shape[:-1]))
    values = torch.empty(rows, tensor.shape[-1])
    by_row = stored.reshape(rows, -1)
    step = max(1, CHUNK_ELEMENTS // tensor.shape[-1])
    for first in range(0, rows, step):
        part = gguf.dequantize(by_row[first : first + step], tensor.type)
        values[first : first + step] = torch.from_numpy(part)
    return values.view(tensor.shape)
