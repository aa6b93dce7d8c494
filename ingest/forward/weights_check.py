"""The model that runs against the weight files: that they are one model is never assumed.

Which files transformers loads, and what it does to them, is its own affair: an adapter beside the
model, another file of weights or a hook of a library may make it run other weights than those that
were analysed. So rows of all that is analysed are compared wherever a model is loaded.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import torch
from torch import Tensor, nn

from ingest.checkpoint.reader import Checkpoint
from ingest.forward.hooks import ExpertHookPoints, MLPHookPoints
from ingest.forward.spread import read_parameter
from neurondb.errors import ModelError

N_ROWS: Final = 16
"""How many rows of each matrix are compared: evenly spaced, the first and the last among them."""


def refuse_other_weights(
    checkpoint: Checkpoint,
    model: Any,
    decoder: nn.Module,
    hook_points: Sequence[MLPHookPoints | ExpertHookPoints] = (),
) -> None:
    """Make sure that a loaded model has the weights of a checkpoint.

    Rows of the embedding, of the unembedding and of every matrix of every layer's MLP or experts,
    and the whole of its biases and norms, must be the stored values in the loaded precision.

    Args:
        checkpoint: The checkpoint that was analysed.
        model: The model that transformers loaded.
        decoder: The part of it that holds the layers.
        hook_points: Every layer's modules; needed of a model with experts.

    Raises:
        ModelError: A value is another.
        CheckpointError: A file was changed since the checkpoint was opened.
    """
    checkpoint.refuse_changed()
    for layer in range(checkpoint.architecture.n_layers):
        place = checkpoint.layout.block.format(layer)
        block = decoder.get_submodule(place.rstrip("."))
        tensors = checkpoint.read_block(layer)
        points = hook_points[layer] if hook_points else None
        if isinstance(points, ExpertHookPoints):
            tensors = _refuse_other_experts(checkpoint, place, tensors, points)
        for name, stored in tensors.items():
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


def _refuse_other_experts(
    checkpoint: Checkpoint, place: str, tensors: dict[str, Tensor], points: ExpertHookPoints
) -> dict[str, Tensor]:
    """Compare a layer's routed experts; return the tensors that are not theirs."""
    places = checkpoint.layout.experts
    assert places is not None
    matrices = (places.gate, places.in_, places.out)
    for expert in range(points.routed.n_experts):
        for matrix, loaded in zip(matrices, points.routed.vectors(expert), strict=True):
            if not _same(matrix.select_expert(tensors, "", expert), loaded):
                raise _other(checkpoint, f"{place}{matrix.tensor.format(expert)}")
    routed = {m.tensor.format(e) for m in matrices for e in range(points.routed.n_experts)}
    return {name: tensor for name, tensor in tensors.items() if name not in routed}


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
