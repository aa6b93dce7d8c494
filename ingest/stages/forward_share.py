"""How much of a pass's time the model itself takes."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

import torch


class ForwardShare:
    """Measures what the consumers of a forward pass add to it.

    On a GPU by its own events: the processor only queues what the GPU does later.
    """

    def __init__(self, device: torch.device) -> None:
        self._on_gpu = device.type == "cuda"
        self._events: list[tuple[torch.cuda.Event, torch.cuda.Event]] = []
        self._total_seconds = 0.0
        self._consumer_seconds = 0.0

    @contextmanager
    def time_batch(self) -> Iterator[None]:
        """Time one batch, the model and its consumers together."""
        started = time.perf_counter()
        yield
        if self._on_gpu:
            torch.cuda.synchronize()
            self._consumer_seconds += sum(a.elapsed_time(b) for a, b in self._events) / 1e3
            self._events.clear()
        self._total_seconds += time.perf_counter() - started

    @contextmanager
    def time_consumers(self) -> Iterator[None]:
        """Time what the consumers add to the model's own time."""
        if self._on_gpu:
            begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))  # type: ignore[no-untyped-call]
            begin.record()
            yield
            end.record()
            self._events.append((begin, end))
        else:
            started = time.perf_counter()
            yield
            self._consumer_seconds += time.perf_counter() - started

    def __str__(self) -> str:
        """Return e.g. `forward 81%`, nothing before the first batch."""
        if self._total_seconds == 0:
            return ""
        return f"forward {1 - self._consumer_seconds / self._total_seconds:.0%}"
