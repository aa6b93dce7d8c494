"""The model that runs against the weight files: that they are one model is never assumed.

Which files transformers loads, and what it does to them, is its own affair: an adapter beside the
model, another file of weights or a hook of a library may make it run other weights than those that
were analysed. So rows of all that is analysed are compared wherever a model is loaded.
"""

from __future__ import annotations

from typing import Any, Final

import torch
from torch import Tensor, nn

from ingest.checkpoint.reader import Checkpoint
from ingest.forward.spread import read_parameter
from neurondb.errors import ModelError

N_ROWS: Final = 16
"""How many rows of each matrix are compared: evenly spaced, the first and the last among them."""


def refuse_other_weights(checkpoint: Checkpoint, model: Any, decoder: nn.Module) -> None:
    """Make sure that a loaded model has the weights of a checkpoint.

    Rows of the embedding, of the unembedding and of every matrix of every layer's MLP, and the
    whole of its biases and norms, must be the stored values in the precision that was loaded.

    Args:
        checkpoint: The checkpoint that was analysed.
        model: The model that transformers loaded.
        decoder: The part of it that holds the layers.

    Raises:
        ModelError: A value is another.
        CheckpointError: A file was changed since the checkpoint was opened.
    """
    checkpoint.refuse_changed()
    for layer in range(checkpoint.architecture.n_layers):
        place = checkpoint.layout.block.format(layer)
        block = decoder.get_submodule(place.rstrip("."))
        for name, stored in checkpoint.read_block(layer).items():
            with read_parameter(block, name) as loaded:
                if not _same(stored, loaded):
                    raise _other(checkpoint, f"{place}{name}")
    vocabulary_modules = (model.get_input_embeddings(), model.get_output_embeddings())
    for name, stored, module in zip(
        ("the embedding", "the unembedding"),
        checkpoint.read_ends(),
        vocabulary_modules,
        strict=True,
    ):
        with read_parameter(module, "weight") as loaded:
            if not _same(stored, loaded):
                raise _other(checkpoint, name)


def _same(stored: Tensor, loaded: Tensor) -> bool:
    if stored.shape != loaded.shape:
        return False
    rows = torch.arange(len(stored))
    if stored.ndim > 1:
        rows = torch.linspace(0, len(stored) - 1, N_ROWS).long()
    expected = stored[rows].to(loaded.dtype)
    actual = loaded.detach()[rows.to(loaded.device)].cpu()
    return bool(((expected == actual) | (expected.isnan() & actual.isnan())).all())


def _other(checkpoint: Checkpoint, name: str) -> ModelError:
    return ModelError(
        f"{checkpoint.path}: {name} of the model that transformers runs is not what the weight"
        " files hold: move other weights or adapters out of the directory, and update transformers"
    )
