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
from ingest.executors.protocol import MAX_RETRIES, Computation, Listener, ShardCounts
from ingest.forward.runtime import count_threads
from neurondb.errors import IngestError

COMMAND: Final = "import sys; from ingest.executors.child import serve; serve(sys.argv[1])"
ENDED: Final = "ended"
"""First part of what is read where a process has ended."""
THREADS: Final = "OMP_NUM_THREADS"
"""The variable by which a user says how many threads a process has."""


class _Child:
    """One process from outside; its reports go into a queue, with itself in front."""

    def __init__(self, device: str, environment: dict[str, str], reports: Any) -> None:
        self.device = device
        self.computation: bytes | None = None
        self.is_known_dead = False
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

    @property
    def has_ended(self) -> bool:
        """Whether nothing can be ordered of it any more."""
        return self.is_known_dead or self._process.poll() is not None

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


class _Told:
    """Passes on what processes report of shards that are not finished.

    Args:
        listener: Who is told.
    """

    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self._counts = ShardCounts(listener)
        self._notes: set[str] = set()

    def take(self, report: tuple[Any, ...]) -> None:
        """Pass a report on; raise what a computation has raised."""
        kind, *content = report
        if kind == FAILED:
            raise content[1]
        if kind == ADVANCED:
            self._counts.report(*content)
        elif kind == NOTED and content[1] not in self._notes:
            self._notes.add(content[1])  # each worker would say it
            self._listener.progress.note(content[1])


class ProcessExecutor:
    """Computes on several devices of this machine, a process for each.

    The processes are started when there is work for the first time, and stay until `close`. Where
    one ends, another takes its place and begins its shard again.

    Args:
        devices: One for each process; the processor may be there several times.
    """

    def __init__(self, devices: Sequence[str]) -> None:
        self._devices = tuple(devices)
        self._children: list[_Child] = []
        self._reports: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._pickled: tuple[Computation, bytes] | None = None

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
            IngestError: when processes ended time and again at one shard.
        """
        if not shards:
            return
        self._start()
        if self._pickled is None or self._pickled[0] is not compute:
            self._pickled = compute, pickle.dumps(compute, protocol=5)
        unfinished = True
        try:
            yield from self._collect(self._pickled[1], shards, listener)
            unfinished = False
        finally:
            if unfinished:  # an error, or nobody takes the results any more
                self.close()

    def _collect(
        self, computation: bytes, shards: Sequence[Any], listener: Listener
    ) -> Iterator[tuple[int, Any]]:
        waiting, deaths = deque(range(len(shards))), Counter[int]()
        at_work: dict[_Child, int] = {}
        told = _Told(listener)

        def order(child: _Child, place: int) -> None:
            child = self._replace(child) if child.has_ended else child
            at_work[child] = place
            child.order(place, computation, shards[place])

        for child in self._children[: len(waiting)]:
            order(child, waiting.popleft())
        while at_work:
            child, report = self._reports.get()
            if report[0] == FINISHED:
                del at_work[child]
                if waiting:
                    order(child, waiting.popleft())
                yield report[1], report[2]
            elif report[0] == ENDED:
                child.is_known_dead = True
                place = at_work.pop(child, None)
                if place is not None:  # else it had nothing to do, and is replaced when it has
                    deaths[place] += 1
                    self._tell_end(child, deaths[place], listener)
                    order(child, place)
            else:
                told.take(report)

    @staticmethod
    def _tell_end(child: _Child, n_deaths: int, listener: Listener) -> None:
        """Say that a process has ended, and what comes of it; raise where that was too often."""
        said = f"the worker on {child.device} {child.describe_end()}"
        if n_deaths > MAX_RETRIES:
            raise IngestError(
                f"{said}, the {n_deaths}th at one shard; what is finished is stored, and the same "
                "command goes on from there"
            )
        listener.progress.note(f"{said}; another one begins its shard again")

    def _replace(self, ended: _Child) -> _Child:
        """Start a process in the place of one that has ended."""
        ended.stop()
        started = _Child(ended.device, self._environment, self._reports)
        self._children[self._children.index(ended)] = started
        return started

    def _start(self) -> None:
        if not self._children:
            self._children = [
                _Child(device, self._environment, self._reports) for device in self._devices
            ]

    @property
    def _environment(self) -> dict[str, str]:
        return os.environ | self._share_processor()

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
