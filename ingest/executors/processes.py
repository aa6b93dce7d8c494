"""The executor of several devices of this machine: a process for each (data parallelism).

Processes rather than threads: each has a CUDA context, and a Python interpreter, of its own.
"""

from __future__ import annotations

import os
import pickle
import queue
import signal
import subprocess
import sys
import threading
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import IO, Any, Final

import torch

from ingest.executors.child import ADVANCED, FAILED, FINISHED, NOTED
from ingest.executors.protocol import Computation, Listener, ShardCounts
from ingest.forward.runtime import count_threads
from neurondb.errors import IngestError

COMMAND: Final = "import sys; from ingest.executors.child import serve; serve(sys.argv[1])"
ENDED: Final = "ended"
"""First part of what is read where a process has ended."""
THREADS: Final = "OMP_NUM_THREADS"


class _Child:
    """One process from outside; its reports go into a queue, with itself in front."""

    def __init__(self, device: str, environment: dict[str, str], reports: Any) -> None:
        self.device = device
        self.computation: bytes | None = None
        # A session of its own: Ctrl-C is for the process that started it, which stops this one.
        self._process = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-c", COMMAND, device],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
            env=environment,
        )
        assert self._process.stdout is not None
        reading = (self._process.stdout, reports)
        threading.Thread(target=self._read, args=reading, daemon=True).start()

    def _read(self, source: IO[bytes], reports: queue.SimpleQueue[Any]) -> None:
        while True:
            try:
                report = pickle.load(source)  # noqa: S301 - from a process of ours
            except (EOFError, OSError, ValueError, pickle.UnpicklingError):
                reports.put((self, (ENDED,)))
                return
            reports.put((self, report))

    def order(self, place: int, computation: bytes, shard: Any) -> None:
        """Have it compute a shard; what was pickled is sent only when it is another."""
        assert self._process.stdin is not None
        changed = None if computation is self.computation else computation
        self.computation = computation
        with suppress(BrokenPipeError):  # it has ended, which its reader says
            pickle.dump((place, changed, shard), self._process.stdin, protocol=5)
            self._process.stdin.flush()

    def stop(self) -> None:
        """End the process at once."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            with suppress(OSError, ValueError):
                if pipe is not None:
                    pipe.close()

    def describe_end(self) -> str:
        """Return how it ended, as a message says it."""
        code = self._process.wait()
        if code < 0:
            return f"was ended by {signal.Signals(-code).name}" + (
                ", as by a system that is out of memory" if code == -signal.SIGKILL else ""
            )
        return f"ended with status {code}"


class ProcessExecutor:
    """Computes on several devices of this machine, a process for each.

    The processes are started when there is work for the first time, and stay until `close`.

    Args:
        devices: One for each process; the processor may be there several times.
    """

    def __init__(self, devices: Sequence[str]) -> None:
        self._devices = tuple(devices)
        self._children: list[_Child] = []
        self._reports: queue.SimpleQueue[Any] = queue.SimpleQueue()

    @property
    def devices(self) -> tuple[str, ...]:
        """The device of each process."""
        return self._devices

    @property
    def own_device(self) -> torch.device:
        """The first of them."""
        return torch.device(self._devices[0])

    @property
    def shares_files(self) -> bool:
        """True: they run here."""
        return True

    def run(
        self, compute: Computation, shards: Sequence[Any], listener: Listener
    ) -> Iterator[tuple[int, Any]]:
        """Yield the place and the result of each shard as soon as it is finished.

        Raises:
            NeuronDBError: that a computation raised.
            IngestError: when a process ended.
        """
        if not shards:
            return
        self._start()
        unfinished = True
        try:
            yield from self._collect(pickle.dumps(compute, protocol=5), shards, listener)
            unfinished = False
        finally:
            if unfinished:  # an error, or nobody takes the results any more
                self.close()

    def _collect(
        self, computation: bytes, shards: Sequence[Any], listener: Listener
    ) -> Iterator[tuple[int, Any]]:
        waiting = deque(enumerate(shards))
        counts, notes = ShardCounts(listener), set[str]()
        for child in self._children[: len(waiting)]:
            child.order(*self._take(waiting, computation))
        for _ in shards:
            child, place, result = self._wait(counts, notes, listener)
            if waiting:
                child.order(*self._take(waiting, computation))
            yield place, result

    def _wait(
        self, counts: ShardCounts, notes: set[str], listener: Listener
    ) -> tuple[_Child, int, Any]:
        """Return the next child that has finished a shard, the shard's place and its result."""
        while True:
            child, (kind, *content) = self._reports.get()
            if kind == FINISHED:
                return child, content[0], content[1]
            if kind == ADVANCED:
                counts.report(*content)
            elif kind == NOTED and content[1] not in notes:
                notes.add(content[1])  # each worker would say it
                listener.progress.note(content[1])
            elif kind == FAILED:
                raise content[1]
            elif kind == ENDED:
                raise IngestError(
                    f"the worker on {child.device} {child.describe_end()}; what is finished is "
                    "stored, and the same command goes on from there"
                )

    @staticmethod
    def _take(waiting: deque[tuple[int, Any]], computation: bytes) -> tuple[int, bytes, Any]:
        place, shard = waiting.popleft()
        return place, computation, shard

    def _start(self) -> None:
        if not self._children:
            environment = os.environ | self._share_processor()
            self._children = [
                _Child(device, environment, self._reports) for device in self._devices
            ]

    def _share_processor(self) -> dict[str, str]:
        """Return how many threads each process may have, where the user has not said so."""
        n_here = Counter(torch.device(device).type for device in self._devices)["cpu"]
        if n_here < 2 or THREADS in os.environ:
            return {}
        return {THREADS: str(max(1, count_threads() // n_here))}

    def close(self) -> None:
        """End the processes at once."""
        for child in self._children:
            child.stop()
        self._children = []
        self._reports = queue.SimpleQueue()  # what these have reported is nobody's
