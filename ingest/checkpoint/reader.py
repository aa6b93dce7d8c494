"""A model directory in hub format, read one layer at a time (METHODS, notation).

The files are mapped, never loaded whole. Every neuron comes out as a row, whatever the
architecture's layout; `ingest.families` says where each tensor lies.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from ingest.checkpoint.digests import Stamp, refuse_changed
from ingest.checkpoint.directory import read_config
from ingest.checkpoint.files import TensorFiles
from ingest.checkpoint.gguf.reader import is_gguf, open_gguf
from ingest.checkpoint.gguf.sidecar import ensure_sidecar
from ingest.checkpoint.gguf.tensors import GgufTensors, find_main_type, summarise_types
from ingest.families import choose_layout
from ingest.families.architecture import Architecture, LayerWeights, Norm
from ingest.families.layout import Layout, Shapes
from ingest.families.settings import Settings
from neurondb.errors import CheckpointError, UnsupportedModelError

__all__ = ["Architecture", "Checkpoint", "LayerWeights", "Norm"]

# Values of config.json that change without the model changing: left out of the fingerprint.
VOLATILE_KEYS = frozenset({"transformers_version", "_name_or_path"})

PART_ELEMENTS = 2**28
"""Numbers of the vectors of the experts that are read together: 1 GiB in float32."""

FLOATS = frozenset({torch.float16, torch.bfloat16, torch.float32, torch.float64})


@dataclass(frozen=True)
class Checkpoint:
    """A model whose files were found good. It keeps no weights and no open file.

    Attributes:
        path: Its directory, or its GGUF file.
        settings: The directory of its `config.json` and its tokenizer: the same, or a sidecar.
        architecture: The model's sizes.
        config: Its `config.json`.
        quantisation: What llama.cpp calls the types of a GGUF file's tensors, such as Q4_K_M, or
            the type of most of its MLP weights; None for other files.
        tensor_types: How each kind of tensor of a GGUF file is stored.
    """

    path: Path
    settings: Path
    architecture: Architecture
    config: dict[str, object]
    quantisation: str | None
    tensor_types: Mapping[str, str]
    _layout: Layout = field(repr=False)
    _root: str = field(repr=False)
    _embedding: str = field(repr=False)
    _head: str | None = field(repr=False)
    _tensor_files: TensorFiles = field(repr=False)
    _stamps: Mapping[Path, Stamp] = field(repr=False)

    @classmethod
    def open(cls, path: Path) -> Checkpoint:
        """Open a directory, checking its configuration and the header of every weight file.

        Raises:
            CheckpointError: A file or tensor is missing, truncated or not of the shape that the
                configuration gives.
            UnsupportedModelError: The architecture has no adapter.
        """
        files = _open_gguf(path) if is_gguf(path) else _open_directory(path)
        layout, tensor_files = files.layout, files.tensor_files
        root, embedding = _find_root(path, layout, tensor_files)
        head = _find_head(path, layout, tensor_files)
        for shapes in _needed(layout, root, (embedding, head)):
            _check_shapes(path, shapes, tensor_files)
        tied = layout.architecture.tied and _is_tied(tensor_files, embedding, head)
        block = layout.block_shapes(root + layout.block.format(0), 0)
        matrices = [name for name, shape in block.items() if len(shape) > 1]
        return cls(
            path,
            files.settings,
            replace(layout.architecture, tied=tied),
            files.config,
            (files.file_type or find_main_type(files.types, matrices)) if files.types else None,
            summarise_types(files.types),
            layout,
            root,
            embedding,
            head,
            tensor_files,
            files.stamps | dict(tensor_files.stamps),
        )

    def __reduce__(self) -> tuple[object, ...]:
        """Pickle as a path: another process opens the files itself, and finds them the same."""
        return _reopen, (self.path, self.fingerprint())

    @property
    def layout(self) -> Layout:
        """Where the family keeps its tensors, and how its modules are called."""
        return self._layout

    def read_layer(self, index: int) -> LayerWeights:
        """Return the raw MLP weights of layer `index`, counted from zero.

        Raises:
            CheckpointError: There is no such layer, or a tensor holds NaN or infinity.
        """
        return self._read_layer(index, is_looked_at=lambda _: True)

    def read_unexamined_layer(self, index: int) -> LayerWeights:
        """Return what `read_layer` does, its matrices not looked at: NaN may be in them.

        For sums over every weight, which show by themselves that something was not finite:
        `read_layer` then says in which tensor. The router of a divided layer, which is in no sum,
        is looked at with the experts.
        """
        is_divided = self.architecture.is_divided(index)
        return self._read_layer(index, is_looked_at=lambda t: is_divided or t.ndim < 2)

    def _read_layer(self, index: int, is_looked_at: Callable[[Tensor], bool]) -> LayerWeights:
        if not 0 <= index < self.architecture.n_layers:
            last = self.architecture.n_layers - 1
            raise CheckpointError(f"{self.path} has layers 0 to {last}, no layer {index}")
        prefix = self._root + self._layout.block.format(index)
        tensors = self._read(self._layout.block_shapes(prefix, index), is_looked_at)
        return self._layout.select_block(tensors, prefix, index)

    def read_parts(self, index: int, n_neurons: int | None = None) -> Iterator[LayerWeights]:
        """Yield the raw MLP weights of a layer in parts, one after another.

        A part of a divided layer is some experts of at most `n_neurons` neurons together, but at
        least one; by default so many that their vectors are `PART_ELEMENTS` numbers. Another layer
        is one part. Only the part that is yielded is in memory.

        Raises:
            CheckpointError: As `read_layer` raises it.
        """
        sizes = self.architecture
        if sizes.experts is None or not sizes.is_divided(index):
            yield self.read_layer(index)
            return
        prefix = self._root + self._layout.block.format(index)
        kept: dict[str, Tensor] = {}  # what several parts are of is mapped, and looked at once
        most = PART_ELEMENTS // (3 * sizes.d_model) if n_neurons is None else n_neurons
        for chosen in sizes.experts.list_parts(most):
            names = self._layout.block_shapes(prefix, index, chosen)
            tensors = self._read(names.keys() - kept.keys()) | kept
            yield self._layout.select_block(tensors, prefix, index, chosen)
            later = range(chosen.stop, chosen.stop + 1)
            kept = {
                name: tensors[name]
                for name in self._layout.block_shapes(prefix, index, later)
                if name in tensors
            }

    def read_embedding(self) -> Float[Tensor, "d_vocab d_model"]:
        """Return the embedding E as it is stored; CheckpointError for NaN or infinity in it."""
        return self._read_one(self._embedding)

    def read_unembedding(self) -> Float[Tensor, "d_vocab d_model"]:
        """Return the unembedding U as it is stored; a tied model's is its embedding.

        One that is stored although the configuration ties it is what transformers runs, and is
        taken. A bias on the logits is no part of U. CheckpointError as for `read_embedding`.
        """
        return self.read_embedding() if self._head is None else self._read_one(self._head)

    def read_final_norm(self) -> Norm:
        """Return the norm in front of the unembedding; without parameters where there is none."""
        place = self._layout.final_norm
        if place is None:
            return Norm(None, None)
        tensors = self._read(place.shapes(self._root, self.architecture))
        return place.select_norm(tensors, self._root)

    def fingerprint(self) -> str:
        """Hash the configuration and every tensor's name, dtype, shape and bytes: SHA-256 in hex.

        It does not depend on how the tensors are spread over files, and is remembered
        (`ingest.checkpoint.digests`). A `.bin` of the same weights may differ: it often keeps
        buffers and tied tensors that safetensors leave out.

        Raises:
            CheckpointError: A file was changed since it was opened, or cannot be read any more.
        """
        digest = self._digest(self._tensor_files.compute_digests())
        refuse_changed(self._stamps)
        return digest

    def edge_fingerprint(self) -> str:
        """Hash as `fingerprint` does, but only the first and last 4 KiB of every tensor.

        Versions before 0.2 stored this fingerprint, so that old databases still hold it.
        """
        return self._digest(self._tensor_files.compute_edge_digests())

    def refuse_changed(self) -> None:
        """Make sure that the files are those that were opened; CheckpointError if not."""
        refuse_changed(self._stamps)

    def read_block(self, index: int) -> dict[str, Tensor]:
        """Return the tensors of layer `index` as they are stored, by their names below the block.

        They are mapped into memory, and no value is checked: a NaN is not refused.
        """
        prefix = self._root + self._layout.block.format(index)
        tensors = self._tensor_files.read(self._layout.block_shapes(prefix, index))
        return {name.removeprefix(prefix): tensor for name, tensor in tensors.items()}

    def read_ends(self) -> tuple[Tensor, Tensor]:
        """Return embedding and unembedding as they are stored: mapped, and no value checked."""
        names = (self._embedding, self._head or self._embedding)
        tensors = self._tensor_files.read(names)
        return tensors[names[0]], tensors[names[1]]

    def _digest(self, tensors: Mapping[str, str]) -> str:
        settings = {key: value for key, value in self.config.items() if key not in VOLATILE_KEYS}
        if self.tensor_types:  # two types may store a tensor in as many bytes
            settings["tensor_types"] = self.tensor_types
        digest = sha256(json.dumps(settings, sort_keys=True).encode())
        for name, tensor_digest in tensors.items():
            digest.update(f"\n{name} {tensor_digest}".encode())
        return digest.hexdigest()

    def _read_one(self, name: str) -> Tensor:
        return self._read([name])[name]

    def _read(
        self, names: Iterable[str], is_looked_at: Callable[[Tensor], bool] = lambda _: True
    ) -> dict[str, Tensor]:
        tensors = self._tensor_files.read(names)
        for name, tensor in tensors.items():
            problem = _find_wrong_type(tensor)
            if problem is None and is_looked_at(tensor):
                problem = _find_non_finite(tensor)
            if problem is not None:
                file = self._tensor_files.stored[name].file
                raise CheckpointError(f"{file}: tensor '{name}' {problem}")
        return tensors


def _reopen(path: Path, fingerprint: str) -> Checkpoint:
    """Open the files of a pickled checkpoint again, perhaps on another machine.

    Raises:
        CheckpointError: They are not there, or are not what was pickled.
    """
    try:
        checkpoint = Checkpoint.open(path)
    except CheckpointError as error:
        raise CheckpointError(f"{socket.gethostname()}: {error}") from error
    if checkpoint.fingerprint() != fingerprint:
        raise CheckpointError(
            f"{path} on {socket.gethostname()} holds other weights or settings than where the work "
            "was begun: give every machine the same files"
        )
    return checkpoint


class _Files(NamedTuple):
    """What is known of a model's files before its tensors are looked for."""

    settings: Path
    config: dict[str, object]
    layout: Layout
    tensor_files: TensorFiles
    stamps: dict[Path, Stamp]
    types: Mapping[str, str]
    file_type: str | None


def _open_directory(path: Path) -> _Files:
    file = path / "config.json"
    config = read_config(path)
    stamps = {file: Stamp.from_file(file)}
    layout = choose_layout(Settings(config, str(file)))
    tensor_files = TensorFiles.open(path, config.get("transformers_weights"))
    return _Files(path, config, layout, tensor_files, stamps, {}, None)


def _open_gguf(path: Path) -> _Files:
    file = open_gguf(path)
    sidecar = ensure_sidecar(file)
    config = read_config(sidecar)
    layout = choose_layout(Settings(config, str(path)))
    if layout.experts is not None:
        raise UnsupportedModelError(
            f"{path}: mixtures of experts are read from hub directories, not from GGUF files; take"
            " the model's repository with safetensors"
        )
    tensors = GgufTensors(file, layout)
    tensor_files = TensorFiles.from_gguf(file, tensors)
    return _Files(sidecar, config, layout, tensor_files, {}, tensors.list_types(), file.file_type)


def _find_root(path: Path, layout: Layout, tensor_files: TensorFiles) -> tuple[str, str]:
    """Return the prefix of the decoder's tensors, and the name of the embedding."""
    names = [f"{root}{layout.embedding}.weight" for root in layout.roots]
    for root, name in zip(layout.roots, names, strict=True):
        if name in tensor_files.stored:
            return root, name
    # A tied model may be saved under its head's name alone, which transformers takes for both.
    head = next((name for name in layout.heads if name in tensor_files.stored), None)
    if layout.architecture.tied and head is not None:
        for root in layout.roots:
            if not tensor_files.stored.keys().isdisjoint(
                layout.block_shapes(root + layout.block.format(0), 0)
            ):
                return root, head
    raise CheckpointError(f"{path} stores no embedding (looked for {', '.join(names)})")


def _find_head(path: Path, layout: Layout, tensor_files: TensorFiles) -> str | None:
    head = next((name for name in layout.heads if name in tensor_files.stored), None)
    if head is None and not layout.architecture.tied:
        raise CheckpointError(
            f"{path} stores no {layout.heads[0]}, and its config.json does not tie it to the"
            " embedding: take the language model's repository, not the bare base model's"
        )
    return head


def _needed(layout: Layout, root: str, vocabulary: Iterable[str | None]) -> Iterator[Shapes]:
    """Yield every tensor that will ever be read, with its shape, a block at a time."""
    sizes = layout.architecture
    yield {name: (sizes.d_vocab, sizes.d_model) for name in vocabulary if name is not None}
    for index in range(sizes.n_layers):
        yield layout.block_shapes(root + layout.block.format(index), index)
    if layout.final_norm is not None:
        yield layout.final_norm.shapes(root, sizes)


def _check_shapes(path: Path, shapes: Shapes, tensor_files: TensorFiles) -> None:
    for name, shape in shapes.items():
        stored = tensor_files.stored.get(name)
        if stored is None:
            raise CheckpointError(f"{path} lacks tensor '{name}': is the download complete?")
        if stored.shape != shape:
            raise CheckpointError(
                f"{stored.file}: tensor '{name}' has shape {list(stored.shape)}, but by"
                f" config.json it must be {list(shape)}"
            )


def _is_tied(tensor_files: TensorFiles, embedding: str, head: str | None) -> bool:
    """Tell whether the unembedding is the embedding: by its name, or by dtype, shape and bytes."""
    if head is None or head == embedding:
        return True
    # Where they differ, they nearly always do at once; where they do not, all of both is compared.
    if len(set(tensor_files.compute_edge_digests([embedding, head]).values())) > 1:
        return False
    digests = tensor_files.compute_digests()
    return digests[embedding] == digests[head]


def _find_wrong_type(tensor: Tensor) -> str | None:
    """Return what keeps a tensor's type from being used, in words; None where nothing does."""
    if tensor.dtype in FLOATS:
        return None
    return f"is stored as {tensor.dtype}: take the repository with unquantised weights"


def _find_non_finite(tensor: Tensor) -> str | None:
    """Say in words that a tensor holds NaN or infinity; None where it does not."""
    # One pass at the speed of memory: NaN and infinity both survive into an extreme.
    low, high = torch.aminmax(tensor)
    finite = bool(torch.isfinite(low) & torch.isfinite(high))
    return None if finite else "holds NaN or infinity: download it again, or take another revision"
