"""The executor of several machines: every shard is a task of Ray, one at a time on a card.

Ray runs a task again, elsewhere, where its worker or its machine died. Nothing is lost by that: a
computation writes nothing, and what its shards come to is the same wherever they are computed.
"""

from __future__ import annotations

import os
import pickle
import sys
import uuid
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any, Final

import ray
import ray.exceptions
import torch
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from ingest.executors.processes import THREADS
from ingest.executors.protocol import MAX_RETRIES, Computation, Listener, ShardCounts
from ingest.executors.ray_joining import join_cluster
from ingest.executors.ray_task import TELLING_SECONDS, Outcome, Reports, Task, compute_shard
from ingest.forward.devices import pick_device
from neurondb import __version__
from neurondb.errors import IngestError, NeuronDBError

POLL_SECONDS: Final = 0.5


class RayExecutor:
    """Computes on the machines of a Ray cluster: a task a card, or a machine where none has cards.

    Without cards, OMP_NUM_THREADS says how many processors a task has, if not all of a machine's.

    Args:
        address: Of a cluster; None takes the one that runs on this machine, or starts one.
        kind: `cuda` or `cpu`; None is cuda where the cluster has cards.

    Raises:
        IngestError: when there is no cluster, or none with such devices.
    """

    def __init__(self, address: str | None, kind: str | None = None) -> None:
        self._connected = join_cluster(address)
        nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        n_cards = sum(int(node.get("GPU", 0)) for node in nodes)
        self._kind = kind or ("cuda" if n_cards else "cpu")
        processors = [int(node["CPU"]) for node in nodes if node.get("CPU", 0) >= 1]
        needed = min(_count_processors(), *processors) if processors else 0
        n_workers = n_cards if self._kind == "cuda" else sum(n // needed for n in processors)
        if not n_workers:
            self.close()
            raise IngestError(f"the Ray cluster has no {self._kind} device to compute on")
        self._needs = (
            {"num_gpus": 1, "num_cpus": 1} if self._kind == "cuda" else {"num_cpus": needed}
        )
        self._devices = (self._kind,) * n_workers
        self._reports: Any = None
        self._sent: tuple[Computation, bytes, Any] | None = None
        """The last computation, its key among the workers, and where the cluster has it."""

    @property
    def devices(self) -> tuple[str, ...]:
        """The kind of device, for each that the cluster has."""
        return self._devices

    @property
    def own_device(self) -> torch.device:
        """The best one of the machine that this runs on."""
        return pick_device("auto")

    @property
    def shares_files(self) -> bool:
        """False: they may be on other machines."""
        return False

    def run(
        self, compute: Computation, shards: Sequence[Any], listener: Listener
    ) -> Iterator[tuple[int, Any]]:
        """Yield the place and the result of each shard as soon as it is finished.

        Raises:
            NeuronDBError: that a computation raised.
            IngestError: when a shard's workers died time and again.
        """
        if not shards:
            return
        run, reports = uuid.uuid4().bytes, self._start_reports()
        pending = dict(self._submit(run, compute, shards, reports))
        news = _News(reports, run, listener)
        try:
            while pending:
                ready, _ = ray.wait(list(pending), timeout=POLL_SECONDS)
                news.pass_on()
                for task in ready:
                    place, outcome = pending.pop(task), _take_outcome(task)
                    news.pass_on_outcome(place, outcome)
                    if isinstance(outcome.content, NeuronDBError):
                        raise outcome.content
                    yield place, outcome.content
        finally:
            with suppress(Exception):  # the cluster may be gone
                reports.end.remote(run)
            for task in pending:
                with suppress(Exception):
                    ray.cancel(task, force=True)

    def _submit(
        self, run: bytes, compute: Computation, shards: Sequence[Any], reports: Any
    ) -> Iterator[tuple[Any, int]]:
        task: Any = ray.remote(compute_shard).options(
            **self._needs, max_retries=MAX_RETRIES, name=f"neurondb {type(compute).__name__}"
        )
        if self._sent is None or self._sent[0] is not compute:
            pickled = pickle.dumps(compute, protocol=5)
            self._sent = compute, uuid.uuid4().bytes, ray.put(pickled)
        _, key, computation = self._sent
        for place, shard in enumerate(shards):
            asked = pickle.dumps(Task(run, place, shard, key, self._kind), protocol=5)
            yield task.remote(__version__, asked, computation, reports), place

    def _start_reports(self) -> Any:
        if self._reports is None:
            here = NodeAffinitySchedulingStrategy(
                ray.get_runtime_context().get_node_id(), soft=True
            )
            actor: Any = ray.remote(Reports)
            self._reports = actor.options(
                num_cpus=0, max_restarts=-1, scheduling_strategy=here
            ).remote()
        return self._reports

    def close(self) -> None:
        """Leave the cluster; one that was started for this ends."""
        if self._connected:
            ray.shutdown()
            self._connected = False


def _count_processors() -> int:
    """Return how many processors a task without a card may have at most."""
    threads = os.environ.get(THREADS, "")
    return int(threads) if threads.isdecimal() and int(threads) else sys.maxsize


class _News:
    """What the workers of one `run` tell, passed on: every unit, note and death once."""

    def __init__(self, reports: Any, run: bytes, listener: Listener) -> None:
        self._reports, self._run = reports, run
        self._counts, self._progress = ShardCounts(listener), listener.progress
        self._told = set[str]()
        self._n_begun_again = 0

    def pass_on(self) -> None:
        """Ask what was told since the last time, and pass it on."""
        try:
            told = ray.get(self._reports.take.remote(self._run), timeout=TELLING_SECONDS)
        except ray.exceptions.RayError:  # progress is worth no failure
            return
        for place, (n, detail) in told.done.items():
            self._counts.report(place, n, detail)
        for _ in range(self._n_begun_again, told.n_begun_again):
            self._progress.note("a Ray worker has died; another one begins its shard again")
        self._n_begun_again = max(self._n_begun_again, told.n_begun_again)

    def pass_on_outcome(self, place: int, outcome: Outcome) -> None:
        """Pass on how far a shard came, and its notes, which each worker would say."""
        self._counts.report(place, outcome.done, "")
        for line in outcome.notes:
            if line not in self._told:
                self._told.add(line)
                self._progress.note(line)


def _take_outcome(task: Any) -> Outcome:
    """Return what a task came to.

    Raises:
        IngestError: that says how its workers ended.
    """
    try:
        outcome = ray.get(task)
    except ray.exceptions.RayError as error:
        raise explain_ray_error(error) from error
    assert isinstance(outcome, Outcome)
    return outcome


def explain_ray_error(error: Exception) -> NeuronDBError:
    """Return what an error of Ray means to a user, in one line."""
    again = "what is finished is stored, and the same command goes on from there"
    if isinstance(error, ray.exceptions.OutOfMemoryError):
        return IngestError(f"a Ray worker ran out of memory, time and again; {again}")
    if isinstance(error, (ray.exceptions.WorkerCrashedError, ray.exceptions.NodeDiedError)):
        return IngestError(f"a Ray worker died {MAX_RETRIES + 1} times at one shard; {again}")
    reason = (str(error).strip().splitlines() or [""])[0][:300]
    return IngestError(f"Ray: {type(error).__name__}: {reason}; {again}")
