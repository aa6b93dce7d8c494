"""A checkpoint that is open, and where and in which precision it is to run.

Every job that reads the weights of a model begins here: the device, the precision, the checkpoint
that a stored model was read from, and the processor's threads are picked in one place.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from sqlalchemy import Connection

from ingest.checkpoint.fingerprint_check import open_stored_checkpoint
from ingest.checkpoint.reader import Architecture, Checkpoint
from ingest.forward.devices import find_exact_device, pick_device, pick_dtype
from ingest.forward.model import Forward
from ingest.forward.runtime import keep_freed_blocks, use_threads_for
from neurondb.errors import UnsupportedModelError
from neurondb.reading.models import Model


@dataclass(frozen=True)
class OpenModel:
    """A checkpoint whose files were found good, and what was picked for it; no weights yet.

    Attributes:
        checkpoint: Its files.
        device: The device on which it runs.
        dtype: The precision in which it is to run; weights are analysed as they are stored.
        device_map: How it is spread over devices when it runs; None is on the one.
    """

    checkpoint: Checkpoint
    device: torch.device
    dtype: torch.dtype
    device_map: str | None = None

    @property
    def architecture(self) -> Architecture:
        """The model's sizes."""
        return self.checkpoint.architecture

    @property
    def exact_device(self) -> torch.device:
        """The device on which weights are analysed and activations summed: one with float64."""
        return find_exact_device(self.device)

    @property
    def dtype_name(self) -> str:
        """The precision as the database has it, such as `float32`."""
        return str(self.dtype).removeprefix("torch.")

    def move(self, device: torch.device) -> OpenModel:
        """Return the same, to run on another device."""
        return replace(self, device=device)

    def prepare_processor(self) -> None:
        """Set the processor's memory allocator and its threads for a model of these sizes."""
        keep_freed_blocks()
        use_threads_for(self.architecture)

    def load(self) -> Forward:
        """Load the model to run it, on a processor that is prepared for it.

        Raises:
            ModelError: when it cannot be loaded to run, or is another than the checkpoint's.
        """
        self.prepare_processor()
        return Forward(self.checkpoint, self.device, self.dtype, self.device_map)


def open_model(checkpoint: Checkpoint, device: str = "cpu", dtype: str = "float32") -> OpenModel:
    """Pick where a checkpoint is to run, and in which precision.

    Args:
        checkpoint: The model's files.
        device: `auto`, or a device of torch; jobs that only read weights leave it.
        dtype: `auto`, or a floating-point dtype of torch; the same.

    Raises:
        IngestError: when there is no such device here, or no such dtype.
    """
    picked = pick_device(device)
    return OpenModel(checkpoint, picked, pick_dtype(dtype, picked, checkpoint.config))


def open_stored_model(
    connection: Connection,
    model: Model,
    device: str = "cpu",
    dtype: str = "float32",
) -> OpenModel:
    """Find the checkpoint that a stored model was read from, and open it as `open_model` does.

    Raises:
        IngestError: when the checkpoint is no longer where it was or holds other weights, or there
            is no such device or dtype.
        ModelError: when it cannot be read, or the hub cannot give it.
    """
    return open_model(open_stored_checkpoint(connection, model), device, dtype)


def refuse_mixture_of_experts(model: Model, why: str, instead: str) -> None:
    """Refuse to do with a mixture of experts what is not defined of its neurons, or not built.

    Args:
        model: The stored model.
        why: What is in the way, as a clause behind "is a mixture of experts,".
        instead: What the user can do.

    Raises:
        UnsupportedModelError: when it is one.
    """
    if model.experts is not None:
        raise UnsupportedModelError(f"{model.name} is a mixture of experts, {why}; {instead}")
