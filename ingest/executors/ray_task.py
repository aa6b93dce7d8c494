"""What a worker of Ray does: it computes a shard, and tells how far it is.

The module is light to import, for every worker of a cluster imports it.
"""

from __future__ import annotations

import pickle
import socket
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from ingest.executors.child import as_our_error, make_worker
from ingest.executors.protocol import Computation
from neurondb import __version__
from neurondb.errors import IngestError

TELLING_SECONDS: Final = 60.0
"""How long a worker waits for the actor that hears that it begins, whose process may be starting
on a busy machine, and how long whoever started them waits for its answer."""
_computations: dict[bytes, Computation] = {}
"""The computation that this worker has at hand: that of its last task, with what it keeps."""


class Told(NamedTuple):
    """What an actor was told of one `run`.

    Attributes:
        done: Units done of each shard, by its place, and the newest detail, since it was asked
            last.
        n_begun_again: How often a shard was begun once more, its worker having died; since the
            run began, so that an answer which is lost loses nothing.
    """

    done: dict[int, tuple[int, str]]
    n_begun_again: int


class Reports:
    """An actor that keeps how far the workers of each `run` are, until the run ends.

    What workers and whoever started them say arrives in no order between them: a run is known from
    the first word about it, whoever has that.
    """

    def __init__(self) -> None:
        self._done: dict[bytes, dict[int, tuple[int, str]]] = {}
        self._begun: dict[bytes, list[int]] = {}
        self._ended: set[bytes] = set()

    def begin(self, run: bytes, shard: int) -> None:
        """Take note that a worker begins a shard."""
        if run not in self._ended:
            self._begun.setdefault(run, []).append(shard)

    def report(self, run: bytes, shard: int, done: int, detail: str) -> None:
        """Keep how many units of a shard are done."""
        if run not in self._ended:
            self._done.setdefault(run, {})[shard] = (done, detail)

    def take(self, run: bytes) -> Told:
        """Return what was told of a run."""
        begun = self._begun.get(run, [])
        return Told(self._done.pop(run, {}), len(begun) - len(set(begun)))

    def end(self, run: bytes) -> None:
        """Forget a run; a task of it that lingers is no longer listened to."""
        self._ended.add(run)
        self._done.pop(run, None)
        self._begun.pop(run, None)


@dataclass(frozen=True)
class Task:
    """One shard for a worker of Ray.

    Attributes:
        run: The `run` that it belongs to.
        place: Its number there.
        shard: What is to be computed.
        key: Tells the computation from others.
        kind: The kind of device.
    """

    run: bytes
    place: int
    shard: Any
    key: bytes
    kind: str


class Outcome(NamedTuple):
    """What a task comes to.

    Attributes:
        content: The result of its shard, or the error that the computation raised.
        done: Units of the shard that were done.
        notes: Lines that were to be told.
    """

    content: Any
    done: int
    notes: list[str]


def compute_shard(version: str, pickled: bytes, computation: bytes, reports: Any) -> Outcome:
    """Compute one shard in a worker of Ray; an error of the computation is returned, not raised.

    Args:
        version: Of neurondb, where the run was started. What follows is pickled, for another
            version may have no such classes.
        pickled: The task.
        computation: The computation.
        reports: The actor that hears how far this is.
    """
    done, notes = 0, list[str]()
    try:
        if version != __version__:
            raise IngestError(
                f"{socket.gethostname()} has neurondb {__version__}, this machine {version}; "
                "install one version on all machines of the cluster"
            )
        task: Task = pickle.loads(pickled)  # noqa: S301 - from our own driver
        _tell_begin(task, reports)

        def report(now_done: int, detail: str) -> None:
            nonlocal done
            done = now_done
            reports.report.remote(task.run, task.place, done, detail)

        if task.key not in _computations:
            _computations.clear()
            _computations[task.key] = pickle.loads(computation)  # noqa: S301 - the same
        worker = make_worker(task.kind, report, notes.append)
        return Outcome(_computations[task.key](task.shard, worker), done, notes)
    except Exception as error:
        return Outcome(as_our_error(error), done, notes)


def _tell_begin(task: Task, reports: Any) -> None:
    """Tell that a shard is begun, before anything can end this worker."""
    import ray
    import ray.exceptions

    with suppress(ray.exceptions.RayError):  # it is for a note only
        ray.get(reports.begin.remote(task.run, task.place), timeout=TELLING_SECONDS)
