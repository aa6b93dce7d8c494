"""Copies between the processor's memory and a GPU's that nobody waits for.

A GPU runs behind the processor, which only queues its work. To read one number of a result the
processor must wait until the queue is empty, and the GPU then waits for the next work. Copies to
the GPU therefore leave from page-locked memory, and copies to the processor are read later, when
they have long arrived. On a processor all of this does nothing.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from typing import Generic, TypeVar

import torch
from torch import Tensor

T = TypeVar("T")


def copy_to(tensor: Tensor, device: torch.device) -> Tensor:
    """Return a tensor on a device, where later work finds it; a GPU's copy is only queued."""
    if tensor.device.type != "cpu" or device.type in {"cpu", "mps"}:
        return tensor.to(device)
    source = tensor.pin_memory() if device.type == "cuda" else tensor
    return source.to(device, non_blocking=True)


class HostCopy:
    """Tensors of one device on their way to the processor's memory.

    Args:
        tensors: what is copied; a processor's own are taken as they are.
    """

    def __init__(self, tensors: Sequence[Tensor]) -> None:
        self._arrived: torch.cuda.Event | None = None
        self._tensors = tuple(tensors)
        if tensors and tensors[0].is_cuda:
            self._tensors = tuple(_copy_to_pinned(tensor) for tensor in tensors)
            self._arrived = torch.cuda.Event()  # type: ignore[no-untyped-call]
            self._arrived.record(torch.cuda.current_stream(tensors[0].device))
        elif tensors and tensors[0].device.type != "cpu":
            self._tensors = tuple(tensor.cpu() for tensor in tensors)

    @property
    def has_arrived(self) -> bool:
        """Whether `wait` returns at once."""
        return self._arrived is None or bool(self._arrived.query())  # type: ignore[no-untyped-call]

    def wait(self) -> tuple[Tensor, ...]:
        """Return the tensors on the processor, as soon as they are there."""
        if self._arrived is not None:
            self._arrived.synchronize()
            self._arrived = None
        return self._tensors


def _copy_to_pinned(tensor: Tensor) -> Tensor:
    room = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True)
    return room.copy_(tensor, non_blocking=True)


class HostCopies(Generic[T]):
    """Results on their way to the processor, handed out in their order, each with what it is of.

    Args:
        behind: how many results may be under way while later work is queued.
    """

    def __init__(self, behind: int) -> None:
        self._behind = behind
        self._copies: deque[tuple[T, HostCopy]] = deque()

    def send(self, of: T, tensors: Sequence[Tensor]) -> None:
        """Begin to copy a result."""
        self._copies.append((of, HostCopy(tensors)))

    def take(self, *, everything: bool = False) -> Iterator[tuple[T, tuple[Tensor, ...]]]:
        """Yield the results that are due, the oldest first, waiting for those still under way.

        Due are all but the newest `behind`, or `everything`.
        """
        while len(self._copies) > (0 if everything else self._behind):
            of, copy = self._copies.popleft()
            yield of, copy.wait()
