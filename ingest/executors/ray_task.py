"""What a worker of Ray does: it computes a shard, and tells how far it is.

The module is light to import, for every worker of a cluster imports it.
"""

from __future__ import annotations

import pickle
import socket
from typing import Any, NamedTuple

from ingest.executors.child import as_our_error, make_worker
from ingest.executors.protocol import Computation
from neurondb import __version__
from neurondb.errors import IngestError

_computations: dict[bytes, Computation] = {}
"""The computation that this worker has at hand: that of its last task, with what it keeps."""


class Reports:
    """An actor that keeps how far workers are, until whoever started them asks."""

    def __init__(self) -> None:
        self._done: dict[int, tuple[int, str]] = {}

    def report(self, shard: int, done: int, detail: str) -> None:
        """Keep how many units of a shard are done."""
        self._done[shard] = (done, detail)

    def take(self) -> dict[int, tuple[int, str]]:
        """Return what was told since the last time."""
        told, self._done = self._done, {}
        return told


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


def compute_shard(
    place: int, key: bytes, computation: bytes, shard: Any, kind: str, version: str, reports: Any
) -> Outcome:
    """Compute one shard in a worker of Ray; an error of the computation is returned, not raised."""
    done, notes = 0, list[str]()

    def report(now_done: int, detail: str) -> None:
        nonlocal done
        done = now_done
        reports.report.remote(place, done, detail)

    try:
        if version != __version__:
            raise IngestError(
                f"{socket.gethostname()} has neurondb {__version__}, this machine {version}; "
                "install one version on all machines of the cluster"
            )
        if key not in _computations:
            _computations.clear()
            _computations[key] = pickle.loads(computation)  # noqa: S301 - from our own driver
        worker = make_worker(kind, report, notes.append)
        return Outcome(_computations[key](shard, worker), done, notes)
    except Exception as error:
        return Outcome(as_our_error(error), done, notes)
