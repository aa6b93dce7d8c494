"""A model directory in hub format, read one layer at a time (METHODS, notation).

The files are mapped, never loaded whole. Every neuron comes out as a row, whatever the
architecture's layout; `ingest.families` says where each tensor lies.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from ingest.families import layout_for
from ingest.families.architecture import Architecture, LayerWeights, Norm
from ingest.families.layout import Layout, Shapes
from ingest.families.settings import Settings
from ingest.shards import Shards
from neurondb.errors import CheckpointError

__all__ = ["Architecture", "Checkpoint", "LayerWeights", "Norm"]

# Values of config.json that change without the model changing: left out of the fingerprint.
VOLATILE_KEYS = frozenset({"transformers_version", "_name_or_path"})

FLOATS = frozenset({torch.float16, torch.bfloat16, torch.float32, torch.float64})


@dataclass(frozen=True)
class Checkpoint:
    """A model directory whose files were found good. It keeps no weights and no open file.

    Attributes:
        path: The directory.
        architecture: The model's sizes.
        config: Its `config.json`.
    """

    path: Path
    architecture: Architecture
    config: dict[str, object]
    _layout: Layout = field(repr=False)
    _root: str = field(repr=False)
    _head: str | None = field(repr=False)
    _shards: Shards = field(repr=False)

    @classmethod
    def open(cls, path: Path) -> Checkpoint:
        """Open a directory, checking its configuration and the header of every weight file.

        Raises:
            CheckpointError: A file or tensor is missing, truncated or not of the shape that the
                configuration gives.
            UnsupportedModelError: The architecture has no adapter.
        """
        config = _read_config(path)
        layout = layout_for(Settings(config, str(path / "config.json")))
        shards = Shards.open(path)
        root = _find_root(path, layout, shards)
        head = _find_head(path, layout, shards)
        for shapes in _needed(layout, root, head):
            _check_shapes(path, shapes, shards)
        tied = _is_tied(shards, _embedding_name(layout, root), head)
        architecture = replace(layout.architecture, tied=layout.architecture.tied and tied)
        return cls(path, architecture, config, layout, root, head, shards)

    @property
    def layout(self) -> Layout:
        """Where the family keeps its tensors, and how its modules are called."""
        return self._layout

    def layer(self, index: int) -> LayerWeights:
        """The raw MLP weights of layer `index`, counted from zero.

        Raises:
            CheckpointError: There is no such layer, or a tensor holds NaN or infinity.
        """
        if not 0 <= index < self.architecture.n_layers:
            last = self.architecture.n_layers - 1
            raise CheckpointError(f"{self.path} has layers 0 to {last}, no layer {index}")
        prefix = self._root + self._layout.block.format(index)
        tensors = self._read(self._layout.block_shapes(prefix))
        return self._layout.block_in(tensors, prefix)

    def embedding(self) -> Float[Tensor, "d_vocab d_model"]:
        """The embedding E as it is stored; CheckpointError where it holds NaN or infinity."""
        return self._read_one(_embedding_name(self._layout, self._root))

    def unembedding(self) -> Float[Tensor, "d_vocab d_model"]:
        """The unembedding U as it is stored; a tied model's is its embedding.

        One that is stored although the configuration ties it is what transformers runs, and is
        taken. A bias on the logits is no part of U. CheckpointError as for `embedding`.
        """
        return self.embedding() if self._head is None else self._read_one(self._head)

    def final_norm(self) -> Norm:
        """The norm in front of the unembedding; without parameters where the model has none."""
        place = self._layout.final_norm
        if place is None:
            return Norm(None, None)
        tensors = self._read(place.shapes(self._root, self.architecture))
        return place.norm_in(tensors, self._root)

    def fingerprint(self) -> str:
        """SHA-256 (hex) of the configuration and of every tensor's name, dtype, shape and edges.

        The edges are the first and last 4 KiB, so that little is read. It does not depend on how
        the tensors are spread over files. A `.bin` of the same weights may differ: it often keeps
        buffers and tied tensors that safetensors leave out.
        """
        kept = {key: value for key, value in self.config.items() if key not in VOLATILE_KEYS}
        digest = sha256(json.dumps(kept, sort_keys=True).encode())
        for name, edges in self._shards.digests().items():
            digest.update(f"\n{name} {edges}".encode())
        return digest.hexdigest()

    def _read_one(self, name: str) -> Tensor:
        return self._read([name])[name]

    def _read(self, names: Iterable[str]) -> dict[str, Tensor]:
        tensors = self._shards.read(names)
        for name, tensor in tensors.items():
            problem = _problem(tensor)
            if problem is not None:
                file = self._shards.stored[name].file
                raise CheckpointError(f"{file}: tensor '{name}' {problem}")
        return tensors


def _read_config(path: Path) -> dict[str, object]:
    file = path / "config.json"
    if not path.is_dir():
        problem = "is a file, not a directory" if path.exists() else "does not exist"
        raise CheckpointError(f"{path} {problem}: give a model directory in hub format")
    if not file.is_file():
        adapter = " It looks like a LoRA adapter: merge it into its base model first."
        hint = adapter if (path / "adapter_config.json").is_file() else ""
        raise CheckpointError(f"{path} has no config.json: not a model in hub format.{hint}")
    try:
        config = json.loads(file.read_bytes())
    except (ValueError, OSError) as error:
        raise CheckpointError(f"{file} cannot be read as JSON ({error})") from error
    if not isinstance(config, dict):
        raise CheckpointError(f"{file} is no JSON object")
    return config


def _embedding_name(layout: Layout, root: str) -> str:
    return f"{root}{layout.embedding}.weight"


def _find_root(path: Path, layout: Layout, shards: Shards) -> str:
    names = [_embedding_name(layout, root) for root in layout.roots]
    for root, name in zip(layout.roots, names, strict=True):
        if name in shards.stored:
            return root
    raise CheckpointError(f"{path} stores no embedding (looked for {', '.join(names)})")


def _find_head(path: Path, layout: Layout, shards: Shards) -> str | None:
    head = next((name for name in layout.heads if name in shards.stored), None)
    if head is None and not layout.architecture.tied:
        raise CheckpointError(
            f"{path} stores no {layout.heads[0]}, and its config.json does not tie it to the"
            " embedding: take the language model's repository, not the bare base model's"
        )
    return head


def _needed(layout: Layout, root: str, head: str | None) -> Iterator[Shapes]:
    """Every tensor that will ever be read, with its shape, a block at a time."""
    sizes = layout.architecture
    vocabulary = (_embedding_name(layout, root), head)
    yield {name: (sizes.d_vocab, sizes.d_model) for name in vocabulary if name is not None}
    for index in range(sizes.n_layers):
        yield layout.block_shapes(root + layout.block.format(index))
    if layout.final_norm is not None:
        yield layout.final_norm.shapes(root, sizes)


def _check_shapes(path: Path, shapes: Shapes, shards: Shards) -> None:
    for name, shape in shapes.items():
        stored = shards.stored.get(name)
        if stored is None:
            raise CheckpointError(f"{path} lacks tensor '{name}': is the download complete?")
        if stored.shape != shape:
            raise CheckpointError(
                f"{stored.file}: tensor '{name}' has shape {list(stored.shape)}, but by"
                f" config.json it must be {list(shape)}"
            )


def _is_tied(shards: Shards, embedding: str, head: str | None) -> bool:
    """Whether the unembedding is the embedding; compares dtype, shape and edges if both exist."""
    if head is None:
        return True
    return len(set(shards.digests([embedding, head]).values())) == 1


def _problem(tensor: Tensor) -> str | None:
    """What keeps a tensor from being used, if anything."""
    if tensor.dtype not in FLOATS:
        return f"is stored as {tensor.dtype}: take the repository with unquantised weights"
    # One pass at the speed of memory: NaN and infinity both survive into an extreme.
    low, high = torch.aminmax(tensor)
    finite = bool(torch.isfinite(low) & torch.isfinite(high))
    return None if finite else "holds NaN or infinity: download it again, or take another revision"
