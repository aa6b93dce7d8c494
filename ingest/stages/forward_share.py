"""How much of a pass's time the model itself takes."""

import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch


@dataclass
class _Timed:
    """What a GPU recorded of one batch: when it began and ended, and when each consumer did."""

    begin: torch.cuda.Event
    end: torch.cuda.Event
    consumers: list[tuple[torch.cuda.Event, torch.cuda.Event]] = field(default_factory=list)


class ForwardShare:
    """Measures what the consumers of a forward pass add to it.

    On a GPU by its own events: the processor only queues what the GPU does later. A batch's times
    are read when the next one is queued, which is the one thing that the processor waits for: so it
    never gets further ahead than that, and the GPU never runs out of work.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._on_gpu = device.type == "cuda"
        self._under_way: deque[_Timed] = deque()
        self._total_seconds = 0.0
        self._consumer_seconds = 0.0

    @contextmanager
    def time_batch(self) -> Iterator[None]:
        """Time one batch, the model and its consumers together."""
        if not self._on_gpu:
            started = time.perf_counter()
            yield
            self._total_seconds += time.perf_counter() - started
            return
        timed = _Timed(_make_event(), _make_event())
        self._under_way.append(timed)
        self._record(timed.begin)
        yield
        self._record(timed.end)
        while len(self._under_way) > 1:
            self._read(self._under_way.popleft())

    @contextmanager
    def time_consumers(self) -> Iterator[None]:
        """Time what the consumers add to the model's own time."""
        if self._on_gpu:
            begin, end = _make_event(), _make_event()
            self._record(begin)
            yield
            self._record(end)
            self._under_way[-1].consumers.append((begin, end))
        else:
            started = time.perf_counter()
            yield
            self._consumer_seconds += time.perf_counter() - started

    def _record(self, event: torch.cuda.Event) -> None:
        event.record(torch.cuda.current_stream(self._device))

    def _read(self, timed: _Timed) -> None:
        timed.end.synchronize()
        self._total_seconds += timed.begin.elapsed_time(timed.end) / 1e3
        self._consumer_seconds += sum(a.elapsed_time(b) for a, b in timed.consumers) / 1e3

    def __str__(self) -> str:
        """Return e.g. `forward 81%`, nothing before the first batch."""
        if self._total_seconds == 0:
            return ""
        return f"forward {1 - self._consumer_seconds / self._total_seconds:.0%}"


def _make_event() -> torch.cuda.Event:
    return torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
