"""Model directories to spoil: their files edited, spread over shards, pickled; read in full."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from ingest.checkpoint.reader import Checkpoint
from neurondb.errors import ModelError

SINGLE = "model.safetensors"
INDEX = "model.safetensors.index.json"


def edit_config(path: Path, **values: object) -> None:
    """Change entries of config.json."""
    file = path / "config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **values}))


def edit_tensors(path: Path, change: Callable[[dict[str, Tensor]], None]) -> None:
    """Change the tensors of a single file."""
    tensors = load_file(path / SINGLE)
    change(tensors)
    save_file(tensors, path / SINGLE)


def shard(path: Path, count: int = 3) -> None:
    """Spread a single file over `count` shards with an index."""
    tensors = load_file(path / SINGLE)
    (path / SINGLE).unlink()
    weight_map: dict[str, str] = {}
    for part in range(count):
        names = sorted(tensors)[part::count]
        file = f"model-{part + 1:05d}-of-{count:05d}.safetensors"
        save_file({name: tensors[name] for name in names}, path / file)
        weight_map |= dict.fromkeys(names, file)
    (path / INDEX).write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))


def lose_shard(path: Path) -> None:
    """Spread a file over shards, one of which gets lost."""
    shard(path)
    (path / "model-00002-of-00003.safetensors").unlink()


def as_bin(path: Path, content: object = None) -> Path:
    """Pickle the tensors, or something else, in place of the file."""
    file = path / "pytorch_model.bin"
    torch.save(load_file(path / SINGLE) if content is None else content, file)
    (path / SINGLE).unlink()
    return file


def read_all(path: Path) -> None:
    """Open a directory and read everything."""
    checkpoint = Checkpoint.open(path)
    for index in range(checkpoint.architecture.n_layers):
        checkpoint.read_layer(index)
    checkpoint.read_embedding()
    checkpoint.read_unembedding()
    checkpoint.read_final_norm()


def message(path: Path) -> str:
    """The error of opening and reading everything, which must be one line."""
    with pytest.raises(ModelError) as caught:
        read_all(path)
    text = str(caught.value)
    assert "\n" not in text
    assert len(text) < 400
    return text
