"""Computations that the tests of executors send to workers."""

import os
import signal
from dataclasses import dataclass
from pathlib import Path

from ingest.executors import Worker
from neurondb.errors import IngestError


def square(shard: int, worker: Worker) -> int:
    """Report as many units as the shard says, one by one, and return its square."""
    worker.progress.note("the same line from every worker")
    for _ in range(shard):
        worker.advance(1, f"of {shard}")
    return shard**2


def name_process(_shard: int, worker: Worker) -> tuple[int, str]:
    """Return who computes, and on what."""
    return os.getpid(), str(worker.device)


def refuse(shard: int, _worker: Worker) -> None:
    """Fail as a computation does that knows what is wrong."""
    raise IngestError(f"shard {shard} is wrong; give another")


def stumble(shard: int, _worker: Worker) -> None:
    """Fail as nobody foresaw."""
    raise ZeroDivisionError(f"of\n{shard}")


@dataclass(frozen=True)
class DieOnce:
    """Squares shards; the process of the first one to find no file ends in the middle of it."""

    marker: Path

    def __call__(self, shard: int, worker: Worker) -> int:
        """Report the shard's units; then die, or return its square."""
        worker.advance(shard, "half way")
        try:
            self.marker.touch(exist_ok=False)
        except FileExistsError:
            return shard**2
        return die(shard, worker)


def die(_shard: int, _worker: Worker) -> int:
    """End this process, as a system does that is out of memory."""
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("unreachable")


@dataclass
class CountCalls:
    """Says which process computes, and the how many-th shard is computed there."""

    n: int = 0

    def __call__(self, _shard: int, _worker: Worker) -> tuple[int, int]:
        """Count one more."""
        self.n += 1
        return os.getpid(), self.n
