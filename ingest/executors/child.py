"""A worker process of `processes.py` from inside: it computes one shard after the other.

It reads pickled orders from its standard input and writes pickled reports to its standard output,
both pipes of the process that started it. When that ends, however it does, the pipe is closed and
this process ends at once, in the middle of a shard too.
"""

from __future__ import annotations

import os
import pickle
import queue
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import IO, Any, Final

from ingest.executors.protocol import Worker
from neurondb.contracts.progress import Advance
from neurondb.errors import IngestError, NeuronDBError

ADVANCED: Final = "advanced"
NOTED: Final = "noted"
FINISHED: Final = "finished"
FAILED: Final = "failed"
"""First part of a report: units done of the shard, a line, a result, or an error follows."""

Send = Callable[[tuple[Any, ...]], None]


class ReportedProgress:
    """Progress of a worker whose notes are told elsewhere, and whose bars nobody sees."""

    def __init__(self, note: Callable[[str], None]) -> None:
        self._note = note

    @contextmanager
    def stage(self, title: str, total: int, unit: str, *, done: int = 0) -> Iterator[Advance]:
        """Open a bar that is not drawn."""
        yield lambda n, detail="": None

    def note(self, message: str) -> None:
        """Pass a line on."""
        self._note(message)


def make_worker(
    device: str, report: Callable[[int, str], None], note: Callable[[str], None]
) -> Worker:
    """Return a worker that reports how many units of its shard are done so far, and lines."""
    import torch

    from ingest.forward.devices import prepare_device

    there, done = torch.device(device), 0
    prepare_device(there)
    # Else every worker takes some memory of the first card too. Ray shows a task one card alone.
    if there.type == "cuda" and there.index is not None:
        torch.cuda.set_device(there)

    def advance(n: int, detail: str = "") -> None:
        nonlocal done
        done += n
        report(done, detail)

    return Worker(there, advance, ReportedProgress(note))


def as_our_error(error: BaseException) -> NeuronDBError:
    """Return an error that can be pickled and shown; what nobody foresaw becomes one line."""
    if isinstance(error, NeuronDBError):
        return error
    reason = " ".join(str(error).split())[:300]
    ours = IngestError(f"a worker failed: {type(error).__name__}{f': {reason}' * bool(reason)}")
    ours.add_note("".join(traceback.format_exception(error)))  # for NEURONDB_TRACEBACK
    return ours


def serve(device: str) -> None:
    """Take a computation, then shards, from the standard input until it ends."""
    source, target = sys.stdin.buffer, os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what libraries print is no report
    orders: queue.SimpleQueue[Any] = queue.SimpleQueue()
    threading.Thread(target=_read, args=(source, orders), daemon=True).start()

    def send(message: tuple[Any, ...]) -> None:
        _write(target, message)

    compute: Any = None
    while True:
        shard, pickled, content = orders.get()
        try:
            if pickled is not None:
                compute = pickle.loads(pickled)  # noqa: S301 - from the process that started this
            send((FINISHED, shard, compute(content, _worker(device, shard, send))))
        except Exception as error:
            send((FAILED, shard, as_our_error(error)))


def _worker(device: str, shard: int, send: Send) -> Worker:
    return make_worker(
        device,
        lambda done, detail: send((ADVANCED, shard, done, detail)),
        lambda message: send((NOTED, shard, message)),
    )


def _read(source: IO[bytes], orders: queue.SimpleQueue[Any]) -> None:
    while True:
        try:
            orders.put(pickle.load(source))  # noqa: S301 - from the process that started this
        except (EOFError, OSError, pickle.UnpicklingError):
            os._exit(0)


def _write(target: IO[bytes], message: tuple[Any, ...]) -> None:
    try:
        # Pickled as a whole first: what cannot be is an error, not half a message.
        target.write(pickle.dumps(message, protocol=5))
        target.flush()
    except BrokenPipeError:
        os._exit(0)
