"""What stages and executors agree on.

A shard is one unit of work, a result what becomes of it. A shard whose worker died may be computed
once more, so a computation writes nothing that a second one would find: what it returns is all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeAlias

from neurondb.contracts.progress import Advance, Progress

if TYPE_CHECKING:  # seconds, for a worker that is asked nothing yet
    import torch


@dataclass(frozen=True)
class Worker:
    """What a computation is told of where it runs.

    Attributes:
        device: The device that is its own.
        advance: Counts units of its shard as done, as `Advance` does.
        progress: Takes notes; bars of its own are shown only where it is the only worker.
    """

    device: torch.device
    advance: Advance
    progress: Progress


Computation: TypeAlias = Callable[[Any, Worker], Any]
"""A function of a shard and a worker. Pickled once for each worker, which calls it for several
shards: what it keeps in itself stays for the next one, also of a later `run` of the same object."""
MAX_RETRIES: Final = 3
"""How often a shard is begun again whose worker died."""


@dataclass(frozen=True)
class Listener:
    """Who hears of work that is under way.

    Attributes:
        advance: Is told of units done, of all shards together, and of the newest detail.
        progress: Takes the notes.
    """

    advance: Advance
    progress: Progress


class Executor(Protocol):
    """Computes shards, on one worker or several."""

    @property
    def devices(self) -> tuple[str, ...]:
        """The device of each worker, all of one kind."""
        ...

    @property
    def own_device(self) -> torch.device:
        """The device that this process computes on, beside the workers."""
        ...

    @property
    def shares_files(self) -> bool:
        """Whether the workers see the files of this machine."""
        ...

    def run(
        self, compute: Computation, shards: Sequence[Any], listener: Listener
    ) -> Iterator[tuple[int, Any]]:
        """Yield the place and the result of each shard as soon as it is finished.

        Raises:
            NeuronDBError: that a computation raised, or that says how a worker ended.
        """
        ...

    def close(self) -> None:
        """Let the workers go, whatever they are doing."""
        ...


class ShardCounts:
    """How far each shard is, added up: a shard that is begun again is not counted twice."""

    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self._done: dict[int, int] = {}

    def report(self, shard: int, done: int, detail: str) -> None:
        """Take note that `done` units of a shard are done so far."""
        before = self._done.get(shard, 0)
        if done > before:
            self._done[shard] = done
            self._listener.advance(done - before, detail)
