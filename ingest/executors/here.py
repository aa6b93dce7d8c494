"""The executor of one device: it computes in this process, a shard when the next is asked for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch

from ingest.executors.protocol import Computation, Listener, Worker


class HereExecutor:
    """Computes on one device, where whoever asks runs.

    Args:
        device: The device.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device

    @property
    def devices(self) -> tuple[str, ...]:
        """The device."""
        return (str(self._device),)

    @property
    def own_device(self) -> torch.device:
        """The same."""
        return self._device

    @property
    def shares_files(self) -> bool:
        """True: they run here."""
        return True

    def run(
        self, compute: Computation, shards: Sequence[Any], listener: Listener
    ) -> Iterator[tuple[int, Any]]:
        """Yield the place and the result of each shard, in order; errors are the computation's."""
        worker = Worker(self._device, listener.advance, listener.progress)
        for place, shard in enumerate(shards):
            yield place, compute(shard, worker)

    def close(self) -> None:
        """Do nothing: there is no other process."""
